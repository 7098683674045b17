"""Workloads on real nodes: a rollout under load, an identity across a node that stops answering, an Indexed Job to its end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import RealCluster, eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
WEB_IMAGE = "localhost/examples/web:1"
BUSYBOX_IMAGE = "localhost/examples/busybox:1"
CLIENTS = 6


def workload(kind: str, name: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    pod_spec = {"terminationGracePeriodSeconds": 5, "containers": [container], **spec.pop("pod", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec},
            **spec,
        },
    }


def web(version: int) -> dict[str, Any]:
    """Four replicas, of which none may be missing. A pod serves on for two seconds after it is told to end, as the
    documentation of pods' lives advises: meanwhile the proxies of all nodes hear of it."""
    container = {
        "name": "web",
        "image": WEB_IMAGE,
        "env": [{"name": "VERSION", "value": str(version)}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
    }
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}
    return workload("Deployment", "rolled", container, replicas=4, strategy=strategy)


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "rolled", "namespace": "default"},
    "spec": {"type": "NodePort", "selector": {"app": "rolled"}, "ports": [{"port": 80, "targetPort": 8080}]},
}


class Load:
    """Clients that ask again and again, each time over a new connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.answers: set[str] = set()
        self.served = 0
        self.failures: list[str] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(self._url, timeout=5) as response:
                    answer = response.read().decode().strip()
            except (urllib.error.URLError, OSError) as error:
                with self._lock:
                    self.failures.append(f"{time.strftime('%H:%M:%S')} {error!r}")
                continue
            with self._lock:
                self.served += 1
                self.answers.add(answer)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.run, daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(timeout=10)


def address_of(cluster: RealCluster, node: str) -> str:
    addresses = cluster.get("node", node)["status"]["addresses"]
    return str(next(entry["address"] for entry in addresses if entry["type"] == "InternalIP"))


def pods(cluster: RealCluster, app: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.get("pods", "-l", f"app={app}")["items"]
    return found


def test_a_rolling_update_under_load_fails_not_one_request(two_nodes: RealCluster) -> None:
    for obj in (web(1), SERVICE):
        two_nodes.kubectl("apply", "-f", "-", stdin=json.dumps(obj))
    two_nodes.kubectl("rollout", "status", "deployment/rolled", "--timeout=60s", timeout_s=70)
    before = {pod["metadata"]["name"] for pod in pods(two_nodes, "rolled")}
    port = two_nodes.get("service", "rolled")["spec"]["ports"][0]["nodePort"]
    url = f"http://{address_of(two_nodes, 'node-1')}:{port}/cgi-bin/hello"
    eventually(lambda: urllib.request.urlopen(url, timeout=2).status == 200)
    load = Load(url)
    with load.going_on():
        eventually(lambda: load.served > 50)
        two_nodes.kubectl("apply", "-f", "-", stdin=json.dumps(web(2)))
        two_nodes.kubectl("rollout", "status", "deployment/rolled", "--timeout=60s", timeout_s=70)
        eventually(lambda: not before & {pod["metadata"]["name"] for pod in pods(two_nodes, "rolled")})
        served = load.served
        eventually(lambda: load.served > served + 50)
    assert load.failures == []
    after = {pod["metadata"]["name"] for pod in pods(two_nodes, "rolled")}
    answered = {answer.removeprefix("Hello from ") for answer in load.answers}
    assert before <= answered
    assert after <= answered
    two_nodes.kubectl("delete", "deployment/rolled", "service/rolled", "--wait=false")


MARK = "73137"
"""Seconds to sleep: by it the processes of the StatefulSet's pod are found on this machine."""


def identity() -> dict[str, Any]:
    container = {"name": "main", "image": BUSYBOX_IMAGE, "command": ["sleep", MARK]}
    at_once = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
    tolerations = [{"key": f"node.kubernetes.io/{key}", **at_once} for key in ("unreachable", "not-ready")]
    preferred = {
        "weight": 100,
        "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]}]},
    }
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}
    pod = {"tolerations": tolerations, "affinity": affinity, "terminationGracePeriodSeconds": 1}
    return workload("StatefulSet", "identity", container, pod=pod, serviceName="identity", replicas=1)


def sleepers() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", MARK.encode()]:
                found.append(int(entry.name))
    return found


