"""``containerStatuses`` of a pod: what the runtime reports of each container, in the words of the API.

Wordings and precedence are upstream's (``convertToAPIContainerStatuses``): a container that will start again is
Waiting with the reason its last start failed, what it was before becomes its lastState; a container whose record is
gone is inferred from what was reported before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from steersman.kubelet import podspec
from steersman.kubelet.allocation import Amounts
from steersman.kubelet.pod_plan import is_initialized, should_start
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.probe_results import NO_RESULTS, ProbeResults
from steersman.kubelet.records import ContainerRecord, PodRecord
from steersman.kubelet.resource_status import PodTotals, container_resources_status
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.times import format_time

NO_LONGER_FOUND = "ContainerStatusUnknown"
RESTARTING_ALL = "RestartingAllContainers"


class StartFailure(Struct, frozen=True, kw_only=True):
    """Why a container does not run: its Waiting state."""

    reason: str
    """``ErrImagePull``, ``CrashLoopBackOff``, ``CreateContainerConfigError`` …"""
    message: str


class Reported(Struct, frozen=True, kw_only=True):
    """Everything that container statuses are computed from."""

    pod: Object
    record: PodRecord
    previous: Mapping[str, Any]
    """The pod status published last, or read from the API."""
    probes: ProbeResults = NO_RESULTS
    failures: Mapping[str, StartFailure]
    runtime_name: str = "containerd"
    recursive_read_only: bool = False
    """The runtime can mount read-only recursively."""
    restarting_all: bool = False
    restarting: frozenset[str] = frozenset()
    """Ids of containers that were stopped in order to be started again, whatever they exit with."""
    resize: tuple[Object, ...] = ()
    """Conditions that tell of a resize."""
    totals: PodTotals
    actuated: Amounts | None = None
    """What the pod's cgroup is set to."""


def container_statuses(reported: Reported, containers: Iterable[PodContainer], field: str) -> list[Object]:
    """One status for each of ``containers``; ``field`` is where the previous ones are (``containerStatuses`` …)."""
    previous = {entry["name"]: entry for entry in reported.previous.get(field) or ()}
    return [_status(reported, container, previous.get(container.name)) for container in containers]


def _status(reported: Reported, container: PodContainer, previous: Object | None) -> Object:
    history = list(reported.record.history(container.name))[:2]
    if history:
        status = _from_record(reported, container, history[0], previous)
        if len(history) > 1:
            status["lastState"] = _state(reported, history[1])
    else:
        status = _without_record(reported, container, previous)
    _apply_waiting(reported, container, history[0] if history else None, status)
    _apply_probes(reported, container, history[0] if history else None, status)
    return status


def _from_record(
    reported: Reported, container: PodContainer, record: ContainerRecord, previous: Object | None
) -> Object:
    state = _state(reported, record)
    restart_count = record.restart_count
    last_state: Object = {}
    if record.state == "UNKNOWN" and previous is not None and "running" in (previous.get("state") or {}):
        state = {"terminated": _lost("The container could not be located when the pod was terminated")}
        restart_count = int(previous.get("restartCount") or 0) + 1
    elif previous is not None:
        before = int(previous.get("restartCount") or 0)
        same = previous.get("containerID") == _id(reported, record)
        was_terminated = (previous.get("state") or {}).get("terminated")
        if not same and was_terminated:
            last_state = {"terminated": was_terminated}
            restart_count = max(restart_count, before + 1 if record.state == "RUNNING" else before)
        else:
            restart_count = max(restart_count, before)
            if (previous.get("lastState") or {}).get("terminated"):
                last_state = previous["lastState"]
    status: Object = {
        "name": container.name,
        "state": state,
        "lastState": last_state,
        "ready": False,
        "restartCount": restart_count,
        "image": record.status.image.user_specified_image or record.status.image.image or container.spec["image"],
        "imageID": record.status.image_ref,
        "containerID": _id(reported, record),
        "started": False,
    }
    resources = container.spec.get("resources") or {}
    status["resources"] = container_resources_status(resources, record)
    if resources.get("requests"):
        status["allocatedResources"] = resources["requests"]
    _set_volume_mounts(reported, container, status)
    if record.status.user is not None:
        user: Object = {"uid": record.status.user.uid, "gid": record.status.user.gid}
        if record.status.user.supplemental_groups:
            user["supplementalGroups"] = list(record.status.user.supplemental_groups)
        status["user"] = {"linux": user}
    if record.status.stop_signal:
        status["stopSignal"] = record.status.stop_signal
    return status


def _without_record(reported: Reported, container: PodContainer, previous: Object | None) -> Object:
    status: Object = {
        "name": container.name,
        "state": {"waiting": {"reason": _creating(reported)}},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "image": container.spec["image"],
        "imageID": "",
        "started": False,
    }
    _set_volume_mounts(reported, container, status)
    if previous is None:
        return status
    state = previous.get("state") or {}
    status["restartCount"] = int(previous.get("restartCount") or 0)
    status["lastState"] = previous.get("lastState") or {}
    if reported.restarting_all and "waiting" not in state:
        message = "The container is removed because RestartAllContainers in place"
        status["state"] = {"waiting": {"reason": RESTARTING_ALL, "message": message}}
        status["lastState"] = {"terminated": _lost(message, RESTARTING_ALL)}
        status["restartCount"] += 1
    elif "terminated" in state:
        return {**previous, "ready": False, "started": False}
    elif "running" in state and "terminated" not in status["lastState"]:
        status["lastState"] = {
            "terminated": _lost(
                "The container could not be located when the pod was deleted.  The container used to be Running"
            )
        }
        if not objects.is_deleting(reported.pod):
            status["restartCount"] += 1
    return status


