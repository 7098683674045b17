"""What ``kubectl get pods`` says of a pod: how many containers are ready, its status in a word, its restarts.

Source: upstream's pod printer, whose words users and scripts know (``Init:0/1``, ``CrashLoopBackOff``, ``Terminating``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from msgspec import Struct

from steersman.meta.objects import Object, is_deleting, is_true
from steersman.schema.cells import NONE, age
from steersman.schema.columns import AGE, NAME, computed, own_age, own_name, value_at
from steersman.schema.kind import Column

_STATUS = "io.k8s.api.core.v1.PodStatus"
_SPEC = "io.k8s.api.core.v1.PodSpec"
NODE_LOST = "NodeLost"


class PodSummary(Struct, frozen=True, kw_only=True):
    ready: int
    total: int
    status: str
    restarts: int
    last_restart: str
    """RFC 3339, empty where no container has ended yet."""


class _Restarts(Struct):
    count: int = 0
    last: str = ""

    def add(self, container: Mapping[str, Any]) -> None:
        self.count += container.get("restartCount") or 0
        ended = value_at(container, "lastState", "terminated", "finishedAt") or ""
        self.last = max(self.last, ended)


def summarize(pod: Object) -> PodSummary:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {
        container.get("name")
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    word, ready, restarts, of_sidecars = _init_phase(spec, status, sidecars)
    if word is None or is_true(pod, "Initialized"):
        restarts = of_sidecars
        word, running = _main_phase(pod, status, word or _phase_word(status), restarts)
        ready += running
    if is_deleting(pod):
        if status.get("reason") == NODE_LOST:
            word = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            word = "Terminating"
    return PodSummary(
        ready=ready,
        total=len(spec.get("containers") or ()) + len(sidecars),
        status=word,
        restarts=restarts.count,
        last_restart=restarts.last,
    )


def _phase_word(status: Mapping[str, Any]) -> str:
    for entry in status.get("conditions") or ():
        if entry.get("type") == "PodScheduled" and entry.get("reason") == "SchedulingGated":
            return "SchedulingGated"
    return str(status.get("reason") or status.get("phase") or "")


def _init_phase(
    spec: Mapping[str, Any], status: Mapping[str, Any], sidecars: set[Any]
) -> tuple[str | None, int, _Restarts, _Restarts]:
    """(what initialization waits for or None when it is over, ready sidecars, restarts of all, restarts of sidecars)."""
    ready, restarts, of_sidecars = 0, _Restarts(), _Restarts()
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        restarts.add(container)
        is_sidecar = container.get("name") in sidecars
        if is_sidecar:
            of_sidecars.add(container)
        terminated = value_at(container, "state", "terminated")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if is_sidecar and container.get("started"):
            ready += 1 if container.get("ready") else 0
            continue
        waiting = value_at(container, "state", "waiting", "reason")
        if terminated is not None:
            word = f"Init:{_end_of(terminated)}"
        elif waiting and waiting != "PodInitializing":
            word = f"Init:{waiting}"
        else:
            word = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        return word, ready, restarts, of_sidecars
    return None, ready, restarts, of_sidecars


def _end_of(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _main_phase(pod: Object, status: Mapping[str, Any], word: str, restarts: _Restarts) -> tuple[str, int]:
    """(status word, how many containers run and are ready); adds to ``restarts``."""
    running, failure = 0, ""
    for container in reversed(status.get("containerStatuses") or ()):
        restarts.add(container)
        state = container.get("state") or {}
        terminated = state.get("terminated")
        waiting = (state.get("waiting") or {}).get("reason")
        if waiting:
            word = waiting
        elif terminated is not None:
            word = _end_of(terminated)
            if terminated.get("exitCode"):
                failure = word
        elif container.get("ready") and state.get("running") is not None:
            running += 1
    if word == "Completed":
        if running and is_true(pod, "Ready"):
            word = "Running"
        elif failure:
            word = failure
        elif running:
            word = "NotReady"
    return word, running


def _restarts(summary: PodSummary, now: float) -> str:
    if summary.restarts and summary.last_restart:
        return f"{summary.restarts} ({age(summary.last_restart, now)} ago)"
    return str(summary.restarts)


def _address(pod: Object) -> str:
    addresses = value_at(pod, "status", "podIPs") or ()
    return str(addresses[0].get("ip") or NONE) if addresses else NONE


def _gates(pod: Object) -> str:
    gates = value_at(pod, "spec", "readinessGates") or ()
    if not gates:
        return NONE
    return f"{sum(is_true(pod, gate.get('conditionType') or '') for gate in gates)}/{len(gates)}"


def cells(pod: Object, now: float) -> list[Any]:
    """One row, in the order of ``COLUMNS``."""
    summary = summarize(pod)
    return [
        own_name(pod, now),
        f"{summary.ready}/{summary.total}",
        summary.status,
        _restarts(summary, now),
        own_age(pod, now),
        _address(pod),
        str(value_at(pod, "spec", "nodeName") or NONE),
        str(value_at(pod, "status", "nominatedNodeName") or NONE),
        _gates(pod),
    ]


def row_conditions(pod: Object) -> list[Object]:
    """Pods that have ended are marked, so that clients can leave them out."""
    found = _ENDED.get((pod.get("status") or {}).get("phase") or "")
    return [] if found is None else [found]


_ENDED: dict[str, Object] = {
    phase: {"type": "Completed", "status": "True", "reason": phase, "message": f"The pod {text}."}
    for phase, text in (("Succeeded", "has completed successfully"), ("Failed", "failed"))
}


def _computed(position: int, name: str, *, priority: int = 0, documented_by: str = "", description: str = "") -> Column:
    """A column whose cell is the one at ``position`` of the row."""
    return computed(
        name,
        lambda pod, now: cells(pod, now)[position],
        priority=priority,
        documented_by=documented_by,
        description=description,
    )


COLUMNS: tuple[Column, ...] = (
    NAME,
    _computed(1, "Ready", description="The aggregate readiness state of this pod for accepting traffic."),
    _computed(2, "Status", description="The aggregate status of the containers in this pod."),
    _computed(
        3,
        "Restarts",
        description="The number of times the containers in this pod have been restarted and when the last container in this "
        "pod has restarted.",
    ),
    AGE,
    _computed(5, "IP", priority=1, documented_by=f"{_STATUS}/podIP"),
    _computed(6, "Node", priority=1, documented_by=f"{_SPEC}/nodeName"),
    _computed(7, "Nominated Node", priority=1, documented_by=f"{_STATUS}/nominatedNodeName"),
    _computed(8, "Readiness Gates", priority=1, documented_by=f"{_SPEC}/readinessGates"),
)


class _Container(TypedDict, total=False):
    name: str
    restartPolicy: str | None


class _Spec(TypedDict, total=False):
    containers: list[_Container] | None
    initContainers: list[_Container] | None
    nodeName: str | None
    readinessGates: list[dict[str, Any]] | None


class _Metadata(TypedDict, total=False):
    name: str
    creationTimestamp: str | None
    deletionTimestamp: str | None


class PrintedPod(TypedDict, total=False):
    """What a row shows of a pod: most of its JSON is environment, volumes and managed fields."""

    metadata: _Metadata
    spec: _Spec
    status: dict[str, Any] | None
