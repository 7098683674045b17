"""NodeVolumeLimits: a node attaches no more volumes of a CSI driver than its CSINode says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CSINODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
)
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import SKIP, Codes, EnqueuePlugin, FilterPlugin, PreFilterPlugin, Rejection
from steersman.scheduler.label_column import Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.volumes import class_of, is_own_claim

_REJECTION = Rejection(reasons=("node(s) exceed max volume count",))
Volume = tuple[str, str]
"""(driver, what identifies the volume to it)."""


class NewVolumes(Struct, frozen=True, kw_only=True):
    """The CSI volumes that the pod would need attached."""

    cluster: Cluster
    volumes: frozenset[Volume]


class NodeVolumeLimits:
    NAME: ClassVar[str] = "NodeVolumeLimits"
    LOCAL: ClassVar[bool] = False
    READS_PODS: ClassVar[bool] = True

    @classmethod
    def from_args(cls, args: Args) -> NodeVolumeLimits:
        reject_unknown(args, ())
        return cls()

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        if not pod.claims:
            return SKIP
        keys = [objects.make_key(pod.namespace, name) for name in pod.claims]
        volumes = frozenset(volume for key in keys if (volume := _volume_of(key, cluster)) is not None)
        return NewVolumes(cluster=cluster, volumes=volumes) if volumes else SKIP

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        numbers = np.arange(table.capacity)[rows]
        codes = np.zeros(numbers.shape, dtype=np.int64)
        attached = _attached(state.cluster)
        for index, row in enumerate(numbers):
            if row >= table.count or not table.alive[row]:
                continue
            name = table.names[row]
            limits = _limits(state.cluster.lister(CSINODES).get(name))
            if not limits:
                continue
            there = set(attached.get(name, ()))
            there |= {
                volume for key in table.claims_on(int(row)) if (volume := _volume_of(key, state.cluster)) is not None
            }
            for driver in {driver for driver, _ in state.volumes if driver in limits}:
                new = {volume for volume in state.volumes if volume[0] == driver} - there
                if new and len(new) + sum(volume[0] == driver for volume in there) > limits[driver]:
                    codes[index] = 1
        return codes

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTION

    def events(self) -> Sequence[EventInterest]:
        return (
            EventInterest(resource="CSINode", actions=frozenset({"Add"})),
            EventInterest(resource="CSINode", actions=frozenset({"Update"}), hint=_limit_grew),
            EventInterest(resource="Pod", actions=frozenset({"Delete"}), hint=_had_claims),
            EventInterest(resource="PersistentVolumeClaim", actions=frozenset({"Add"}), hint=is_own_claim),
            EventInterest(resource="VolumeAttachment", actions=frozenset({"Delete"}), hint=_has_claims),
        )


def _volume_of(claim_key: str, cluster: Cluster) -> Volume | None:
    """The CSI volume behind a claim; one that is still to be made counts under the claim's own name."""
    claim = cluster.lister(PERSISTENTVOLUMECLAIMS).get(claim_key)
    if claim is None:
        return None
    volume = cluster.lister(PERSISTENTVOLUMES).get(str((claim.get("spec") or {}).get("volumeName") or ""))
    if volume is None:
        storage_class = cluster.lister(STORAGECLASSES).get(class_of(claim))
        driver = (storage_class or {}).get("provisioner")
        return (str(driver), f"claim:{claim_key}") if driver else None
    csi = (volume.get("spec") or {}).get("csi")
    return (str(csi.get("driver")), str(csi.get("volumeHandle"))) if csi else None


def _limits(csi_node: Object | None) -> dict[str, int]:
    drivers: Iterable[Object] = ((csi_node or {}).get("spec") or {}).get("drivers") or ()
    return {
        str(driver.get("name")): int(driver["allocatable"]["count"])
        for driver in drivers
        if (driver.get("allocatable") or {}).get("count") is not None
    }


def _attached(cluster: Cluster) -> dict[str, set[Volume]]:
    """Node to the volumes that VolumeAttachments attach there."""
    result: dict[str, set[Volume]] = {}
    for attachment in cluster.lister(VOLUMEATTACHMENTS).all():
        spec = attachment.get("spec") or {}
        volume = cluster.lister(PERSISTENTVOLUMES).get(
            str((spec.get("source") or {}).get("persistentVolumeName") or "")
        )
        csi = ((volume or {}).get("spec") or {}).get("csi")
        if csi:
            volumes = result.setdefault(str(spec.get("nodeName")), set())
            volumes.add((str(spec.get("attacher")), str(csi.get("volumeHandle"))))
    return result


def _limit_grew(pod: PodInfo, event: ClusterEvent) -> bool:
    before, after = _limits(event.old), _limits(event.new)
    return any(limit > before.get(driver, 0) for driver, limit in after.items())


def _had_claims(pod: PodInfo, event: ClusterEvent) -> bool:
    spec = (event.old or {}).get("spec") or {}
    return bool(spec.get("nodeName")) and any(
        volume.get("persistentVolumeClaim") or volume.get("ephemeral") for volume in spec.get("volumes") or ()
    )


def _has_claims(pod: PodInfo, event: ClusterEvent) -> bool:
    return bool(pod.claims)


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin, EnqueuePlugin]:
    return NodeVolumeLimits(), NodeVolumeLimits(), NodeVolumeLimits()