def _apply_waiting(reported: Reported, container: PodContainer, latest: ContainerRecord | None, status: Object) -> None:
    """A container that is going to be started is Waiting, for the reason that its last start failed."""
    if container.kind == "init":
        if latest is not None and latest.state == "EXITED" and latest.exit_code == 0:
            return
        if latest is None and "waiting" in status["state"] and is_initialized(reported.pod, reported.record):
            status["state"] = {
                "terminated": {
                    "exitCode": 0,
                    "reason": "Completed",
                    "message": "Unable to get init container status from container runtime and pod has been"
                    " initialized, treat it as exited normally",
                    "startedAt": None,
                    "finishedAt": None,
                }
            }
            return
    failure = reported.failures.get(container.name)
    if failure is None or not should_start(reported.pod, container, reported.record, reported.restarting):
        return
    if "terminated" in status["state"]:
        status["lastState"] = status["state"]
    waiting = {"reason": failure.reason}
    if failure.message:
        waiting["message"] = failure.message
    status["state"] = {"waiting": waiting}


def _apply_probes(reported: Reported, container: PodContainer, latest: ContainerRecord | None, status: Object) -> None:
    running = "running" in status["state"] and latest is not None
    if container.kind == "ephemeral":
        status.pop("started", None)
        return
    started = running
    if running and latest is not None and container.spec.get("startupProbe"):
        started = bool(reported.probes.startup(latest.id))
    status["started"] = started
    if container.kind == "init":
        terminated = status["state"].get("terminated")
        status["ready"] = terminated is not None and terminated.get("exitCode") == 0
    elif started and latest is not None:
        has_probe = bool(container.spec.get("readinessProbe"))
        status["ready"] = bool(reported.probes.readiness(latest.id)) if has_probe else True


def _state(reported: Reported, record: ContainerRecord) -> Object:
    match record.state:
        case "RUNNING":
            return {"running": {"startedAt": format_time(record.started_at_s)}}
        case "EXITED":
            terminated: Object = {
                "exitCode": record.exit_code,
                "reason": record.status.reason or ("Completed" if record.exit_code == 0 else "Error"),
                "startedAt": format_time(record.started_at_s) if record.status.started_at_ns else None,
                "finishedAt": format_time(record.finished_at_s) if record.status.finished_at_ns else None,
                "containerID": _id(reported, record),
            }
            if record.status.message:
                terminated["message"] = record.status.message
            return {"terminated": terminated}
        case _:
            return {"waiting": {"reason": _creating(reported)}}


def _creating(reported: Reported) -> str:
    """Why a container waits that has nothing in its way: also one that exists but has not been started yet."""
    return "PodInitializing" if reported.pod["spec"].get("initContainers") else "ContainerCreating"


def _id(reported: Reported, record: ContainerRecord) -> str:
    return f"{reported.runtime_name}://{record.id}"


def _lost(message: str, reason: str = NO_LONGER_FOUND) -> Object:
    return {"exitCode": 137, "reason": reason, "message": message, "startedAt": None, "finishedAt": None}


def _set_volume_mounts(reported: Reported, container: PodContainer, status: Object) -> None:
    mounts = []
    for mount in container.spec.get("volumeMounts") or ():
        entry: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            wanted = mount.get("recursiveReadOnly") or "Disabled"
            recursive = wanted == "Enabled" or (wanted == "IfPossible" and reported.recursive_read_only)
            entry["readOnly"] = True
            entry["recursiveReadOnly"] = "Enabled" if recursive else "Disabled"
        mounts.append(entry)
    if mounts:
        status["volumeMounts"] = mounts


def final_statuses(pod: Mapping[str, Any], status: Mapping[str, Any]) -> Object:
    """The container statuses of a pod of which nothing is left: what was started and has no end is said to be lost.

    Init containers that never started and, in a pod that was never initialized, app containers stay Waiting.
    """
    apps = list(status.get("containerStatuses") or ())
    inits = list(status.get("initContainerStatuses") or ())
    initialized = not inits or any(_has_run(entry) for entry in apps) or _completed(pod, inits[-1])
    reached = max((index for index, entry in enumerate(inits) if _has_run(entry)), default=0)
    return {
        "containerStatuses": [_ended(entry) for entry in apps] if initialized else apps,
        "initContainerStatuses": [_ended(entry) if index <= reached else entry for index, entry in enumerate(inits)],
    }


def _has_run(status: Mapping[str, Any]) -> bool:
    return "waiting" not in status["state"] or "terminated" in (status.get("lastState") or {})


def _completed(pod: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    container = podspec.find_container(pod, status["name"])
    if container is not None and container.kind == "sidecar":
        return "running" in status["state"] and bool(status.get("started"))
    ends = (status["state"].get("terminated"), (status.get("lastState") or {}).get("terminated"))
    return any(end is not None and end.get("exitCode") == 0 for end in ends)


def _ended(status: Object) -> Object:
    if "terminated" in status["state"]:
        return status
    return {**status, "state": {"terminated": _lost("The container could not be located when the pod was terminated")}}
