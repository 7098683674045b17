"""Memory of as few NUMA nodes as possible for containers of Guaranteed pods: the static policy of the memory manager.

Source: the documentation's "Utilizing the NUMA-aware Memory Manager" (KEP-1769).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_resources.machine_topology import HUGEPAGES, MachineTopology
from steersman.kubelet.node_resources.memory_state import (
    MEMORY,
    Block,
    MachineMemory,
    MemoryAssignments,
    machine_memory,
)
from steersman.kubelet.node_resources.numa_hints import Hint, ResourceHints, mask_of, narrower, node_sets, nodes_of
from steersman.kubelet.node_resources.policies import MemoryManagerConfig, PolicyError
from steersman.kubelet.node_resources.provider import ActivePods, AllocationRefused, has_pod_level_resources
from steersman.kubelet.podspec import PodContainer, app_containers, init_containers, qos_class
from steersman.meta import objects
from steersman.meta.quantities import quantity

NAME: Final = "[memorymanager]"
log = logging.getLogger(__name__)


class MemoryManager:
    """With the static policy; without one there is none."""

    def __init__(
        self,
        topology: MachineTopology,
        *,
        config: MemoryManagerConfig,
        reserved: Mapping[str, int],
        root_dir: Path,
        active_pods: ActivePods,
        metrics: KubeletMetrics,
    ) -> None:
        """``reserved``: bytes that pods may not have, by resource: what ``reservedMemory`` has to distribute over the NUMA
        nodes. Raises ``PolicyError``, ``StateError`` and ``OSError``."""
        _check_reserved(topology, config, reserved)
        self._untouched = machine_memory(topology.nodes, config.reserved)
        self._assignments = MemoryAssignments(root_dir, self._untouched)
        self._active_pods = active_pods
        self._metrics = metrics
        self._reusable: tuple[str, dict[tuple[tuple[int, ...], str], int]] = ("", {})
        """The pod whose containers are being served, and what its init containers will have finished with, by nodes and
        resource."""

    @property
    def _machine(self) -> MachineMemory:
        return self._assignments.machine

    @property
    def allocatable(self) -> list[Block]:
        """By node and resource."""
        return [
            Block(nodes=(number,), resource=name, size=table.allocatable)
            for number, node in self._untouched.nodes.items()
            for name, table in node.tables.items()
            if table.allocatable
        ]

    def blocks_of(self, uid: str, container: str) -> tuple[Block, ...]:
        return self._assignments.of(uid, container) or ()

    def nodes_of(self, uid: str, container: str) -> tuple[int, ...]:
        """Those whose memory it may use; none: all."""
        return tuple(sorted({node for block in self.blocks_of(uid, container) for node in block.nodes}))

    # -- Provider

    def wants(self, pod: Mapping[str, Any]) -> bool:
        return _is_served(pod)

    def hints(self, pod: Mapping[str, Any], container: PodContainer) -> ResourceHints:
        self._take_back_stale()
        wanted = _requests(container) if _is_served(pod) else {}
        given = self._assignments.of(objects.uid(pod), container.name)
        if given is not None and wanted:
            return _hints_again(given, wanted)
        return self._hints(objects.uid(pod), wanted)

    def pod_hints(self, pod: Mapping[str, Any]) -> ResourceHints:
        self._take_back_stale()
        wanted = _pod_requests(pod) if _is_served(pod) else {}
        if not wanted:
            return {}
        for container in (*init_containers(pod), *app_containers(pod)):
            given = self._assignments.of(objects.uid(pod), container.name)
            if given is not None:
                return _hints_again(given, wanted)
        return self._hints("", wanted)

    async def allocate(self, pod: Mapping[str, Any], container: PodContainer, affinity: Hint) -> None:
        self._take_back_stale()
        if not _is_served(pod):
            return
        self._metrics.memory_pinnings.inc()
        try:
            self._allocate(pod, container, affinity)
        except (AllocationRefused, OSError) as error:
            self._metrics.memory_pinning_errors.inc()
            raise AllocationRefused(f"Allocate failed due to {error}, which is unexpected") from error

    def _allocate(self, pod: Mapping[str, Any], container: PodContainer, affinity: Hint) -> None:
        uid = objects.uid(pod)
        given = self._assignments.of(uid, container.name)
        if given is None:
            wanted = _requests(container)
            nodes = self._nodes_for(uid, wanted, affinity)
            given = tuple(Block(nodes=nodes, resource=name, size=size) for name, size in wanted.items())
            for block in given:
                reusable = self._reusable_of(uid).get((nodes, block.resource), 0)
                self._machine.give(nodes, block.resource, max(block.size - reusable, 0))
            self._assignments.set(uid, container.name, given)
            self._hand_over(pod, container, given)
        self._remember_reusable(uid, container, given)

    def _nodes_for(self, uid: str, wanted: Mapping[str, int], affinity: Hint) -> tuple[int, ...]:
        best = affinity
        if best.nodes is None:
            best = self._best(uid, wanted, within=0)
            if affinity.preferred and not best.preferred:
                raise AllocationRefused(f"{NAME} failed to find the default preferred hint")
        assert best.nodes is not None
        nodes = nodes_of(best.nodes)
        if any(self._machine.free(nodes, name) < size for name, size in wanted.items()):
            extended = self._best(uid, wanted, within=best.nodes)
            if best.preferred and not extended.preferred:
                raise AllocationRefused(f"{NAME} failed to find the extended preferred hint")
            assert extended.nodes is not None
            nodes = nodes_of(extended.nodes)
        if len(nodes) > 1 and not self._machine.can_group(nodes):
            raise AllocationRefused(f"{NAME} preferred hint violates NUMA node allocation")
        return nodes

    def _best(self, uid: str, wanted: Mapping[str, int], *, within: int) -> Hint:
        """The narrowest that serves ``wanted`` and has all of ``within``."""
        found = [
            hint
            for hint in self._hints(uid, wanted).get(MEMORY) or ()
            if hint.nodes is not None and hint.nodes & within == within
        ]
        if not found and within:
            raise AllocationRefused(f"{NAME} failed to find NUMA nodes to extend the current topology hint")
        if not found:
            raise AllocationRefused(
                f"{NAME} failed to get the default NUMA affinity, no NUMA nodes with enough memory is available"
            )
        best = found[0]
        for hint in found[1:]:
            assert hint.nodes is not None and best.nodes is not None
            if (hint.preferred and not best.preferred) or (
                hint.preferred == best.preferred and narrower(hint.nodes, best.nodes)
            ):
                best = hint
        return best

    def _hints(self, uid: str, wanted: Mapping[str, int]) -> ResourceHints:
        """Nothing where there is not enough, as upstream: the allocation says so then."""
        numbers = sorted(self._machine.nodes)
        smallest = len(numbers)
        found: list[tuple[int, ...]] = []
        reusable = self._reusable_of(uid)
        for nodes in node_sets(numbers):
            if any(self._machine.allocatable(nodes, name) < size for name, size in wanted.items()):
                continue
            smallest = min(smallest, len(nodes))
            enough = all(
                self._machine.free(nodes, name) + reusable.get((nodes, name), 0) >= size
                for name, size in wanted.items()
            )
            if enough and self._machine.can_group(nodes):
                found.append(nodes)
        hints = [Hint(nodes=mask_of(nodes), preferred=len(nodes) == smallest) for nodes in found]
        return dict.fromkeys(wanted, hints) if hints else {}

    # -- what init containers leave

    def _reusable_of(self, uid: str) -> Mapping[tuple[tuple[int, ...], str], int]:
        return self._reusable[1] if uid and self._reusable[0] == uid else {}

    def _remember_reusable(self, uid: str, container: PodContainer, blocks: Iterable[Block]) -> None:
        left = dict(self._reusable_of(uid))
        for block in blocks:
            key = (block.nodes, block.resource)
            if container.kind == "init":
                left[key] = max(left.get(key, 0), block.size)
            else:
                left[key] = max(left.get(key, 0) - block.size, 0)
        self._reusable = (uid, left)

    def _hand_over(self, pod: Mapping[str, Any], container: PodContainer, blocks: Iterable[Block]) -> None:
        """What earlier init containers were given and ``container`` uses again counts as its own."""
        uid = objects.uid(pod)
        for block in blocks:
            size = block.size
            for earlier in init_containers(pod):
                if earlier.name == container.name or size == 0:
                    break
                theirs = self._assignments.of(uid, earlier.name)
                if earlier.kind == "sidecar" or theirs is None:
                    continue
                kept = []
                for old in theirs:
                    same = (old.nodes, old.resource) == (block.nodes, block.resource)
                    part = min(old.size, size) if same else 0
                    size -= part
                    kept.append(Block(nodes=old.nodes, resource=old.resource, size=old.size - part))
                self._assignments.set(uid, earlier.name, kept)

    def _take_back_stale(self) -> None:
        active = self._active_pods()
        if active is None:
            return
        for uid, name, _ in list(self._assignments.all()):
            if uid not in active:
                try:
                    self._assignments.take_back(uid, name)
                except OSError as error:
                    log.error("cannot write down what was taken back from %s: %s", uid, error)


def _check_reserved(topology: MachineTopology, config: MemoryManagerConfig, reserved: Mapping[str, int]) -> None:
    known = {node.id for node in topology.nodes}
    for number in config.reserved:
        if number not in known:
            raise PolicyError(
                f"the reserved memory configuration references a NUMA node {number} that does not exist on this machine"
            )
    totals: dict[str, int] = {}
    for limits in config.reserved.values():
        for name, size in limits.items():
            totals[name] = totals.get(name, 0) + size
    if totals.get(MEMORY, 0) <= 0:
        raise PolicyError(f"{NAME} you should specify the system reserved memory")
    for name in {*totals, *(name for name in reserved if name == MEMORY or name.startswith(HUGEPAGES))}:
        if totals.get(name, 0) != reserved.get(name, 0):
            raise PolicyError(
                f'the total amount "{totals.get(name, 0)}" of type "{name}" is not equal to the value'
                f' "{reserved.get(name, 0)}" determined by Node Allocatable feature'
            )


def _is_served(pod: Mapping[str, Any]) -> bool:
    return qos_class(pod) == "Guaranteed" and not has_pod_level_resources(pod)


def _requests(container: PodContainer) -> dict[str, int]:
    requests = (container.spec.get("resources") or {}).get("requests") or {}
    return {
        name: int(quantity(value)) for name, value in requests.items() if name == MEMORY or name.startswith(HUGEPAGES)
    }


def _pod_requests(pod: Mapping[str, Any]) -> dict[str, int]:
    """At any one time, of what its long-running containers ask for."""
    sidecars: dict[str, int] = {}
    most: dict[str, int] = {}
    for container in init_containers(pod):
        for name, size in _requests(container).items():
            if container.kind == "sidecar":
                sidecars[name] = sidecars.get(name, 0) + size
            else:
                most[name] = max(most.get(name, 0), sidecars.get(name, 0) + size)
    apps: dict[str, int] = {}
    for container in app_containers(pod):
        for name, size in _requests(container).items():
            apps[name] = apps.get(name, 0) + size
    return {name: max(size + sidecars.get(name, 0), most.get(name, 0)) for name, size in apps.items()}


def _hints_again(blocks: Iterable[Block], wanted: Mapping[str, int]) -> ResourceHints:
    """For what has its memory; nothing to say where that is not what it asks for."""
    found = {block.resource: block for block in blocks}
    if {name: block.size for name, block in found.items()} != dict(wanted):
        return {}
    return {name: (Hint(nodes=mask_of(block.nodes), preferred=True),) for name, block in found.items()}
