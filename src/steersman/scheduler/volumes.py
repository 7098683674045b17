"""PersistentVolumeClaims and PersistentVolumes as scheduling looks at them.

Source: "Persistent Volumes" and "Storage Classes" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import to_int
from steersman.meta.resources import CSIDRIVERS, CSISTORAGECAPACITIES, STORAGECLASSES
from steersman.scheduler.affinity import RequiredNodeAffinity, node_selector_terms, selector_or_nothing
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_selection import matching_nodes
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.pod_info import PodInfo

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Object) -> str:
    """The storage class of a claim or a volume; empty for none."""
    stated = objects.annotations(obj).get(_CLASS_ANNOTATION)
    return str(stated if stated is not None else (obj.get("spec") or {}).get("storageClassName") or "")


def is_own_claim(pod: PodInfo, event: ClusterEvent) -> bool:
    """A queueing hint: the claim that was made or changed is one of the pod's."""
    claim = event.new or {}
    return objects.namespace(claim) == pod.namespace and objects.name(claim) in pod.claims


def is_bound(claim: Object) -> bool:
    """The claim has its volume, and the volume controller has finished with it."""
    return bool((claim.get("spec") or {}).get("volumeName")) and BIND_COMPLETED in objects.annotations(claim)


def waits_for_consumer(claim: Object, cluster: Cluster) -> bool:
    """The claim's volume is chosen once its pod has a node."""
    storage_class = cluster.lister(STORAGECLASSES).get(class_of(claim))
    return (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"


def requested_bytes(claim: Object) -> int:
    stated = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    return to_int(stated) if stated is not None else 0


def capacity_bytes(volume: Object) -> int:
    stated = ((volume.get("spec") or {}).get("capacity") or {}).get("storage")
    return to_int(stated) if stated is not None else 0


def reachable_from(volume: Object, table: NodeTable, rows: Rows) -> Mask:
    """Nodes that the volume's node affinity allows."""
    required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required")
    if required is None:
        return np.ones(table.alive[rows].shape, dtype=np.bool_)
    terms = node_selector_terms(required.get("nodeSelectorTerms") or ())
    return matching_nodes(RequiredNodeAffinity(terms=terms), table, rows)


def is_promised_to(volume: Object, claim: Object) -> bool:
    """The volume's ``claimRef`` names this claim."""
    reference = (volume.get("spec") or {}).get("claimRef") or {}
    return (
        bool(reference)
        and (reference.get("name"), reference.get("namespace")) == (objects.name(claim), objects.namespace(claim))
        and reference.get("uid", "") in ("", objects.uid(claim))
    )


def suits(volume: Object, claim: Object) -> bool:
    """The volume could be bound to the claim, wherever it is reachable from."""
    spec, wanted = volume.get("spec") or {}, claim.get("spec") or {}
    if objects.is_deleting(volume) or capacity_bytes(volume) < requested_bytes(claim):
        return False
    if spec.get("volumeMode", "Filesystem") != wanted.get("volumeMode", "Filesystem"):
        return False
    if (spec.get("volumeAttributesClassName") or "") != (wanted.get("volumeAttributesClassName") or ""):
        return False
    if is_promised_to(volume, claim):
        return True
    if spec.get("claimRef") or (volume.get("status") or {}).get("phase") != "Available":
        return False
    if class_of(volume) != class_of(claim):
        return False
    if wanted.get("selector") and not selector_or_nothing(wanted["selector"]).matches(objects.labels(volume)):
        return False
    return set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())


def provisionable_on(claim: Object, cluster: Cluster, rows: Rows) -> tuple[Mask, Mask]:
    """(nodes whose topology the class allows, nodes with enough free storage), for a volume made on demand."""
    table = cluster.nodes
    shape = table.alive[rows].shape
    storage_class = cluster.lister(STORAGECLASSES).get(class_of(claim)) or {}
    provisioner = storage_class.get("provisioner") or ""
    if provisioner in ("", NO_PROVISIONER):
        return np.zeros(shape, dtype=np.bool_), np.ones(shape, dtype=np.bool_)
    allowed = _allowed_topologies(storage_class.get("allowedTopologies") or (), table, rows)
    return allowed, _enough_capacity(claim, storage_class, provisioner, cluster, rows)


def _allowed_topologies(terms: Iterable[Mapping[str, Any]], table: NodeTable, rows: Rows) -> Mask:
    masks = []
    for term in terms:
        mask = np.ones(table.alive[rows].shape, dtype=np.bool_)
        for entry in term.get("matchLabelExpressions") or ():
            column = table.column(str(entry.get("key")))
            wanted = [column.id_of(value) for value in entry.get("values") or () if column.id_of(value) >= 0]
            mask &= np.isin(column.ids[rows], wanted)
        masks.append(mask)
    return np.logical_or.reduce(masks) if masks else np.ones(table.alive[rows].shape, dtype=np.bool_)


def _enough_capacity(claim: Object, storage_class: Object, provisioner: str, cluster: Cluster, rows: Rows) -> Mask:
    table = cluster.nodes
    driver = cluster.lister(CSIDRIVERS).get(provisioner)
    needed = requested_bytes(claim)
    if not needed or not ((driver or {}).get("spec") or {}).get("storageCapacity"):
        return np.ones(table.alive[rows].shape, dtype=np.bool_)
    enough = np.zeros(table.alive[rows].shape, dtype=np.bool_)
    for capacity in cluster.lister(CSISTORAGECAPACITIES).all():
        limit = volume_limit_bytes(capacity)
        if capacity.get("storageClassName") != objects.name(storage_class) or limit is None or limit < needed:
            continue
        topology = capacity.get("nodeTopology")
        if topology is None:
            continue
        selector = selector_or_nothing(topology)
        mask = np.full(enough.shape, not selector.matches_nothing)
        for requirement in selector.requirements:
            mask &= table.column(requirement.key).matches(requirement, rows)
        enough |= mask
    return enough


def volume_limit_bytes(capacity: Object) -> int | None:
    """The largest volume that can be made, of what a CSIStorageCapacity says."""
    stated = capacity.get("maximumVolumeSize") or capacity.get("capacity")
    return None if stated is None else to_int(stated)
