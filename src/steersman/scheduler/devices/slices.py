"""What drivers offer: ResourceSlices, read once, and the pools that they form on one node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct, field

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.scheduler.affinity import NodeSelectorTerm, node_selector_terms

DeviceID = tuple[str, str, str]
"""Driver, pool, device."""
PoolID = tuple[str, str]
"""Driver, pool."""
Counters = Mapping[str, Mapping[str, Fraction]]
"""Amounts by counter set and counter."""


class NodeChoice(Struct, frozen=True, kw_only=True):
    """From which nodes something can be used."""

    node_name: str = ""
    is_everywhere: bool = False
    selector: Mapping[str, Any] | None = None
    terms: tuple[NodeSelectorTerm, ...] = ()

    @property
    def is_stated(self) -> bool:
        return bool(self.node_name) or self.is_everywhere or self.selector is not None

    def includes(self, node: Object) -> bool:
        name = objects.name(node)
        if self.node_name:
            return name == self.node_name
        return self.is_everywhere or any(term.matches(name, objects.labels(node)) for term in self.terms)


class Device(Struct, frozen=True, kw_only=True, eq=False):
    """One device. Compare by identity; ``id`` names it across versions of its slice."""

    id: DeviceID
    attributes: Mapping[str, Mapping[str, Any]]
    """As they stand in the slice, by name."""
    capacity: Mapping[str, Mapping[str, Any]]
    taints: tuple[Mapping[str, Any], ...]
    consumes: Counters
    is_shareable: bool
    """Several claims may use it at once, each a share of its capacity."""
    binds_to_node: bool
    binding_conditions: tuple[str, ...]
    binding_failure_conditions: tuple[str, ...]
    nodes: NodeChoice
    """The device's own choice, or that of its slice."""
    has_own_choice: bool


class Slice(Struct, frozen=True, kw_only=True, eq=False):
    """One ResourceSlice."""

    name: str
    pool: PoolID
    generation: int
    slice_count: int
    """How many slices the pool has in this generation."""
    nodes: NodeChoice
    has_device_choices: bool
    counter_sets: Counters
    counter_set_names: tuple[str, ...]
    devices: tuple[Device, ...]

    def is_relevant(self, node: Object) -> bool:
        """The slice has something for ``node``; counter sets are for everyone."""
        if self.counter_set_names:
            return True
        if self.nodes.is_stated:
            return self.nodes.includes(node)
        return self.has_device_choices and any(device.nodes.includes(node) for device in self.devices)


class Pool(Struct, frozen=True, kw_only=True, eq=False):
    """A pool as one node sees it."""

    id: PoolID
    devices: tuple[Device, ...] = ()
    """Usable from the node, in the order in which they are tried."""
    elsewhere: tuple[Device, ...] = ()
    """Of the same pool and not usable from the node; they consume counters all the same."""
    counter_sets: Counters = field(default_factory=dict)
    is_incomplete: bool = False
    """Its driver is publishing it right now."""
    invalid_because: str = ""

    @property
    def is_usable(self) -> bool:
        return not (self.is_incomplete or self.invalid_because)


def read_slice(obj: Object) -> Slice:
    spec = obj.get("spec") or {}
    pool = spec.get("pool") or {}
    driver, pool_name = str(spec.get("driver") or ""), str(pool.get("name") or "")
    nodes = _node_choice(spec)
    per_device = bool(spec.get("perDeviceNodeSelection"))
    sets = spec.get("sharedCounters") or ()
    return Slice(
        name=objects.name(obj),
        pool=(driver, pool_name),
        generation=int(pool.get("generation") or 0),
        slice_count=int(pool.get("resourceSliceCount") or 0),
        nodes=nodes,
        has_device_choices=per_device,
        counter_sets=_counters(sets, "name"),
        counter_set_names=tuple(str(entry.get("name")) for entry in sets),
        devices=tuple(
            _read_device(entry, (driver, pool_name), nodes, per_device) for entry in spec.get("devices") or ()
        ),
    )


def _read_device(entry: Mapping[str, Any], pool: PoolID, nodes: NodeChoice, per_device: bool) -> Device:
    return Device(
        id=(*pool, str(entry.get("name") or "")),
        attributes=entry.get("attributes") or {},
        capacity=entry.get("capacity") or {},
        taints=tuple(entry.get("taints") or ()),
        consumes=_counters(entry.get("consumesCounters") or (), "counterSet"),
        is_shareable=bool(entry.get("allowMultipleAllocations")),
        binds_to_node=bool(entry.get("bindsToNode")),
        binding_conditions=tuple(entry.get("bindingConditions") or ()),
        binding_failure_conditions=tuple(entry.get("bindingFailureConditions") or ()),
        nodes=_node_choice(entry) if per_device else nodes,
        has_own_choice=per_device,
    )


