"""VolumeBinding: a pod's volumes are reachable from its node, or can be bound or made there.

Claims that wait for their first consumer are decided together with the node: ``reserve`` takes suitable volumes (or asks for
new ones), ``pre_bind`` writes that down and waits for the volume controller to finish.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct, field

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, Resource
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import Action, ClusterEvent, EventInterest
from steersman.scheduler.framework import (
    SKIP,
    Codes,
    EnqueuePlugin,
    Errand,
    ErrandFailed,
    FilterPlugin,
    PreBindPlugin,
    PreFilterPlugin,
    Rejection,
    ReservePlugin,
    Until,
    Write,
)
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, ArgsError, integer, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.volumes import (
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    capacity_bytes,
    is_bound,
    is_own_claim,
    is_promised_to,
    provisionable_on,
    reachable_from,
    requested_bytes,
    suits,
    volume_limit_bytes,
    waits_for_consumer,
)

_NODE_CONFLICT, _BIND_CONFLICT, _NO_SPACE, _NO_VOLUME = 1, 2, 4, 8
_REASONS = {
    _NODE_CONFLICT: "node(s) didn't match PersistentVolume's node affinity",
    _BIND_CONFLICT: "node(s) didn't find available persistent volumes to bind",
    _NO_SPACE: "node(s) did not have enough free storage",
    _NO_VOLUME: "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
}
_UNBOUND = Rejection(reasons=("pod has unbound immediate PersistentVolumeClaims",), unresolvable=True)


class Claims(Struct, frozen=True, kw_only=True):
    """The state of filtering: a pod's claims, sorted out."""

    cluster: Cluster
    bound: tuple[Object, ...]
    waiting: tuple[Object, ...]
    """The smallest first: they take their pick in this order."""
    candidates: tuple[tuple[Object, ...], ...]
    """For each waiting claim the volumes that suit it, the smallest first."""


class Binding(Struct, frozen=True, kw_only=True):
    """What a node means for the waiting claims."""

    chosen: tuple[tuple[Object, Object], ...]
    """(volume, claim)."""
    to_make: tuple[Object, ...]
    """Claims whose volumes are to be made."""


