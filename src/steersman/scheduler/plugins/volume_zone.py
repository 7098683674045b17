"""VolumeZone: a pod whose volumes carry zone or region labels goes where nodes have the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, STORAGECLASSES
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import SKIP, Codes, EnqueuePlugin, FilterPlugin, PreFilterPlugin, Rejection
from steersman.scheduler.label_column import ABSENT, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.volumes import class_of, is_own_claim

ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
_CURRENT_NAME = {
    "failure-domain.beta.kubernetes.io/zone": ZONE,
    "failure-domain.beta.kubernetes.io/region": REGION,
    ZONE: ZONE,
    REGION: REGION,
}
_SEPARATOR = "__"
_REJECTION = Rejection(reasons=("node(s) had no available volume zone",), unresolvable=True)


class VolumeZone:
    NAME: ClassVar[str] = "VolumeZone"
    LOCAL: ClassVar[bool] = False
    READS_PODS: ClassVar[bool] = False

    @classmethod
    def from_args(cls, args: Args) -> VolumeZone:
        reject_unknown(args, ())
        return cls()

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        """(label, values) that the pod's volumes demand."""
        demanded: list[tuple[str, frozenset[str]]] = []
        for volume in pod.obj["spec"].get("volumes") or () if pod.claims else ():
            if not volume.get("persistentVolumeClaim"):
                continue
            name = str(volume["persistentVolumeClaim"].get("claimName") or "")
            found = _demands_of(name, pod.namespace, cluster)
            if isinstance(found, Rejection):
                return found
            demanded += found
        return tuple(demanded) or SKIP

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        has_topology = np.zeros(table.alive[rows].shape, dtype=np.bool_)
        for label in _CURRENT_NAME:
            has_topology |= table.column(label).ids[rows] != ABSENT
        codes = np.zeros(has_topology.shape, dtype=np.int64)
        for label, values in state:
            own, current = table.column(label), table.column(_CURRENT_NAME[label])
            right = np.isin(own.ids[rows], [own.id_of(value) for value in values if own.id_of(value) >= 0])
            right_by_current = np.isin(
                current.ids[rows], [current.id_of(value) for value in values if current.id_of(value) >= 0]
            )
            matches = np.where(own.ids[rows] != ABSENT, right, right_by_current)
            codes |= (has_topology & ~matches).astype(np.int64)
        return codes

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTION

    def events(self) -> Sequence[EventInterest]:
        return (
            EventInterest(resource="StorageClass", actions=frozenset({"Add"}), hint=_waits_for_consumer),
            EventInterest(resource="Node", actions=frozenset({"Add", "UpdateNodeLabel"})),
            EventInterest(resource="PersistentVolumeClaim", actions=frozenset({"Add", "Update"}), hint=is_own_claim),
            EventInterest(resource="PersistentVolume", actions=frozenset({"Add", "Update"}), hint=_topology_changed),
        )


def _demands_of(name: str, namespace: str, cluster: Cluster) -> list[tuple[str, frozenset[str]]] | Rejection:
    def rejected(reason: str) -> Rejection:
        return Rejection(reasons=(reason,), unresolvable=True)

    if not name:
        return rejected("PersistentVolumeClaim had no name")
    claim = cluster.lister(PERSISTENTVOLUMECLAIMS).get(objects.make_key(namespace, name))
    if claim is None:
        return rejected(f'persistentvolumeclaim "{name}" not found')
    volume_name = (claim.get("spec") or {}).get("volumeName")
    if volume_name:
        volume = cluster.lister(PERSISTENTVOLUMES).get(volume_name)
        return rejected(f'persistentvolume "{volume_name}" not found') if volume is None else _topology_of(volume)
    wanted = class_of(claim)
    if not wanted:
        return rejected("PersistentVolumeClaim had no pv name and storageClass name")
    storage_class = cluster.lister(STORAGECLASSES).get(wanted)
    if storage_class is None:
        return rejected(f'storageclass.storage.k8s.io "{wanted}" not found')
    mode = storage_class.get("volumeBindingMode")
    if mode is None:
        return rejected(f'VolumeBindingMode not set for StorageClass "{wanted}"')
    return [] if mode == "WaitForFirstConsumer" else rejected("PersistentVolume had no name")


def _topology_of(volume: Object) -> list[tuple[str, frozenset[str]]]:
    labels = objects.labels(volume)
    found = []
    for label in _CURRENT_NAME:
        values = [part.strip() for part in labels[label].split(_SEPARATOR)] if label in labels else []
        if values and all(values):
            found.append((label, frozenset(values)))
    return found


def _waits_for_consumer(pod: PodInfo, event: ClusterEvent) -> bool:
    return (event.new or {}).get("volumeBindingMode") == "WaitForFirstConsumer"


def _topology_changed(pod: PodInfo, event: ClusterEvent) -> bool:
    return event.old is None or _topology_of(event.old) != _topology_of(event.new or {})


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin, EnqueuePlugin]:
    return VolumeZone(), VolumeZone(), VolumeZone()
