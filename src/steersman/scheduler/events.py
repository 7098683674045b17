"""Cluster events and what they mean for pods that do not fit: the vocabulary of queueing hints.

Source: KEP-4247 (queueing hints).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    DEVICECLASSES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    RESOURCECLAIMS,
    RESOURCESLICES,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
    Resource,
)
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.pod_requests import pod_requests

EventResource = Literal[
    "Pod", "AssignedPod", "UnscheduledPod", "Node", "PersistentVolume", "PersistentVolumeClaim", "CSINode", "CSIDriver",
    "VolumeAttachment", "CSIStorageCapacity", "StorageClass", "ResourceClaim", "ResourceSlice", "DeviceClass", "*",
]  # fmt: skip
Action = Literal[
    "Add", "Delete", "Update", "UpdateNodeAllocatable", "UpdateNodeLabel", "UpdateNodeTaint", "UpdateNodeCondition",
    "UpdateNodeAnnotation", "UpdateNodeDeclaredFeature", "UpdatePodLabel", "UpdatePodScaleDown",
    "UpdatePodToleration", "UpdatePodSchedulingGatesEliminated", "UpdatePodGeneratedResourceClaim",
]  # fmt: skip


_EVENT_RESOURCES: Mapping[Resource, EventResource] = {
    PERSISTENTVOLUMES: "PersistentVolume",
    PERSISTENTVOLUMECLAIMS: "PersistentVolumeClaim",
    STORAGECLASSES: "StorageClass",
    CSINODES: "CSINode",
    CSIDRIVERS: "CSIDriver",
    CSISTORAGECAPACITIES: "CSIStorageCapacity",
    VOLUMEATTACHMENTS: "VolumeAttachment",
    RESOURCECLAIMS: "ResourceClaim",
    RESOURCESLICES: "ResourceSlice",
    DEVICECLASSES: "DeviceClass",
}


class ClusterEvent(Struct, frozen=True, kw_only=True):
    """Something changed. ``old`` is None for additions, ``new`` for deletions."""

    resource: EventResource
    action: Action
    old: Object | None = None
    new: Object | None = None
    label: str = ""
    """For events without an object, upstream's name of them: ``UnschedulableTimeout``."""

    def __str__(self) -> str:
        return self.label or f"{self.resource}{self.action}"

    @property
    def metric_label(self) -> str:
        """As upstream's metrics name it."""
        return str(self).replace("UnscheduledPod", "UnschedulablePod")


Hint = Callable[[PodInfo, ClusterEvent], bool]
"""Whether the event can make the pod fit."""


class EventInterest(Struct, frozen=True, kw_only=True):
    """A plugin wants to hear of these events, for pods that it rejected."""

    resource: EventResource
    actions: frozenset[Action]
    hint: Hint | None = None
    """None: every such event can."""

    def covers(self, event: ClusterEvent) -> bool:
        if self.resource != event.resource and not (
            self.resource == "Pod" and event.resource in ("AssignedPod", "UnscheduledPod")
        ):
            return False
        return event.action in self.actions or ("Update" in self.actions and event.action.startswith("Update"))


EVERYTHING_CHANGED = ClusterEvent(resource="*", action="Update", label="UnschedulableTimeout")
"""Not an event of the cluster: unschedulable pods are tried again after a while whatever the hints say."""


def node_events(old: Object | None, new: Object | None) -> list[ClusterEvent]:
    """What changed about a node, as far as scheduling goes; heartbeats give nothing."""
    if old is None or new is None:
        return [ClusterEvent(resource="Node", action="Add" if new else "Delete", old=old, new=new)]
    actions: list[Action] = []
    old_spec, new_spec = old.get("spec") or {}, new.get("spec") or {}
    old_status, new_status = old.get("status") or {}, new.get("status") or {}
    if (old_spec.get("unschedulable") and not new_spec.get("unschedulable")) or (
        (old_spec.get("taints") or []) != (new_spec.get("taints") or [])
    ):
        actions.append("UpdateNodeTaint")
    if old_status.get("allocatable") != new_status.get("allocatable"):
        actions.append("UpdateNodeAllocatable")
    if objects.labels(old) != objects.labels(new):
        actions.append("UpdateNodeLabel")
    if _condition_statuses(old_status) != _condition_statuses(new_status):
        actions.append("UpdateNodeCondition")
    if objects.annotations(old) != objects.annotations(new):
        actions.append("UpdateNodeAnnotation")
    if old_status.get("declaredFeatures") != new_status.get("declaredFeatures"):
        actions.append("UpdateNodeDeclaredFeature")
    return [ClusterEvent(resource="Node", action=action, old=old, new=new) for action in actions]


def lookup_events(resource: Resource, old: Object | None, new: Object | None) -> list[ClusterEvent]:
    """Something that plugins look up came, changed or went; empty for kinds that no plugin waits for."""
    about = _EVENT_RESOURCES.get(resource)
    if about is None:
        return []
    action: Action = "Add" if old is None else "Delete" if new is None else "Update"
    return [ClusterEvent(resource=about, action=action, old=old, new=new)]


def pod_events(old: Object | None, new: Object | None) -> list[ClusterEvent]:
    """What changed about a pod, as far as scheduling of it or of others goes."""
    current = new if new is not None else old
    assert current is not None
    resource: EventResource = "AssignedPod" if (current.get("spec") or {}).get("nodeName") else "UnscheduledPod"
    if old is None or new is None:
        return [ClusterEvent(resource=resource, action="Add" if new else "Delete", old=old, new=new)]
    actions: list[Action] = []
    old_spec, new_spec = old.get("spec") or {}, new.get("spec") or {}
    if objects.labels(old) != objects.labels(new):
        actions.append("UpdatePodLabel")
    if _is_scaled_down(old, new):
        actions.append("UpdatePodScaleDown")
    if old_spec.get("schedulingGates") and not new_spec.get("schedulingGates"):
        actions.append("UpdatePodSchedulingGatesEliminated")
    if len(old_spec.get("tolerations") or ()) != len(new_spec.get("tolerations") or ()):
        actions.append("UpdatePodToleration")
    if _generated_claims(old) != _generated_claims(new):
        actions.append("UpdatePodGeneratedResourceClaim")
    if not actions:
        actions.append("Update")
    return [ClusterEvent(resource=resource, action=action, old=old, new=new) for action in actions]


def _is_scaled_down(old: Object, new: Object) -> bool:
    before, after = pod_requests(old).amounts, pod_requests(new).amounts
    return before is not after and any(value > after.get(name, 0) for name, value in before.items())


def _generated_claims(pod: Object) -> list[Any]:
    return (pod.get("status") or {}).get("resourceClaimStatuses") or []


def _condition_statuses(status: Mapping[str, Any]) -> dict[str, Any]:
    return {entry.get("type"): entry.get("status") for entry in status.get("conditions") or ()}
