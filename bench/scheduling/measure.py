"""One workload against one stack: nodes, pods before, then pods from several client processes, timed until all are bound.

Throughput is by wall time, from the moment the first measured pod is sent until the last is seen bound, so that making the
pods counts as well. The latency of a pod is from its request being sent until a watch shows it bound.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bench.scheduling.load import Access, Connection, Job
from bench.scheduling.processes import Programs, Stack, stack
from bench.scheduling.violations import violations
from bench.scheduling.workloads import BEFORE, MEASURED, Churn, Workload, node

CLIENTS, CONNECTIONS = 3, 4
"""Client processes, and connections of each."""
BOUND_TIMEOUT_S = 600.0
EVENTS_TIMEOUT_S = 120.0


class _Metadata(msgspec.Struct):
    name: str
    namespace: str = ""


class _Spec(msgspec.Struct):
    nodeName: str = ""


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


@dataclass(slots=True)
class BoundPods:
    """A watch of pods that have a node; ``times_s`` says when each was first seen so."""

    access: Access
    times_s: dict[str, float] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def wait(self, prefix: str, count: int, of: Stack) -> None:
        """Until ``count`` pods whose names begin with ``prefix`` are bound. Raises ``TimeoutError``."""
        deadline_s = time.monotonic() + BOUND_TIMEOUT_S
        with self.changed:
            while sum(name.startswith(prefix) for name in self.times_s) < count:
                self.changed.wait(0.2)
                if self.problem:
                    raise RuntimeError(self.problem)
                for process in of.running.values():
                    process.check()
                if time.monotonic() > deadline_s:
                    seen = sum(name.startswith(prefix) for name in self.times_s)
                    raise TimeoutError(f"{seen} of {count} pods {prefix}-* were bound")

    def _run(self) -> None:
        try:
            query = "watch=true&allowWatchBookmarks=false&fieldSelector=spec.nodeName!%3D&timeoutSeconds=3600"
            decode_event, decode_pod = msgspec.json.Decoder(_Event).decode, msgspec.json.Decoder(_Pod).decode
            for line in self.access.connect().lines(f"/api/v1/pods?{query}"):
                event = decode_event(line)
                if event.type not in ("ADDED", "MODIFIED"):
                    continue
                pod = decode_pod(event.object)
                name = pod.metadata.name
                if name not in self.times_s and pod.spec.nodeName:
                    self.nodes[name] = pod.spec.nodeName
                    self.times_s[name] = time.monotonic()
                elif self.nodes.get(name) != pod.spec.nodeName:
                    raise RuntimeError(f"{name} moved from {self.nodes.get(name)} to {pod.spec.nodeName}")
        except (OSError, RuntimeError, msgspec.DecodeError) as error:
            self.problem = f"the watch of bound pods ended: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run gave."""

    pods_per_s: float
    p50_ms: float
    p99_ms: float
    scheduler_mb: float
    apiserver_mb: float
    scheduler_cpu_us_per_pod: float
    apiserver_cpu_us_per_pod: float
    clients_cpu_us_per_pod: float
    """Of the clients that make the pods, and of the one that watches them."""
    events_after_s: float
    """How long after the last pod was bound there was an event for each: schedulers tell less urgently than they bind.
    Infinite where some were not told within ``EVENTS_TIMEOUT_S``."""


