"""What a node refuses to run, and why."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from steersman.kubelet.admission import admit
from steersman.meta.objects import Object
from tests.kubelet.pods import container, pod

NODE: Object = {"metadata": {"name": "node-1", "labels": {"disk": "ssd"}}, "spec": {}}
TAINTED: Object = {**NODE, "spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}
HALF = pod(container(resources={"requests": {"cpu": "500m"}}), uid="half")
DONE = pod(container(resources={"requests": {"cpu": "500m"}}), uid="done", status={"phase": "Succeeded"})
PORT = container(ports=[{"containerPort": 80, "hostPort": 80}])
TERM = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["hdd"]}]}
AFFINITY = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [TERM]}}}


@pytest.mark.parametrize(
    ("obj", "others", "node", "reason"),
    [
        (pod(), [], NODE, ""),
        (HALF, [HALF], NODE, ""),
        (HALF, [HALF, HALF], NODE, "OutOfcpu"),
        (HALF, [HALF, DONE], NODE, ""),
        (pod(), [pod()] * 5, NODE, "OutOfpods"),
        (pod(container(resources={"requests": {"example.com/gpu": "2"}})), [], NODE, "OutOfexample.com/gpu"),
        (pod(container(resources={"requests": {"example.com/unknown": "1"}})), [], NODE, ""),
        (pod(container(resources={"requests": {"hugepages-2Mi": "2Mi"}})), [], NODE, "OutOfhugepages-2Mi"),
        (pod(metadata={"labels": {"kubernetes.io/os": "windows"}}), [], NODE, "PodOSSelectorNodeLabelDoesNotMatch"),
        (pod(nodeSelector={"disk": "ssd"}), [], NODE, ""),
        (pod(nodeSelector={"disk": "hdd"}), [], NODE, "NodeAffinity"),
        (pod(affinity=AFFINITY), [], NODE, "NodeAffinity"),
        (pod(), [], TAINTED, "TaintToleration"),
        (pod(tolerations=[{"operator": "Exists"}]), [], TAINTED, ""),
        (pod(PORT), [pod()], NODE, ""),
        (pod(PORT), [pod(PORT)], NODE, "NodePorts"),
        (pod(os={"name": "windows"}), [], NODE, "PodOSNotSupported"),
        (pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), [], NODE, "SysctlForbidden"),
        (pod(resourceClaims=[{"name": "gpu"}]), [], NODE, "UnexpectedAdmissionError"),
    ],
)
def test_admission(obj: Object, others: Sequence[Object], node: Object, reason: str) -> None:
    verdict = admit(
        obj, others=others, node=node, allocatable={"cpu": "1", "memory": "1Gi", "pods": "5", "example.com/gpu": "1"}
    )
    assert (verdict.reason if verdict is not None else "") == reason
