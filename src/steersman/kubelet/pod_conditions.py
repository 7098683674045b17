"""The pod conditions that the kubelet owns, with upstream's reasons and messages (``status/generate.go``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from steersman.kubelet import podspec
from steersman.meta import objects
from steersman.meta.objects import Object

OWNED = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "AllContainersRestarting",
    "PodResizePending",
    "PodResizeInProgress",
)
"""Types that the kubelet writes; every other condition is left as others wrote it."""


RESIZE = ("PodResizePending", "PodResizeInProgress")


class PendingResize(Struct, frozen=True, kw_only=True):
    """A resize that this node has not granted."""

    reason: Literal["Deferred", "Infeasible"]
    message: str
    generation: int


class ResizeProgress(Struct, frozen=True, kw_only=True):
    """A resize that was granted and is not carried out."""

    generation: int
    """Of the spec that it began with."""
    error: str = ""
    """Why the last attempt failed."""


def resize_conditions(pending: PendingResize | None, progress: ResizeProgress | None) -> list[Object]:
    found = []
    if pending is not None:
        entry = _condition(RESIZE[0], True, pending.reason, pending.message)
        found.append({**entry, "observedGeneration": pending.generation})
    if progress is not None:
        entry = _condition(RESIZE[1], True, "Error" if progress.error else "", progress.error)
        found.append({**entry, "observedGeneration": progress.generation})
    return found


def resize_of(status: Mapping[str, Any]) -> tuple[PendingResize | None, ResizeProgress | None]:
    """What a stored status says of a resize."""
    by_type = {entry["type"]: entry for entry in status.get("conditions") or ()}
    waits, runs = (by_type.get(kind) for kind in RESIZE)
    pending = progress = None
    if waits is not None:
        pending = PendingResize(
            reason="Infeasible" if waits.get("reason") == "Infeasible" else "Deferred",
            message=waits.get("message") or "",
            generation=waits.get("observedGeneration") or 0,
        )
    if runs is not None:
        progress = ResizeProgress(generation=runs.get("observedGeneration") or 0, error=runs.get("message") or "")
    return pending, progress


def conditions(
    pod: Mapping[str, Any],
    status: Mapping[str, Any],
    *,
    sandbox_ready: bool,
    restarting_all: bool,
    resize: Iterable[Object] = (),
) -> list[Object]:
    """All conditions of ``pod``, whose ``status`` has its phase and container statuses already; without times."""
    statuses = {
        entry["name"]: entry
        for entry in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    }
    foreign = [entry for entry in (pod.get("status") or {}).get("conditions") or () if entry["type"] not in OWNED]
    phase = status["phase"]
    own = [
        _condition("PodReadyToStartContainers", sandbox_ready),
        _initialized(pod, statuses, phase),
        _ready(pod, statuses, phase, foreign),
        _containers_ready(pod, statuses, phase),
        _condition("PodScheduled", True),
    ]
    if _could_restart_all(pod):
        own.append(_restarting_all(phase, restarting_all))
    generation = objects.generation(pod)
    if generation:
        own = [{"type": entry.pop("type"), "observedGeneration": generation, **entry} for entry in own]
    return [*foreign, *resize, *own]


def disruption_target(pod: Mapping[str, Any], message: str) -> Object:
    """The kubelet ends the pod for the node's sake; without time."""
    condition = _condition("DisruptionTarget", True, "TerminationByKubelet", message)
    generation = objects.generation(pod)
    return {"observedGeneration": generation, **condition} if generation else condition


def with_transition_times(new: Iterable[Object], old: Iterable[Mapping[str, Any]], now: str) -> list[Object]:
    """``new`` with the time of the last change of status (of a resize: of its reason): the old one's where that is the
    same."""
    before = {entry["type"]: entry for entry in old}
    timed = []
    for entry in new:
        if entry["type"] in OWNED or not entry.get("lastTransitionTime"):
            previous = before.get(entry["type"])
            compared = ("status", "reason") if entry["type"] in RESIZE else ("status",)
            same = previous is not None and all(previous.get(name) == entry.get(name) for name in compared)
            moment = previous.get("lastTransitionTime") if same and previous is not None else None
            entry = {**entry, "lastProbeTime": None, "lastTransitionTime": moment or now}
        timed.append(entry)
    return timed