def _node_choice(owner: Mapping[str, Any]) -> NodeChoice:
    selector = owner.get("nodeSelector")
    return NodeChoice(
        node_name=str(owner.get("nodeName") or ""),
        is_everywhere=bool(owner.get("allNodes")),
        selector=selector,
        terms=node_selector_terms(selector.get("nodeSelectorTerms") or ()) if selector is not None else (),
    )


def _counters(entries: Iterable[Mapping[str, Any]], name: str) -> Counters:
    found: dict[str, dict[str, Fraction]] = {}
    for entry in entries:
        into = found.setdefault(str(entry.get(name)), {})
        for counter, amount in (entry.get("counters") or {}).items():
            into[counter] = into.get(counter, Fraction(0)) + quantity((amount or {}).get("value"))
    return found


class Inventory:
    """All slices of a cluster, by where they matter."""

    def __init__(self, slices: Sequence[Slice]) -> None:
        self._of_pool: dict[PoolID, list[Slice]] = {}
        self._local: dict[str, list[Slice]] = {}
        self._shared: list[Slice] = []
        for each in slices:
            self._of_pool.setdefault(each.pool, []).append(each)
            if each.nodes.node_name and not each.counter_set_names:
                self._local.setdefault(each.nodes.node_name, []).append(each)
            else:
                self._shared.append(each)
        self._pools: dict[str, tuple[Object, tuple[Pool, ...]]] = {}

    def pools(self, node: Object) -> tuple[Pool, ...]:
        """The pools with something for ``node``: those without binding conditions first, each group by name. Drivers
        choose names so that what they want to be taken first comes first."""
        name = objects.name(node)
        known = self._pools.get(name)
        if known is not None and known[0] is node:
            return known[1]
        relevant = [each for each in self._local.get(name, ()) if each.is_relevant(node)]
        relevant += [each for each in self._shared if each.is_relevant(node)]
        pools = tuple(sorted(self._made(relevant, node), key=lambda pool: (_has_conditions(pool), pool.id)))
        self._pools[name] = (node, pools)
        return pools

    def _made(self, relevant: Iterable[Slice], node: Object) -> Iterable[Pool]:
        by_pool: dict[PoolID, list[Slice]] = {}
        for each in relevant:
            by_pool.setdefault(each.pool, []).append(each)
        for pool_id, slices in by_pool.items():
            newest = max(each.generation for each in slices)
            current = [each for each in slices if each.generation == newest]
            everything = [each for each in self._of_pool[pool_id] if each.generation == newest]
            if len(current) != current[0].slice_count:
                if any(each.generation > newest for each in self._of_pool[pool_id]):
                    continue  # a newer generation, which has nothing for this node, replaces this one
                if len(everything) != current[0].slice_count:
                    yield Pool(id=pool_id, is_incomplete=True)
                    continue
            yield _pool(pool_id, current, everything, node)


def _pool(pool_id: PoolID, current: Sequence[Slice], everything: Sequence[Slice], node: Object) -> Pool:
    current = sorted(current, key=lambda each: each.name)
    sources = [each for each in current if not each.counter_set_names]
    names = {each.name for each in current}
    devices = [device for each in sources for device in each.devices]
    others = [device for each in everything if each.name not in names for device in each.devices]
    counter_sets: dict[str, Mapping[str, Fraction]] = {}
    problem = _duplicate([device.id[2] for device in devices], "device")
    problem = problem or _duplicate([name for each in current for name in each.counter_set_names], "counter set")
    for each in current:
        counter_sets |= each.counter_sets
    problem = problem or _unknown_counters([*devices, *others], counter_sets)
    if problem:
        return Pool(id=pool_id, invalid_because=problem)
    usable = [device for device in devices if not device.has_own_choice or device.nodes.includes(node)]
    return Pool(
        id=pool_id,
        devices=tuple(usable),
        elsewhere=(*(device for device in devices if device not in usable), *others),
        counter_sets=counter_sets,
    )


def _duplicate(names: Sequence[str], what: str) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return f"duplicate {what} name {name}"
        seen.add(name)
    return ""


def _unknown_counters(devices: Iterable[Device], counter_sets: Counters) -> str:
    for device in devices:
        for name, counters in device.consumes.items():
            if name not in counter_sets:
                return f"counter set {name} not found"
            for counter in counters:
                if counter not in counter_sets[name]:
                    return f"counter {counter} not found in counter set {name}"
    return ""


def _has_conditions(pool: Pool) -> bool:
    return any(device.binding_conditions for device in pool.devices)
