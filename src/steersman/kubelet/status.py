"""A pod's status, computed whole from what the runtime reports: phase, addresses, container statuses, conditions.

Pure. Times of transitions are kept from the status before where nothing changed, so that the same facts give the same
status and nothing is written twice. The rules are upstream's (``generateAPIPodStatus``, ``getPhase``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.kubelet import podspec
from steersman.kubelet.container_status import RESTARTING_ALL, Reported, container_statuses, final_statuses
from steersman.kubelet.pod_conditions import conditions, disruption_target, with_transition_times
from steersman.kubelet.pod_plan import all_restart, is_initialized, sandbox_need
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.resource_status import pod_resources_status
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.times import format_time

TERMINAL = ("Succeeded", "Failed")


class Verdict(Struct, frozen=True, kw_only=True):
    """The kubelet's own reason for a pod's end: deadline, eviction, refused admission."""

    reason: str
    message: str
    disruption: str = ""
    """Message of the DisruptionTarget condition (KEP-3329), where the pod could have gone on; empty: it has none."""
    keeps_success: bool = False
    """A pod whose containers all succeed until it is stopped has succeeded."""


PAST_DEADLINE = Verdict(
    reason="DeadlineExceeded", message="Pod was active on the node longer than the specified deadline"
)


class NodeFacts(Struct, frozen=True, kw_only=True):
    """What every pod's status says about its node and runtime."""

    host_ips: tuple[str, ...] = ()
    runtime_name: str = "containerd"
    recursive_read_only: bool = False


def pod_status(
    reported: Reported, node: NodeFacts, *, now_s: float, verdict: Verdict | None = None, is_over: bool = False
) -> Object:
    """The status of ``reported.pod``. ``is_over``: its containers have been stopped for good."""
    pod, previous = reported.pod, reported.previous
    status: Object = {}
    if objects.generation(pod):
        status["observedGeneration"] = objects.generation(pod)
    _set_addresses(status, reported, node)
    now = format_time(now_s)
    status["startTime"] = previous.get("startTime") or now
    status["qosClass"] = podspec.qos_class(pod)
    _set_container_statuses(status, reported)
    if is_over:
        status.update({key: value for key, value in final_statuses(pod, status).items() if value})
    statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    phase = pod_phase(
        pod,
        statuses,
        is_over=is_over,
        initialized=is_initialized(pod, reported.record),
        restarting=frozenset(f"{reported.runtime_name}://{item}" for item in reported.restarting),
    )
    _set_phase(status, pod, previous, phase, verdict, is_over)
    actuated = reported.actuated if status["phase"] == "Running" else None
    status["resources"] = pod_resources_status(pod, reported.totals, actuated)
    if reported.totals.requests:
        status["allocatedResources"] = reported.totals.requests
    restarting = all_restart(pod, reported.record)
    need = sandbox_need(pod, reported.record)
    resize = () if is_over or status["phase"] in TERMINAL else reported.resize
    own = conditions(pod, status, sandbox_ready=not need.changed, restarting_all=restarting, resize=resize)
    if verdict is not None and verdict.disruption and is_over:
        own = [
            *(entry for entry in own if entry["type"] != "DisruptionTarget"),
            disruption_target(pod, verdict.disruption),
        ]
    status["conditions"] = with_transition_times(own, previous.get("conditions") or (), now)
    for key in ("nominatedNodeName", "resourceClaimStatuses", "extendedResourceClaimStatus"):
        if key in (pod.get("status") or {}):
            status[key] = pod["status"][key]
    return status


def _set_phase(
    status: Object, pod: Object, previous: Mapping[str, Any], phase: str, verdict: Verdict | None, is_over: bool
) -> None:
    """A terminal phase never changes; reason and message stay with the phase they were given for. A verdict shows when
    nothing runs any more: whoever sees the pod ended may use what it had."""
    stored = pod.get("status") or {}
    for before in (previous.get("phase"), stored.get("phase")):
        if before in TERMINAL and phase not in TERMINAL:
            phase = str(before)
    if is_over and phase not in TERMINAL and not podspec.is_static(pod):
        phase = "Failed"
    reason, message = "", ""
    if phase == previous.get("phase"):
        reason = str(previous.get("reason") or stored.get("reason") or "")
        message = str(previous.get("message") or stored.get("message") or "")
    if verdict is not None and is_over:
        if not (verdict.keeps_success and phase == "Succeeded"):
            phase = "Failed"
        reason, message = verdict.reason, verdict.message
    if stored.get("phase") in TERMINAL:
        phase = str(stored["phase"])
    status["phase"] = phase
    if reason:
        status["reason"] = reason
    if message:
        status["message"] = message