def _condition(kind: str, status: bool, reason: str = "", message: str = "") -> Object:
    entry: Object = {"type": kind, "status": "True" if status else "False"}
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = message
    return entry


def _listing(names: list[str]) -> str:
    """As Go prints a list of strings: ``[a b]``."""
    return f"[{' '.join(names)}]"


def _problems(unknown: list[str], others: list[str], what: str) -> str:
    parts = []
    if unknown:
        parts.append(f"containers with unknown status: {_listing(unknown)}")
    if others:
        parts.append(f"containers with {what} status: {_listing(others)}")
    return ", ".join(parts)


def _containers_ready(pod: Mapping[str, Any], statuses: Mapping[str, Object], phase: str) -> Object:
    kind = "ContainersReady"
    staying = [
        container.name for container in (*podspec.init_containers(pod), *podspec.app_containers(pod)) if container.stays
    ]
    unknown = [name for name in staying if name not in statuses]
    unready = [name for name in staying if name in statuses and not statuses[name]["ready"]]
    if phase == "Succeeded" and not unknown:
        return _condition(kind, False, "PodCompleted")
    if phase == "Failed":
        return _condition(kind, False, "PodFailed")
    message = _problems(unknown, unready, "unready")
    if message:
        return _condition(kind, False, "ContainersNotReady", message)
    return _condition(kind, True)


def _ready(
    pod: Mapping[str, Any], statuses: Mapping[str, Object], phase: str, foreign: Iterable[Mapping[str, Any]]
) -> Object:
    containers_ready = _containers_ready(pod, statuses, phase)
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    by_type = {entry["type"]: entry for entry in foreign}
    messages = []
    for gate in pod["spec"].get("readinessGates") or ():
        name = gate["conditionType"]
        entry = by_type.get(name)
        if entry is None:
            messages.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif entry["status"] != "True":
            messages.append(f'the status of pod readiness gate "{name}" is not "True", but {entry["status"]}')
    if messages:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(messages))
    return _condition("Ready", True)


def _initialized(pod: Mapping[str, Any], statuses: Mapping[str, Object], phase: str) -> Object:
    kind = "Initialized"
    inits = list(podspec.init_containers(pod))
    unknown = [container.name for container in inits if container.name not in statuses]
    incomplete = [
        container.name
        for container in inits
        if container.name in statuses
        and not statuses[container.name]["started" if container.kind == "sidecar" else "ready"]
    ]
    if phase == "Succeeded" and not unknown:
        return _condition(kind, True, "PodCompleted")
    message = _problems(unknown, incomplete, "incomplete")
    if not message or any(_has_started(statuses.get(item.name)) for item in podspec.app_containers(pod)):
        return _condition(kind, True)
    if _could_restart_all(pod) and objects.is_true(pod, kind):
        return _condition(kind, True)
    return _condition(kind, False, "ContainersNotInitialized", message)


def _has_started(status: Mapping[str, Any] | None) -> bool:
    return status is not None and ("running" in status["state"] or "terminated" in status["state"])


def _could_restart_all(pod: Mapping[str, Any]) -> bool:
    return any(
        rule.get("action") == "RestartAllContainers"
        for container in (*podspec.init_containers(pod), *podspec.app_containers(pod))
        for rule in container.spec.get("restartPolicyRules") or ()
    )


def _restarting_all(phase: str, restarting: bool) -> Object:
    kind = "AllContainersRestarting"
    if phase in ("Succeeded", "Failed"):
        return _condition(kind, False, "PodCompleted" if phase == "Succeeded" else "PodFailed")
    if restarting:
        return _condition(kind, True, "RestartAllContainersStarted", "container exited with restart policy rule")
    return _condition(kind, False)