def make(access: Access, path: str, template: dict[str, Any], prefix: str, count: int) -> dict[str, float]:
    """``count`` objects from ``CLIENTS`` processes. The times at which they were sent."""
    if not count:
        return {}
    share = -(-count // CLIENTS)
    clients = []
    for start in range(0, count, share):
        job = Job(access=access, path=path, template=template, prefix=prefix, start=start,
                  stop=min(start + share, count), connections=CONNECTIONS)  # fmt: skip
        client = subprocess.Popen(
            [sys.executable, "-m", "bench.scheduling.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert client.stdin is not None
        client.stdin.write(job.encoded())
        client.stdin.flush()
        clients.append(client)
    for client in clients:
        assert client.stdout is not None
        client.stdout.readline()
    for client in clients:
        assert client.stdin is not None
        client.stdin.write(b"go\n")
        client.stdin.flush()
    sent: dict[str, float] = {}
    for client in clients:
        output, _ = client.communicate()
        if client.returncode:
            raise RuntimeError("a client failed")
        sent |= json.loads(output)
    return sent


def measure(workload: Workload, programs: Programs) -> Outcome:
    """Raises ``RuntimeError`` where a constraint is violated in the end, ``TimeoutError`` where pods are left."""
    with stack(programs) as made:
        access = made.access
        connection = access.connect()
        for namespace in (BEFORE, MEASURED):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            connection.request("POST", "/api/v1/namespaces", json.dumps(body).encode())
        for number in range(workload.nodes):
            connection.request("POST", "/api/v1/nodes", json.dumps(node(number, workload.zones)).encode())
        scheduler = made.start_scheduler()
        bound = BoundPods(access)
        bound.start()
        make(access, f"/api/v1/namespaces/{BEFORE}/pods", workload.pod_before, "before", workload.before)
        bound.wait("before-", workload.before, made)
        apiserver = made.running["apiserver"]
        used_s = scheduler.cpu_s, apiserver.cpu_s, _own_cpu_s()
        with _churning(workload.churn, access):
            sent = make(access, f"/api/v1/namespaces/{MEASURED}/pods", workload.pod, "pod", workload.measured)
            bound.wait("pod-", workload.measured, made)
        spent_s = scheduler.cpu_s - used_s[0], apiserver.cpu_s - used_s[1], _own_cpu_s() - used_s[2]
        last_s = max(bound.times_s[name] for name in sent)
        connection = access.connect()  # the first one has been idle for so long that the server may have closed it
        events_after_s = _wait_for_events(connection, workload.measured) - last_s
        _check(connection)
        latencies_s = sorted(bound.times_s[name] - sent[name] for name in sent)
        total_s = last_s - min(sent.values())
        return Outcome(
            pods_per_s=workload.measured / total_s,
            p50_ms=latencies_s[len(latencies_s) // 2] * 1000,
            p99_ms=latencies_s[int(len(latencies_s) * 0.99)] * 1000,
            scheduler_mb=scheduler.peak_mb,
            apiserver_mb=apiserver.peak_mb,
            scheduler_cpu_us_per_pod=spent_s[0] / workload.measured * 1e6,
            apiserver_cpu_us_per_pod=spent_s[1] / workload.measured * 1e6,
            clients_cpu_us_per_pod=spent_s[2] / workload.measured * 1e6,
            events_after_s=events_after_s,
        )


def _wait_for_events(connection: Connection, count: int) -> float:
    """When there were as many events in the namespace of the measured pods (``time.monotonic``); infinity where it took too long."""
    deadline_s = time.monotonic() + EVENTS_TIMEOUT_S
    while time.monotonic() < deadline_s:
        found = json.loads(connection.request("GET", f"/apis/events.k8s.io/v1/namespaces/{MEASURED}/events?limit=1"))
        if len(found["items"]) + found["metadata"].get("remainingItemCount", 0) >= count:
            return time.monotonic()
        time.sleep(0.1)
    return float("inf")


def _own_cpu_s() -> float:
    """Of this process and of those that it started and that have ended."""
    parts = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


def _check(connection: Connection) -> None:
    nodes, pods = (json.loads(connection.request("GET", path))["items"] for path in ("/api/v1/nodes", "/api/v1/pods"))
    found = violations(nodes, [pod for pod in pods if pod["spec"].get("nodeName")])
    if found:
        raise RuntimeError(f"{len(found)} violations: {'; '.join(found[:5])}")


_PATHS = {"Node": "/api/v1/nodes", "Pod": f"/api/v1/namespaces/{MEASURED}/pods",
          "Service": f"/api/v1/namespaces/{MEASURED}/services"}  # fmt: skip


@contextlib.contextmanager
def _churning(churn: Churn | None, access: Access) -> Iterator[None]:
    """Make the objects of ``churn`` again and again meanwhile."""
    if churn is None:
        yield
        return
    over = threading.Event()
    connection = access.connect()
    thread = threading.Thread(target=_churn, args=(churn, connection, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        connection.close()


def _churn(churn: Churn, connection: Connection, over: threading.Event) -> None:
    for number in itertools.count():
        if over.wait(churn.interval_s):
            return
        for template in churn.objects:
            path, kind = _PATHS[template["kind"]], template["kind"].lower()
            if churn.recreates and number:
                connection.request("DELETE", f"{path}/churn-{kind}-{number - 1}?gracePeriodSeconds=0")
            named = {**template, "metadata": {**template["metadata"], "name": f"churn-{kind}-{number}"}}
            connection.request("POST", path, json.dumps(named).encode())