class VolumeBinding(Struct, kw_only=True, eq=False):
    NAME: ClassVar[str] = "VolumeBinding"
    LOCAL: ClassVar[bool] = False
    READS_PODS: ClassVar[bool] = False

    bind_timeout_s: float = 600.0
    _assumed: dict[tuple[Resource, str], Object] = field(default_factory=dict)
    """Volumes and claims as they will be once the API knows."""
    _bindings: dict[str, Binding] = field(default_factory=dict)
    """By the uid of pods that are being bound."""

    @classmethod
    def from_args(cls, args: Args) -> VolumeBinding:
        reject_unknown(args, ("bindTimeoutSeconds", "shape"))
        if args.get("shape"):
            raise ArgsError("shape: Unsupported value: needs the feature gate StorageCapacityScoring, which is off")
        return cls(bind_timeout_s=float(integer(args, "bindTimeoutSeconds", 600, least=0, most=2**31)))

    # -- filter ------------------------------------------------------------------------------------------------------

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        if not pod.claims:
            return SKIP
        found = self._claims(pod, cluster)
        if isinstance(found, Rejection):
            return found
        bound = [claim for claim in found if is_bound(claim)]
        waiting = []
        for claim in found:
            if is_bound(claim):
                continue
            if claim["spec"].get("volumeName") or not waits_for_consumer(claim, cluster):
                return _UNBOUND
            waiting.append(claim)
        waiting.sort(key=requested_bytes)
        return Claims(
            cluster=cluster,
            bound=tuple(bound),
            waiting=tuple(waiting),
            candidates=tuple(self._suiting(claim, cluster) for claim in waiting),
        )

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        codes = np.zeros(table.alive[rows].shape, dtype=np.int64)
        for claim in state.bound:
            volume = self._get(state.cluster, PERSISTENTVOLUMES, claim["spec"]["volumeName"])
            if volume is None:
                codes |= _NO_VOLUME
            else:
                codes |= np.where(reachable_from(volume, table, rows), 0, _NODE_CONFLICT)
        if state.waiting:
            codes |= self._filter_waiting(state, table, rows)
        return codes

    def rejection(self, state: Any, code: int) -> Rejection:
        return Rejection(reasons=tuple(text for bit, text in _REASONS.items() if code & bit), unresolvable=True)

    def _filter_waiting(self, state: Claims, table: NodeTable, rows: Rows) -> Codes:
        numbers = np.arange(table.capacity)[rows]
        codes = np.zeros(numbers.shape, dtype=np.int64)
        for claim in state.waiting:
            selected = objects.annotations(claim).get(SELECTED_NODE)
            if selected:
                codes |= np.where(numbers == table.rows.get(selected, -1), 0, _BIND_CONFLICT)
        unmatched = self._unmatched(state, table, rows)
        for index, claim in enumerate(state.waiting):
            to_make = unmatched[index]
            if to_make.any():
                allowed, enough = provisionable_on(claim, state.cluster, rows)
                codes |= np.where(to_make & ~allowed, _BIND_CONFLICT, 0)
                codes |= np.where(to_make & allowed & ~enough, _NO_SPACE, 0)
        return codes

    def _unmatched(self, state: Claims, table: NodeTable, rows: Rows) -> list[Mask]:
        """For each waiting claim the nodes on which no volume is left for it; each volume is taken once a node."""
        taken: dict[str, Mask] = {}
        result = []
        for claim, candidates in zip(state.waiting, state.candidates, strict=True):
            left = np.ones(table.alive[rows].shape, dtype=np.bool_)
            for volume in candidates if SELECTED_NODE not in objects.annotations(claim) else ():
                name = objects.name(volume)
                free = ~taken[name] if name in taken else np.ones_like(left)
                takes = left & free & reachable_from(volume, table, rows)
                taken[name] = takes | ~free
                left &= ~takes
            result.append(left)
        return result

    def _claims(self, pod: PodInfo, cluster: Cluster) -> list[Object] | Rejection:
        ephemeral = {f"{pod.name}-{volume.get('name')}" for volume in pod.obj["spec"].get("volumes") or ()
                     if volume.get("ephemeral") is not None}  # fmt: skip
        found = []
        for name in pod.claims:
            claim = self._get(cluster, PERSISTENTVOLUMECLAIMS, objects.make_key(pod.namespace, name))
            problem = ""
            if claim is None and name in ephemeral:
                problem = f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            elif claim is None:
                problem = f'persistentvolumeclaim "{name}" not found'
            elif (claim.get("status") or {}).get("phase") == "Lost":
                volume = claim["spec"].get("volumeName", "")
                problem = f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
            elif objects.is_deleting(claim):
                problem = f'persistentvolumeclaim "{name}" is being deleted'
            elif name in ephemeral and not objects.is_controlled_by(claim, pod.obj):
                problem = f"PVC {pod.namespace}/{name} was not created for pod {pod.key} (pod is not owner)"
            if problem:
                return Rejection(reasons=(problem,), unresolvable=True)
            assert claim is not None
            found.append(claim)
        return found

    def _suiting(self, claim: Object, cluster: Cluster) -> tuple[Object, ...]:
        volumes = [
            self._current(cluster, PERSISTENTVOLUMES, volume) for volume in cluster.lister(PERSISTENTVOLUMES).all()
        ]
        found = [volume for volume in volumes if suits(volume, claim)]
        found.sort(key=lambda volume: (not is_promised_to(volume, claim), capacity_bytes(volume), objects.name(volume)))
        if found and is_promised_to(found[0], claim):
            return (found[0],)
        return tuple(found)

    # -- reserve and bind ----------------------------------------------------------------------------------------------

    def reserve(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Rejection | None:
        state = self.pre_filter(pod, cluster)
        if state is SKIP:
            return None
        if isinstance(state, Rejection):
            return state
        if not state.waiting:
            return None
        row = np.array([cluster.nodes.rows[node_name]], dtype=np.intp)
        binding = self._choose(state, cluster.nodes, row, node_name)
        for volume, _ in binding.chosen:
            self._assumed[PERSISTENTVOLUMES, objects.name(volume)] = volume
        for claim in binding.to_make:
            self._assumed[PERSISTENTVOLUMECLAIMS, objects.key_of(claim)] = claim
        self._bindings[pod.uid] = binding
        return None

    def unreserve(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Errand | None:
        binding = self._bindings.pop(pod.uid, None)
        if binding is not None:
            self._forget(binding)
        return None

    def pre_bind(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Errand | None:
        binding = self._bindings.get(pod.uid)
        return None if binding is None else self._bind(pod, node_name, binding)

    def _bind(self, pod: PodInfo, node_name: str, binding: Binding) -> Errand:
        """Write the choice down, then wait for the volume controller and provisioners."""
        volumes, made = [], []
        for volume, _ in binding.chosen:
            volumes.append((yield Write(verb="update", resource=PERSISTENTVOLUMES, obj=volume)))
        for claim in binding.to_make:
            made.append((yield Write(verb="update", resource=PERSISTENTVOLUMECLAIMS, obj=claim)))  # noqa: PERF401
        claims = [objects.key_of(claim) for claim in (*(claim for _, claim in binding.chosen), *binding.to_make)]

        def are_bound(now: Cluster) -> bool:
            news = [_check_volume(written, now) for written in volumes]
            news += [_check_made(written, now, node_name) for written in made]
            return all(news) and all(_has_volume(key, now) for key in claims)

        try:
            yield Until(holds=are_bound, timeout_s=self.bind_timeout_s)
        except TimeoutError:
            raise ErrandFailed("binding volumes: context deadline exceeded") from None
        self._bindings.pop(pod.uid, None)
        self._forget(binding)

    def _choose(self, state: Claims, table: NodeTable, row: Rows, node_name: str) -> Binding:
        chosen, to_make, taken = [], [], set()
        for claim, candidates in zip(state.waiting, state.candidates, strict=True):
            if SELECTED_NODE in objects.annotations(claim):
                to_make.append(claim)
                continue
            for volume in candidates:
                if objects.name(volume) not in taken and reachable_from(volume, table, row)[0]:
                    taken.add(objects.name(volume))
                    chosen.append((_claimed(volume, claim), claim))
                    break
            else:
                annotations = {**objects.annotations(claim), SELECTED_NODE: node_name}
                to_make.append(objects.with_metadata(claim, annotations=annotations))
        return Binding(chosen=tuple(chosen), to_make=tuple(to_make))

    def _forget(self, binding: Binding) -> None:
        for volume, _ in binding.chosen:
            self._assumed.pop((PERSISTENTVOLUMES, objects.name(volume)), None)
        for claim in binding.to_make:
            self._assumed.pop((PERSISTENTVOLUMECLAIMS, objects.key_of(claim)), None)

    def _get(self, cluster: Cluster, resource: Resource, key: str) -> Object | None:
        found = cluster.lister(resource).get(key)
        return None if found is None else self._current(cluster, resource, found)

    def _current(self, cluster: Cluster, resource: Resource, obj: Object) -> Object:
        """``obj`` as it is assumed to be, unless the API has moved on since."""
        key = (resource, objects.key_of(obj))
        assumed = self._assumed.get(key)
        if assumed is None:
            return obj
        if objects.resource_version(assumed) != objects.resource_version(obj):
            del self._assumed[key]
            return obj
        return assumed

    # -- events --------------------------------------------------------------------------------------------------------

    def events(self) -> Sequence[EventInterest]:
        changes: frozenset[Action] = frozenset({"Add", "Update"})
        return (
            EventInterest(resource="StorageClass", actions=changes, hint=_topologies_changed),
            EventInterest(resource="PersistentVolumeClaim", actions=changes, hint=is_own_claim),
            EventInterest(resource="PersistentVolume", actions=changes),
            EventInterest(resource="Node", actions=frozenset({"Add", "UpdateNodeLabel"})),
            EventInterest(resource="CSINode", actions=frozenset({"Add"})),
            EventInterest(resource="CSIDriver", actions=frozenset({"Update"}), hint=_capacity_check_ended),
            EventInterest(resource="CSIStorageCapacity", actions=changes, hint=_capacity_grew),
        )


def _claimed(volume: Object, claim: Object) -> Object:
    """The volume with a ``claimRef`` to the claim."""
    reference = {
        **(volume["spec"].get("claimRef") or {}),
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": objects.namespace(claim),
        "name": objects.name(claim),
        "uid": objects.uid(claim),
        "resourceVersion": objects.resource_version(claim),
    }
    annotations = dict(objects.annotations(volume))
    if not is_promised_to(volume, claim):
        annotations[BOUND_BY_CONTROLLER] = "yes"
    bound = {**volume, "spec": {**volume["spec"], "claimRef": reference}}
    return objects.with_metadata(bound, annotations=annotations or None)


def _check_volume(written: Object, now: Cluster) -> bool:
    """False until the informer has caught up with what was written. Raises ``ErrandFailed``."""
    name = objects.name(written)
    volume = now.lister(PERSISTENTVOLUMES).get(name)
    if volume is None:
        raise ErrandFailed(f'binding volumes: could not find volume "{name}"')
    if _is_older(volume, written):
        return False
    if not (volume["spec"].get("claimRef") or {}).get("uid"):
        raise ErrandFailed(f'binding volumes: ClaimRef got reset for pv "{name}"')
    return True


def _check_made(written: Object, now: Cluster, node_name: str) -> bool:
    """As ``_check_volume``, for a claim whose volume is made: a provisioner that gives up takes the node away."""
    key, name = objects.key_of(written), objects.name(written)
    claim = now.lister(PERSISTENTVOLUMECLAIMS).get(key)
    if claim is None:
        raise ErrandFailed(f'binding volumes: persistentvolumeclaim "{name}" not found')
    if _is_older(claim, written):
        return False
    selected = objects.annotations(claim).get(SELECTED_NODE)
    if selected != node_name:
        why = f'provisioning failed for PVC "{name}"' if selected else f'selectedNode annotation reset for PVC "{name}"'
        raise ErrandFailed(f"binding volumes: {why}")
    return True


def _has_volume(key: str, now: Cluster) -> bool:
    claim = now.lister(PERSISTENTVOLUMECLAIMS).get(key)
    if claim is None:
        raise ErrandFailed(f'binding volumes: persistentvolumeclaim "{key}" not found')
    return is_bound(claim)


def _is_older(cached: Object, written: Object) -> bool:
    return int(objects.resource_version(cached) or 0) < int(objects.resource_version(written) or 0)


def _topologies_changed(pod: PodInfo, event: ClusterEvent) -> bool:
    return event.old is None or event.old.get("allowedTopologies") != (event.new or {}).get("allowedTopologies")


def _capacity_check_ended(pod: PodInfo, event: ClusterEvent) -> bool:
    def checks(driver: Object | None) -> bool:
        return bool(((driver or {}).get("spec") or {}).get("storageCapacity"))

    return checks(event.old) and not checks(event.new)


def _capacity_grew(pod: PodInfo, event: ClusterEvent) -> bool:
    if event.old is None:
        return True
    before, after = volume_limit_bytes(event.old), volume_limit_bytes(event.new or {})
    return after is not None and (before is None or after > before)


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin, ReservePlugin, PreBindPlugin, EnqueuePlugin]:
    plugin = VolumeBinding()
    return plugin, plugin, plugin, plugin, plugin
