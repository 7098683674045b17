"""What controllers ask of a pod: does it count, is it ready, since when, and which of many to delete first.

Pods are shared with caches and never changed here. Source of the deletion order: "Pod deletion cost" and the ReplicaSet page of
the Kubernetes documentation, KEP-2255 (cost), KEP-2185 (logarithmic age).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steersman.meta import objects, times
from steersman.meta.objects import Object

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
FINISHED = frozenset({"Succeeded", "Failed"})
_PHASE_ORDER: Mapping[str, int] = {"Pending": 0, "Unknown": 1, "Running": 2}
_ORPHANS = "orphan/"


def phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_finished(pod: Mapping[str, Any]) -> bool:
    """Succeeded or Failed: none of its containers runs again."""
    return (pod.get("status") or {}).get("phase") in FINISHED


def is_active(pod: Mapping[str, Any]) -> bool:
    """Neither finished nor being deleted: it counts as a replica."""
    return not pod["metadata"].get("deletionTimestamp") and not is_finished(pod)


def is_terminating(pod: Mapping[str, Any]) -> bool:
    """Being deleted and not finished yet."""
    return bool(pod["metadata"].get("deletionTimestamp")) and not is_finished(pod)


def node_name(pod: Mapping[str, Any]) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def is_ready(pod: Mapping[str, Any]) -> bool:
    for entry in (pod.get("status") or {}).get("conditions") or ():
        if entry["type"] == "Ready":
            return bool(entry["status"] == "True")
    return False


def ready_since_s(pod: Mapping[str, Any]) -> float | None:
    """When the Ready condition became True, epoch seconds; None where it is not True, 0 where the time is missing."""
    for entry in (pod.get("status") or {}).get("conditions") or ():
        if entry["type"] == "Ready":
            if entry["status"] != "True":
                return None
            since = entry.get("lastTransitionTime")
            return times.parse_time(since) if since else 0.0
    return None


def is_available(pod: Mapping[str, Any], min_ready_s: int, now_s: float) -> bool:
    """Ready for at least ``min_ready_s``."""
    if not min_ready_s:
        return is_ready(pod)
    since_s = ready_since_s(pod)
    return bool(since_s) and since_s is not None and since_s + min_ready_s <= now_s


def next_availability_s(pods: Iterable[Mapping[str, Any]], min_ready_s: int, now_s: float) -> float | None:
    """In how many seconds the next of the ready pods becomes available; None where none is on its way."""
    waits = [
        since_s + min_ready_s - now_s
        for since_s in map(ready_since_s, pods)
        if since_s is not None and since_s + min_ready_s > now_s
    ]
    return min(waits, default=None)


def created_s(obj: Mapping[str, Any]) -> float:
    created = objects.metadata(obj).get("creationTimestamp")
    return times.parse_time(created) if created else 0.0


def by_controller(obj: Object) -> Iterable[str]:
    """Index: the uid of the controlling owner; objects that nobody controls are found under ``orphans_of``."""
    reference = objects.controller_of(obj)
    return (reference["uid"] if reference else orphans_of(objects.namespace(obj)),)


def orphans_of(namespace: str) -> str:
    return _ORPHANS + namespace


def by_node(pod: Object) -> Iterable[str]:
    """Index: the node that the pod is bound to."""
    node = node_name(pod)
    return (node,) if node else ()


def by_claim(pod: Object) -> Iterable[str]:
    """Index: keys of the claims that a pod mounts, also of those made for its ephemeral volumes."""
    namespace, names = objects.namespace(pod), []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral") is not None:
            names.append(f"{objects.name(pod)}-{volume['name']}")
    return [objects.make_key(namespace, name) for name in names]


def has_stopped(pod: Mapping[str, Any]) -> bool:
    """Finished, or being deleted with no container that may still run: it uses none of its volumes."""
    if is_finished(pod):
        return True
    status = pod.get("status") or {}
    states = [
        entry.get("state") or {}
        for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for entry in status.get(field) or ()
    ]
    return bool(pod["metadata"].get("deletionTimestamp")) and all("terminated" in s or "waiting" in s for s in states)


def restarts(pod: Mapping[str, Any]) -> tuple[int, int]:
    """The most restarts of any container, and of any sidecar."""
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    sidecars = {
        container["name"]
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    return (
        max((entry.get("restartCount", 0) for entry in status.get("containerStatuses") or ()), default=0),
        max(
            (
                entry.get("restartCount", 0)
                for entry in status.get("initContainerStatuses") or ()
                if entry["name"] in sidecars
            ),
            default=0,
        ),
    )


def deletion_cost(pod: Mapping[str, Any]) -> int:
    """The annotation's value, a 32-bit integer without leading zeros or plus sign; 0 where it is absent or malformed."""
    text = objects.annotations(pod).get(DELETION_COST)
    if text is None:
        return 0
    digits = text.removeprefix("-")
    if not digits.isdecimal() or not digits.isascii() or (digits[0] == "0" and text != "0"):
        return 0
    return int(text) if -(2**31) <= int(text) < 2**31 else 0


def deletion_order(
    candidates: Sequence[Object],
    *,
    ready_per_node: Mapping[str, int] | None = None,
    now_s: float | None = None,
    by_cost: bool = True,
) -> list[Object]:
    """``candidates`` with those to delete first in front: without a node before those with one, Pending before Unknown before
    Running, not ready first, low cost first, on crowded nodes first, ready for a short time first, restarted often first, young
    first.

    ``ready_per_node`` counts the active pods of related ReplicaSets on each node: of crowded nodes more are deleted. With
    ``now_s`` ages are compared on a logarithmic scale, so that among pods of similar age the choice is spread by uid.
    """
    crowd = ready_per_node or {}

    def rank(pod: Object) -> tuple[Any, ...]:
        node, ready_s = node_name(pod), ready_since_s(pod)
        often, sidecars_often = restarts(pod)
        return (
            1 if node else 0,
            _PHASE_ORDER.get(phase(pod), 2),
            0 if ready_s is None else 1,
            deletion_cost(pod) if by_cost else 0,
            -crowd.get(node, 0),
            _youth(ready_s, now_s),
            -often,
            -sidecars_often,
            _youth(created_s(pod), now_s),
            objects.uid(pod) if now_s is not None else "",
        )

    return sorted(candidates, key=rank)


def _youth(since_s: float | None, now_s: float | None) -> float:
    """Sorts what began recently first, and what began nobody knows when before that."""
    if not since_s:
        return -math.inf
    if now_s is None:
        return -since_s
    age_s = now_s - since_s
    return int(math.log2(age_s * 1e9)) if age_s > 0 else -1


def finished_s(pod: Mapping[str, Any]) -> float:
    """When the pod ended, as near as its status tells: its last container, its readiness, its deletion, its creation."""
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    sidecars = {entry["name"] for entry in spec.get("initContainers") or () if entry.get("restartPolicy") == "Always"}
    ended = [
        ((entry.get("state") or {}).get("terminated") or {}).get("finishedAt")
        for entry in [
            *(status.get("containerStatuses") or ()),
            *(entry for entry in status.get("initContainerStatuses") or () if entry["name"] in sidecars),
        ]
    ]
    if ended and all(ended):
        return max(times.parse_time(text) for text in ended if text)
    ready = objects.condition(pod, "Ready")
    if ready is not None and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return times.parse_time(ready["lastTransitionTime"])
    metadata = objects.metadata(pod)
    if metadata.get("deletionTimestamp"):
        return times.parse_time(metadata["deletionTimestamp"]) - (metadata.get("deletionGracePeriodSeconds") or 0)
    return created_s(pod)