def agent_of(cluster: RealCluster, node: str) -> int:
    """The process that is the kubelet of ``node``."""
    for pid in cluster.processes():
        words = (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b" ", b"\0").split(b"\0")
        if f"--hostname-override={node}".encode() in words:
            return pid
    raise AssertionError(f"no kubelet of {node}")


def the_pod(cluster: RealCluster) -> dict[str, Any] | None:
    found = pods(cluster, "identity")
    assert len(found) <= 1, "two pods of one identity"
    return found[0] if found else None


def runs_on(cluster: RealCluster, node: str) -> str:
    """The uid of the pod, once it runs there; empty until then."""
    pod = the_pod(cluster)
    if pod is None or pod["status"].get("phase") != "Running" or pod["spec"].get("nodeName") != node:
        return ""
    return str(pod["metadata"]["uid"])


def test_an_identity_is_never_run_twice_though_its_node_stops_answering(two_nodes: RealCluster) -> None:
    two_nodes.kubectl("apply", "-f", "-", stdin=json.dumps(identity()))
    first = eventually(lambda: runs_on(two_nodes, "node-2"))
    assert len(sleepers()) == 1
    kubelet = agent_of(two_nodes, "node-2")
    os.kill(kubelet, signal.SIGSTOP)
    try:
        silent = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
        patch = json.dumps({"status": {"conditions": [silent]}})
        # What the node lifecycle controller writes after 50 s of silence.
        two_nodes.kubectl("patch", "node", "node-2", "--subresource=status", "-p", patch)
        eventually(lambda: (the_pod(two_nodes) or {"metadata": {}})["metadata"].get("deletionTimestamp"))
        deadline_s = time.monotonic() + 6
        while time.monotonic() < deadline_s:
            pod = the_pod(two_nodes)
            assert pod is not None
            assert pod["metadata"]["uid"] == first, "replaced while it may still run"
            time.sleep(0.3)
        assert len(sleepers()) == 1, "its container runs on, as nobody told it to end"
        two_nodes.kubectl("taint", "node", "node-2", "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
        second = eventually(lambda: runs_on(two_nodes, "node-1"))
        assert second != first
        assert len(sleepers()) == 2, "whoever marks a node as out of service says that nothing runs there"
    finally:
        os.kill(kubelet, signal.SIGCONT)
    eventually(lambda: len(sleepers()) == 1)
    two_nodes.kubectl("taint", "node", "node-2", "node.kubernetes.io/out-of-service-")
    two_nodes.kubectl("wait", "node/node-2", "--for=condition=Ready", "--timeout=30s")
    assert runs_on(two_nodes, "node-1") == second
    two_nodes.kubectl("delete", "statefulset/identity", "--wait=false")
    eventually(lambda: not sleepers())


def indexed_job() -> dict[str, Any]:
    script = 'echo "index $JOB_COMPLETION_INDEX on $(hostname)"; test "$JOB_COMPLETION_INDEX" != 4'
    container = {"name": "main", "image": BUSYBOX_IMAGE, "command": ["sh", "-c", script]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "indexed", "namespace": "default"},
        "spec": {
            "completions": 6,
            "parallelism": 3,
            "completionMode": "Indexed",
            "backoffLimitPerIndex": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def test_an_indexed_job_runs_every_index_to_its_end(two_nodes: RealCluster) -> None:
    two_nodes.kubectl("apply", "-f", "-", stdin=json.dumps(indexed_job()))
    two_nodes.kubectl("wait", "job/indexed", "--for=condition=Failed", "--timeout=60s", timeout_s=70)
    status = two_nodes.get("job", "indexed")["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0-3,5", "4")
    assert (status["succeeded"], status["failed"]) == (5, 1)
    assert "active" not in status
    failed = next(entry for entry in status["conditions"] if entry["type"] == "Failed")
    assert failed["reason"] == "FailedIndexes"
    for pod in two_nodes.get("pods", "-l", "job-name=indexed")["items"]:
        index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        said = two_nodes.kubectl("logs", pod["metadata"]["name"])
        assert said == f"index {index} on indexed-{index}\n"
        assert not pod["metadata"].get("finalizers")
    two_nodes.kubectl("delete", "job/indexed")
    eventually(lambda: not two_nodes.get("pods", "-l", "job-name=indexed")["items"])
