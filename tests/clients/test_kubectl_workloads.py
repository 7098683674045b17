"""What kubectl says of workloads: rollouts of StatefulSets and DaemonSets, conditions and events in descriptions, waiting."""

from __future__ import annotations

import re

import pytest

from tests.clients.kubectl import Kubectl, eventually
from tests.clients.manifests import IMAGE, Manifest, container, deployment, together


def workload(kind: str, name: str, **spec: object) -> Manifest:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container()]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def job(name: str, **spec: object) -> Manifest:
    template = {"spec": {"containers": [container()], "restartPolicy": "Never"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}


def test_rollouts_of_a_statefulset(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=workload("StatefulSet", "db", serviceName="db", replicas=2))
    shown = kubectl("rollout", "status", "statefulset/db", "--timeout=30s")
    assert re.search(r"partitioned roll out complete|rolling update complete 2 pods at revision db-", shown)
    kubectl("set", "image", "statefulset/db", f"main={IMAGE}:2")
    shown = kubectl("rollout", "status", "statefulset/db", "--timeout=30s")
    assert re.search(r"complete", shown)
    revisions = kubectl("rollout", "history", "statefulset/db")
    assert re.findall(r"^(\d+)", revisions, re.MULTILINE) == ["1", "2"]
    assert f"{IMAGE}:1" in kubectl("rollout", "history", "statefulset/db", "--revision=1")
    assert kubectl("rollout", "undo", "statefulset/db") == "statefulset.apps/db rolled back\n"
    kubectl("rollout", "status", "statefulset/db", "--timeout=30s")
    assert re.findall(r"^(\d+)", kubectl("rollout", "history", "statefulset/db"), re.MULTILINE) == ["2", "3"]
    images = kubectl("get", "pods", "-l", "app=db", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert images.split() == [f"{IMAGE}:1"] * 2
    shown = kubectl("describe", "statefulset", "db")
    assert re.search(r"Pods Status:\s+2 Running / 0 Waiting / 0 Succeeded / 0 Failed", shown)
    assert "Create Pod db-0 in StatefulSet db successful" in shown


def test_rollouts_of_a_daemonset(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=workload("DaemonSet", "agent"))
    assert 'daemon set "agent" successfully rolled out' in kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    kubectl("set", "image", "ds/agent", f"main={IMAGE}:2")
    kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    assert re.findall(r"^(\d+)", kubectl("rollout", "history", "ds/agent"), re.MULTILINE) == ["1", "2"]
    assert kubectl("rollout", "undo", "ds/agent", "--to-revision=1") == "daemonset.apps/agent rolled back\n"
    kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    shown = kubectl("describe", "ds", "agent")
    assert re.search(r"Desired Number of Nodes Scheduled: 2\b", shown)
    assert re.search(r"Number of Nodes Scheduled with Up-to-date Pods: 2\b", shown)
    assert re.search(r"Normal\s+SuccessfulCreate\s.*daemonset-controller\s+Created pod: agent-", shown)
    assert re.search(r"Normal\s+SuccessfulDelete\s.*daemonset-controller\s+Deleted pod: agent-", shown)


def test_what_is_said_of_a_deployment(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment())
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("set", "image", "deployment/web", f"main={IMAGE}:2")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    shown = kubectl("describe", "deployment", "web")
    assert re.search(r"Available\s+True\s+MinimumReplicasAvailable", shown)
    assert re.search(r"Progressing\s+True\s+NewReplicaSetAvailable", shown)
    assert re.search(r"Replicas:\s+2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable", shown)
    assert re.search(r"NewReplicaSet:\s+web-\w+ \(2/2 replicas created\)", shown)
    assert re.search(r"ScalingReplicaSet\s.*deployment-controller\s+Scaled up replica set web-\w+ from 0 to 2", shown)
    assert re.search(r"Scaled down replica set web-\w+ from 1 to 0", shown)
    kubectl("rollout", "pause", "deployment/web")
    eventually(lambda: re.search(r"Progressing\s+Unknown\s+DeploymentPaused", kubectl("describe", "deployment", "web")))


def test_waiting_for_jobs(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=together(job("late", activeDeadlineSeconds=1), job("rests", suspend=True)))
    assert "condition met" in kubectl("wait", "job/late", "--for=condition=Failed", "--timeout=30s")
    assert "condition met" in kubectl("wait", "job/rests", "--for=condition=Suspended", "--timeout=30s")
    shown = kubectl("describe", "job", "late")
    assert re.search(
        r"Warning\s+DeadlineExceeded\s.*job-controller\s+Job was active longer than specified deadline", shown
    )
    assert re.search(r"Normal\s+Suspended\s.*job-controller\s+Job suspended", kubectl("describe", "job", "rests"))


def test_what_is_said_of_an_autoscaler_and_a_budget(kubectl: Kubectl) -> None:
    if kubectl.minor < 26:
        pytest.skip("it knows only versions of these kinds that are served no more")
    kubectl("apply", "-f", "-", stdin=deployment(replicas=1))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("autoscale", "deployment", "web", "--min=2", "--max=4", "--cpu-percent=50")
    kubectl("create", "pdb", "web", "--selector=app=web", "--min-available=1")
    eventually(lambda: "SucceededRescale" in kubectl("describe", "hpa", "web"))
    shown = kubectl("describe", "hpa", "web")
    assert re.search(
        r"AbleToScale\s+True\s+SucceededRescale\s+the HPA controller was able to update the target scale to 2", shown
    )
    assert "New size: 2; reason: Current number of replicas below Spec.MinReplicas" in shown
    eventually(lambda: re.search(r"Allowed disruptions:\s+1", kubectl("describe", "pdb", "web")))