def _set_addresses(status: Object, reported: Reported, node: NodeFacts) -> None:
    """A pod whose sandbox has ended keeps what was its own."""
    pod = reported.pod
    if node.host_ips:
        status["hostIP"] = node.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in node.host_ips]
    ips = podspec.addresses(pod, reported.record.ips, node.host_ips)
    if not ips and not any(box.state == "READY" for box in reported.record.sandboxes):
        ips = tuple(entry["ip"] for entry in reported.previous.get("podIPs") or ())
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]


def _set_container_statuses(status: Object, reported: Reported) -> None:
    pod = reported.pod
    apps = container_statuses(reported, podspec.app_containers(pod), "containerStatuses")
    status["containerStatuses"] = sorted(apps, key=lambda entry: str(entry["name"]))
    inits = container_statuses(reported, podspec.init_containers(pod), "initContainerStatuses")
    if inits:
        status["initContainerStatuses"] = inits
    ephemeral = container_statuses(reported, podspec.ephemeral_containers(pod), "ephemeralContainerStatuses")
    if ephemeral:
        status["ephemeralContainerStatuses"] = sorted(ephemeral, key=lambda entry: str(entry["name"]))


class _Count(Struct):
    pending_init: int = 0
    pending_sidecars: int = 0
    failed_init: int = 0
    unknown: int = 0
    running: int = 0
    waiting: int = 0
    stopped: int = 0
    stopped_for_good: int = 0
    succeeded: int = 0


def pod_phase(
    pod: Mapping[str, Any],
    statuses: Sequence[Mapping[str, Any]],
    *,
    is_over: bool,
    initialized: bool,
    restarting: frozenset[str] = frozenset(),
) -> str:
    """``Pending``, ``Running``, ``Succeeded`` or ``Failed``, from the statuses of its init and app containers.

    ``restarting``: container ids, as statuses have them, whose end is followed by another start in any case.
    """
    by_name = {entry["name"]: entry for entry in statuses}
    count = _Count()
    for container in podspec.init_containers(pod):
        entry = by_name.get(container.name)
        if container.kind == "sidecar":
            _count_sidecar(entry, count)
        else:
            _count_init(pod, container, entry, count)
    for container in podspec.app_containers(pod):
        _count_app(pod, container, by_name.get(container.name), count, restarting)
    if count.failed_init:
        return "Failed"
    if count.pending_init or (count.pending_sidecars and not initialized) or count.waiting:
        return "Pending"
    if count.unknown:
        return "Pending"
    if count.running:
        return "Running"
    if not count.stopped:
        return "Pending"
    goes_on = not is_over or podspec.is_static(pod)
    if goes_on and count.stopped != count.stopped_for_good:
        return "Running"
    return "Succeeded" if count.stopped == count.succeeded else "Failed"


def _end(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the container ended last, whether it terminated now or waits to start again."""
    state = entry["state"]
    if "terminated" in state:
        terminated: Mapping[str, Any] = state["terminated"]
        return terminated
    if "waiting" in state:
        before: Mapping[str, Any] | None = (entry.get("lastState") or {}).get("terminated")
        return before
    return None


def _for_good(pod: Mapping[str, Any], container: PodContainer, end: Mapping[str, Any]) -> bool:
    return end.get("reason") != RESTARTING_ALL and not podspec.restarts_after(pod, container, int(end["exitCode"]))


def _count_init(
    pod: Mapping[str, Any], container: PodContainer, entry: Mapping[str, Any] | None, count: _Count
) -> None:
    end = _end(entry) if entry is not None else None
    if end is None:
        count.pending_init += 1
    elif int(end["exitCode"]) != 0 and _for_good(pod, container, end):
        count.failed_init += 1


def _count_sidecar(entry: Mapping[str, Any] | None, count: _Count) -> None:
    if entry is None:
        count.unknown += 1
    elif "running" in entry["state"]:
        count.running += 1
        if not entry.get("started"):
            count.pending_sidecars += 1
    elif _end(entry) is None:
        count.pending_sidecars += 1
        count.waiting += 1


def _count_app(
    pod: Mapping[str, Any],
    container: PodContainer,
    entry: Mapping[str, Any] | None,
    count: _Count,
    restarting: frozenset[str],
) -> None:
    if entry is None:
        count.unknown += 1
        return
    if "running" in entry["state"]:
        count.running += 1
        return
    end = _end(entry)
    if end is None:
        count.waiting += 1
        return
    count.stopped += 1
    if end.get("containerID") not in restarting and _for_good(pod, container, end):
        count.stopped_for_good += 1
    if "terminated" in entry["state"] and int(end["exitCode"]) == 0:
        count.succeeded += 1
