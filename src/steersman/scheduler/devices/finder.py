"""Devices for the claims of a pod, node by node, with a memory: a node is searched again only when its pools, what is taken of
them, or what is asked for changed. That makes a burst of equal pods cost one search each (``bench/scheduler.py``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import DEVICECLASSES, RESOURCESLICES
from steersman.scheduler.affinity import NodeSelectorTerm
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.devices.allocation import STEPS_PER_S, Search, Solution, TooManySteps
from steersman.scheduler.devices.extended import new_claim, requests_for
from steersman.scheduler.devices.ledger import Ledger
from steersman.scheduler.devices.requests import AllocationError, Claim, read_claim
from steersman.scheduler.devices.selectors import Selectors
from steersman.scheduler.devices.slices import Inventory, Slice, read_slice
from steersman.scheduler.pod_info import PodInfo

_ALTERNATIVES_LIMIT = 8
"""``FirstAvailableDeviceRequestMaxSize``"""


class Wanted(Struct, frozen=True, kw_only=True, eq=False):
    """The claims of one pod, sorted out."""

    pod: PodInfo
    cluster: Cluster
    allocated: tuple[tuple[Object, tuple[NodeSelectorTerm, ...] | None], ...]
    """Claims that have devices, and the nodes that these can be used from; None for all."""
    to_allocate: tuple[Claim, ...]
    extended: tuple[str, ...]
    """Extended resources for which devices may have to stand."""
    stale: Object | None
    """A claim for extended resources that an earlier try left."""
    question: bytes
    """What is asked for; equal for pods of one template."""
    unavailable: dict[str, Object] = field(default_factory=dict)
    """Claims with devices that kept the pod from some node."""

    @property
    def is_prioritized(self) -> bool:
        """Nodes differ in how much what they have is wanted."""
        return any(len(choice.alternatives) > 1 for claim in self.to_allocate for choice in claim.choices)

    def not_offered_by(self, node: Object) -> tuple[str, ...]:
        """The extended resources for which devices must stand on ``node``: its kubelet does not offer them."""
        if not self.extended:
            return ()
        table = self.cluster.nodes
        row = table.rows[objects.name(node)]
        indexes = [table.resource(name) for name in self.extended]  # may make the columns anew
        return tuple(
            name for name, index in zip(self.extended, indexes, strict=True) if not table.allocatable[index, row]
        )

    def extended_claim(self, resources: tuple[str, ...]) -> tuple[Object, list[Object]]:
        """The claim for ``resources``, and which container uses which of its requests."""
        requests, mappings = requests_for(self.pod, resources, self.cluster)
        return objects.with_metadata(new_claim(self.pod, requests), uid=f"{self.pod.uid}-extended"), mappings


class Found(Struct, frozen=True, kw_only=True):
    """What a search gave on one node: a solution for each claim, or why there is none."""

    solutions: tuple[Solution, ...] = ()
    is_failed: bool = False
    has_invalid_pool: bool = False

    @property
    def score(self) -> int:
        """The more wanted the alternatives that were found, the more."""
        return sum(
            _ALTERNATIVES_LIMIT - choice.alternatives.index(request)
            for solution in self.solutions
            for choice, request in zip(solution.claim.choices, solution.picked, strict=True)
            if request.parent
        )


class Finder:
    """Searches over the nodes of one cluster."""

    def __init__(self, timeout_s: float) -> None:
        self.ledger = Ledger()
        self._step_limit = int(timeout_s * STEPS_PER_S)
        self._selectors = Selectors()
        self._slices: dict[str, tuple[Object, Slice]] = {}
        self._inventory = Inventory(())
        self._inventory_version = 0
        self._memo: dict[str, tuple[Object, tuple[Any, ...], Found]] = {}

    def find(self, wanted: Wanted, node: Object) -> Found:
        """What ``solve`` gives for this pod or gave for an equal one. Raises ``AllocationError``."""
        extended = wanted.not_offered_by(node)
        if not wanted.to_allocate and not extended:
            return Found()
        pools = self._current_inventory(wanted.cluster).pools(node)
        key = (
            wanted.question, extended, wanted.cluster.lister(DEVICECLASSES).version,
            *(self.ledger.pool_version(pool.id) for pool in pools),
        )  # fmt: skip
        name = objects.name(node)
        known = self._memo.get(name)
        if known is not None and known[0] is node and known[1] == key:
            return known[2]
        found = self.solve(wanted, node)
        self._memo[name] = (node, key, found)
        return found

    def solve(self, wanted: Wanted, node: Object) -> Found:
        """Devices for every claim of the pod on ``node``; the claim for extended resources comes last. Raises
        ``AllocationError``."""
        extended = wanted.not_offered_by(node)
        claims = wanted.to_allocate
        if extended:
            claims = (*claims, read_claim(wanted.extended_claim(extended)[0]))
        pools = self._current_inventory(wanted.cluster).pools(node)
        search = Search(
            claims=claims, pools=pools, classes=Classes(wanted.cluster), ledger=self.ledger,
            selectors=self._selectors, step_limit=self._step_limit,
        )  # fmt: skip
        try:
            solutions = search.solve()
        except TooManySteps:
            raise AllocationError(f"node {objects.name(node)}: timed out trying to allocate devices") from None
        if solutions is None:
            return Found(is_failed=True, has_invalid_pool=any(pool.invalid_because for pool in pools))
        return Found(solutions=solutions)

    def _current_inventory(self, cluster: Cluster) -> Inventory:
        lister = cluster.lister(RESOURCESLICES)
        if lister.version != self._inventory_version:
            fresh: dict[str, tuple[Object, Slice]] = {}
            for obj in lister.all():
                name = objects.name(obj)
                known = self._slices.get(name)
                fresh[name] = known if known is not None and known[0] is obj else (obj, read_slice(obj))
            self._slices = fresh
            self._inventory = Inventory([each for _, each in fresh.values()])
            self._inventory_version = lister.version
            self._memo.clear()
        return self._inventory


class Classes(Mapping[str, Object]):
    """The device classes of a cluster by name."""

    def __init__(self, cluster: Cluster) -> None:
        self._lister = cluster.lister(DEVICECLASSES)

    def __getitem__(self, name: str) -> Object:
        found = self._lister.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._lister.keys())

    def __len__(self) -> int:
        return len(self._lister)
