"""Which CPUs to take for a container, out of those that are free.

Packed: whole NUMA nodes and sockets, then whole cores, then single threads, each time from the unit that has the fewest
CPUs left, so that large free units stay whole; if wanted, whole last-level caches before cores, or a part of one that
serves all that is left (KEP-4800). Spread: no whole cores, but threads by their number, which on most machines are of
different cores. Distributed: equally from as few NUMA nodes as can serve the request (KEP-2902). Sources: the
documentation's "Control CPU Management Policies on the Node" and those KEPs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import pstdev
from typing import Final, Literal

from msgspec import Struct

from steersman.kubelet.cpusets import CPUs
from steersman.kubelet.node_resources.machine_topology import CPU, CPUTopology

Unit = Literal["node", "socket", "cache", "core"]
EVEN: Final = 3
"""Digits of a balance score that count."""


class NotEnoughCPUs(Exception):
    """As many are not free."""


def take_packed(topology: CPUTopology, free: CPUs, count: int, *, by_cache: bool = False) -> CPUs:
    """Raises ``NotEnoughCPUs``."""
    taking = _Taking(topology, free, count)
    for unit in taking.order:
        taking.take_whole(unit)
    if by_cache:
        taking.take_caches()
    taking.take_whole("core")
    taking.take_threads("core")
    return taking.taken


def take_spread(topology: CPUTopology, free: CPUs, count: int) -> CPUs:
    """Raises ``NotEnoughCPUs``."""
    taking = _Taking(topology, free, count)
    for unit in taking.order:
        taking.take_whole(unit)
    taking.take_threads("socket")
    return taking.taken


def take_distributed(topology: CPUTopology, free: CPUs, count: int, *, group: int) -> CPUs:
    """In groups of ``group`` CPUs; packed where they cannot be distributed so. Raises ``NotEnoughCPUs``."""
    if count % group:
        return take_packed(topology, free, count)
    taking = _Taking(topology, free, count)
    if count == 0:
        return frozenset()
    nodes = taking.units("node")
    groups_per_node = _ceil(_ceil(len(topology.cpus), group), len(topology.nodes))
    wanted = count // group
    for size in range(_ceil(wanted, groups_per_node), min(wanted, len(nodes)) + 1):
        plan = _best_plan({node: len(taking.free_in("node", node)) for node in nodes}, size, count, group)
        if plan is not None:
            return _carry_out(topology, free, plan, group)
    return take_packed(topology, free, count)


class _Taking:
    """What is still free, and what has been taken of it."""

    def __init__(self, topology: CPUTopology, free: CPUs, count: int) -> None:
        if count > len(free):
            raise NotEnoughCPUs(
                f"not enough cpus available to satisfy request: requested={count}, available={len(free)}"
            )
        self._topology = topology
        self._free = set(free)
        self.taken: CPUs = frozenset()
        self.missing = count
        self.order: tuple[Unit, Unit] = ("node", "socket")
        """The larger unit first."""
        if len(topology.sockets) < len(topology.nodes):
            self.order = ("socket", "node")

    def free_in(self, unit: Unit, number: int) -> CPUs:
        return frozenset(cpu for cpu in self._free if _number(self._topology.cpus[cpu], unit) == number)

    def units(self, unit: Unit) -> list[int]:
        """Those with something free: in each larger unit the fullest first."""
        if unit == "cache":
            inside = [self._sorted(self.free_in("node", node), unit) for node in self.units("node")]
            return list(dict.fromkeys(number for caches in inside for number in caches))
        outer, inner = self.order
        within: list[CPUs] = [frozenset(self._free)]
        for level in (outer, inner, "core"):
            found = [number for cpus in within for number in self._sorted(cpus, level)]
            if level == unit:
                return list(dict.fromkeys(found))
            within = [self.free_in(level, number) for number in dict.fromkeys(found)]
        raise AssertionError(unit)

    def _sorted(self, cpus: CPUs, unit: Unit) -> list[int]:
        numbers = {_number(self._topology.cpus[cpu], unit) for cpu in cpus}
        return sorted(numbers, key=lambda number: (len(self.free_in(unit, number)), number))

    def take_whole(self, unit: Unit) -> None:
        for number in self.units(unit):
            whole = frozenset(cpu.id for cpu in self._topology.cpus.values() if _number(cpu, unit) == number)
            if whole <= self._free and len(whole) <= self.missing:
                self._take(whole)

    def take_caches(self) -> None:
        """All CPUs of some while as many are missing; then of one that has all that are still missing."""
        size = len(self._topology.cpus) // len(self._topology.caches)
        for cache in self.units("cache"):
            if self.missing >= size:
                self.take_whole("cache")
            self._take_part(self.free_in("cache", cache))

    def _take_part(self, free: CPUs) -> None:
        """Of one cache, if whole cores of it are enough; an odd thread breaks the last of them."""
        threads = self._topology.threads_per_core
        cores = sorted({self._topology.cpus[cpu].core for cpu in free})[: _ceil(self.missing, threads)]
        found = sorted(cpu for cpu in free if self._topology.cpus[cpu].core in cores)
        if threads > 1 and self.missing % 2 and len(found) > self.missing:
            found.pop()
        if len(found) == self.missing:
            self._take(found)

    def take_threads(self, within: Unit) -> None:
        """By their number in each unit, the fullest units first."""
        for number in self.units(within):
            self._take(sorted(self.free_in(within, number))[: self.missing])

    def _take(self, cpus: Iterable[int]) -> None:
        chosen = frozenset(cpus)
        self._free -= chosen
        self.taken |= chosen
        self.missing -= len(chosen)


def _ceil(amount: int, unit: int) -> int:
    return -(-amount // unit)


def _number(cpu: CPU, unit: Unit) -> int:
    match unit:
        case "node":
            return cpu.node
        case "socket":
            return cpu.socket
        case "cache":
            return cpu.uncore
        case "core":
            return cpu.core


class _Plan(Struct, frozen=True, kw_only=True):
    """How many CPUs each of ``nodes`` gives, and which of them give the rest, a group at a time."""

    nodes: tuple[int, ...]
    share: int
    rest: int
    givers: tuple[int, ...]
    balance: float


def _best_plan(free: Mapping[int, int], size: int, count: int, group: int) -> _Plan | None:
    """The one that leaves nodes most equal; ``free`` is by node in the order they are to be tried."""
    best: _Plan | None = None
    for nodes in combinations(free, size):
        if sum(free[node] // group for node in nodes) * group < count:
            continue
        share = count // size // group * group
        if any(free[node] < share for node in nodes):
            continue
        left = {node: amount - share if node in nodes else amount for node, amount in free.items()}
        plan = _with_rest(nodes, share, count - share * size, left, group)
        if plan is not None and (best is None or plan.balance < best.balance):
            best = plan
    return best


def _with_rest(nodes: tuple[int, ...], share: int, rest: int, left: Mapping[int, int], group: int) -> _Plan | None:
    if rest == 0:
        return _Plan(nodes=nodes, share=share, rest=0, givers=(), balance=_balance(left.values()))
    able = [node for node in nodes if left[node] >= group]
    best: _Plan | None = None
    for size in range(len(able), 0, -1):
        for givers in combinations(able, size):
            if sum(left[node] // group for node in givers) * group < rest:
                continue
            after = dict(left)
            for node in _turns(givers, after, rest, group):
                after[node] -= group
            balance = _balance(after.values())
            if best is None or balance < best.balance:
                best = _Plan(nodes=nodes, share=share, rest=rest, givers=givers, balance=balance)
    return best


def _turns(givers: Sequence[int], free: Mapping[int, int], rest: int, group: int) -> list[int]:
    """Who gives a group, in turn, until ``rest`` is given."""
    left, turns = dict(free), []
    while rest > 0:
        for node in givers:
            if rest > 0 and left[node] >= group:
                left[node] -= group
                rest -= group
                turns.append(node)
    return turns


def _balance(amounts: Iterable[int]) -> float:
    return round(pstdev(amounts), EVEN)


def _carry_out(topology: CPUTopology, free: CPUs, plan: _Plan, group: int) -> CPUs:
    taken: CPUs = frozenset()

    def take(node: int, count: int) -> None:
        nonlocal taken
        taken |= take_packed(topology, (free - taken) & topology.of_nodes((node,)), count)

    for node in plan.nodes:
        take(node, plan.share)
    left = {node: len((free - taken) & topology.of_nodes((node,))) for node in plan.givers}
    for node in _turns(plan.givers, left, plan.rest, group):
        take(node, group)
    return taken
