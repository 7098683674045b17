"""VolumeRestrictions: disks that cannot be mounted twice, and claims that only one pod may use (ReadWriteOncePod)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct

from steersman.meta import objects
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import SKIP, Codes, EnqueuePlugin, FilterPlugin, PreFilterPlugin, Rejection
from steersman.scheduler.label_column import Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo, parse_pod
from steersman.scheduler.volumes import is_own_claim

_DISK, _ONE_POD = 1, 2
_REJECTIONS = {
    _DISK: Rejection(reasons=("node(s) had no available disk",)),
    _ONE_POD: Rejection(
        reasons=(
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by "
            "another pod",
        )
    ),
}


class Restrictions(Struct, frozen=True, kw_only=True):
    """What the pod's volumes forbid."""

    disks: tuple[Mapping[str, Any], ...]
    is_claim_taken: bool


class VolumeRestrictions:
    NAME: ClassVar[str] = "VolumeRestrictions"
    LOCAL: ClassVar[bool] = False
    READS_PODS: ClassVar[bool] = True

    @classmethod
    def from_args(cls, args: Args) -> VolumeRestrictions:
        reject_unknown(args, ())
        return cls()

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        disks = tuple(disk for disk in pod.template.disks if _is_exclusive(disk))
        if not disks and not pod.claims:
            return SKIP
        taken = False
        for volume in pod.obj["spec"].get("volumes") or ():
            if not volume.get("persistentVolumeClaim"):
                continue
            name = str(volume["persistentVolumeClaim"].get("claimName") or "")
            key = objects.make_key(pod.namespace, name)
            claim = cluster.lister(PERSISTENTVOLUMECLAIMS).get(key)
            if claim is None:
                return Rejection(reasons=(f'persistentvolumeclaim "{name}" not found',), unresolvable=True)
            if "ReadWriteOncePod" in ((claim.get("spec") or {}).get("accessModes") or ()):
                taken = taken or key in cluster.nodes.claim_users
        return Restrictions(disks=disks, is_claim_taken=taken) if disks or taken else SKIP

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        numbers = np.arange(table.capacity)[rows]
        codes = np.full(numbers.shape, _ONE_POD if state.is_claim_taken else 0, dtype=np.int64)
        if state.disks:
            for index, row in enumerate(numbers):
                if row < table.count and any(
                    _conflict(mine, theirs)
                    for other in table.pods_on(int(row)).values()
                    for theirs in other.template.disks
                    for mine in state.disks
                ):
                    codes[index] = _DISK
        return codes

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTIONS[code]

    def events(self) -> Sequence[EventInterest]:
        return (
            EventInterest(resource="Pod", actions=frozenset({"Delete"}), hint=_shared_volumes),
            EventInterest(resource="Node", actions=frozenset({"Add"})),
            EventInterest(resource="PersistentVolumeClaim", actions=frozenset({"Add"}), hint=is_own_claim),
        )


def _is_exclusive(disk: Mapping[str, Any]) -> bool:
    return any(kind in disk for kind in ("gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd"))


def _conflict(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    def both(kind: str) -> bool:
        return bool(mine.get(kind)) and bool(theirs.get(kind))

    def read_only(kind: str) -> bool:
        return bool(mine[kind].get("readOnly")) and bool(theirs[kind].get("readOnly"))

    def same(kind: str, field: str, default: str = "") -> bool:
        return bool(mine[kind].get(field, default) == theirs[kind].get(field, default))

    if both("gcePersistentDisk") and same("gcePersistentDisk", "pdName") and not read_only("gcePersistentDisk"):
        return True
    if both("awsElasticBlockStore") and same("awsElasticBlockStore", "volumeID"):
        return True
    if both("iscsi") and same("iscsi", "iqn") and not read_only("iscsi"):
        return True
    if both("rbd") and same("rbd", "pool", "rbd") and same("rbd", "image") and not read_only("rbd"):
        return bool(set(mine["rbd"].get("monitors") or ()) & set(theirs["rbd"].get("monitors") or ()))
    return False


def _shared_volumes(pod: PodInfo, event: ClusterEvent) -> bool:
    if event.old is None or objects.namespace(event.old) != pod.namespace:
        return False
    gone = parse_pod(event.old)
    if set(gone.claims) & set(pod.claims):
        return True
    return any(_conflict(mine, theirs) for mine in pod.template.disks for theirs in gone.template.disks)


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin, EnqueuePlugin]:
    return VolumeRestrictions(), VolumeRestrictions(), VolumeRestrictions()
