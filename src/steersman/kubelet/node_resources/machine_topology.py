"""Which CPUs share a core, a socket and a NUMA node on this machine, and what memory each NUMA node has.

Source: the kernel's sysfs (Documentation/ABI/stable/sysfs-devices-system-cpu, sysfs-devices-node).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from steersman.kubelet.cpusets import CPUs, parse_cpus

SYS: Final = Path("/sys/devices/system")
HUGEPAGES: Final = "hugepages-"
PRIVATE_LEVELS: Final = 2
"""Caches up to this level are a core's."""
_MEMORY: Final = re.compile(r"^Node \d+ MemTotal:\s+(\d+) kB", re.MULTILINE)


class CPU(Struct, frozen=True, kw_only=True):
    """One logical processor."""

    id: int
    core: int
    """The lowest of the processors that share it, as cAdvisor numbers cores: unique on the machine."""
    socket: int = 0
    node: int = 0
    cache: int | None = None
    """The last-level cache that some CPUs of its NUMA node share and others do not; None where there is none such."""

    @property
    def uncore(self) -> int:
        """What stands for that cache: upstream takes the socket where there is none."""
        return self.socket if self.cache is None else self.cache


class CPUTopology(Struct, frozen=True, kw_only=True, dict=True):
    """The processors that are online."""

    cpus: Mapping[int, CPU]

    @cached_property
    def all(self) -> CPUs:
        return frozenset(self.cpus)

    @cached_property
    def cores(self) -> frozenset[int]:
        return frozenset(cpu.core for cpu in self.cpus.values())

    @cached_property
    def sockets(self) -> frozenset[int]:
        return frozenset(cpu.socket for cpu in self.cpus.values())

    @cached_property
    def caches(self) -> frozenset[int]:
        return frozenset(cpu.uncore for cpu in self.cpus.values())

    @cached_property
    def nodes(self) -> tuple[int, ...]:
        """Of NUMA, ascending."""
        return tuple(sorted({cpu.node for cpu in self.cpus.values()}))

    @property
    def threads_per_core(self) -> int:
        return len(self.cpus) // len(self.cores)

    def of_nodes(self, nodes: Iterable[int]) -> CPUs:
        wanted = frozenset(nodes)
        return frozenset(cpu.id for cpu in self.cpus.values() if cpu.node in wanted)

    def of_sockets_of(self, nodes: Iterable[int]) -> CPUs:
        """Those of sockets that have some of ``nodes``."""
        wanted = self.sockets_of(nodes)
        return frozenset(cpu.id for cpu in self.cpus.values() if cpu.socket in wanted)

    def sockets_of(self, nodes: Iterable[int]) -> frozenset[int]:
        wanted = frozenset(nodes)
        return frozenset(cpu.socket for cpu in self.cpus.values() if cpu.node in wanted)

    def siblings(self, cpus: Iterable[int]) -> CPUs:
        """``cpus`` and those that share their cores."""
        cores = {self.cpus[cpu].core for cpu in cpus}
        return frozenset(cpu.id for cpu in self.cpus.values() if cpu.core in cores)


class NUMANode(Struct, frozen=True, kw_only=True):
    id: int
    memory_bytes: int
    hugepages: Mapping[int, int] = field(default_factory=dict)
    """Page size in bytes -> number of pages."""
    distances: tuple[int, ...] = ()
    """To each node, by its place in the list of nodes."""


class MachineTopology(Struct, frozen=True, kw_only=True):
    cpus: CPUTopology
    nodes: tuple[NUMANode, ...]


def read_topology(sys: Path = SYS, *, memory_bytes: int, hugepages: Mapping[int, int]) -> MachineTopology:
    """A kernel without NUMA has one node with all of ``memory_bytes`` and ``hugepages``. Raises ``OSError``."""
    folders = sorted((int(path.name[4:]), path) for path in (sys / "node").glob("node[0-9]*"))
    homes = {cpu: number for number, path in folders for cpu in parse_cpus((path / "cpulist").read_text())}
    online = parse_cpus((sys / "cpu" / "online").read_text())
    sizes = Counter(homes.get(number, 0) for number in online)
    cpus = {}
    for number in online:
        home = homes.get(number, 0)
        cpus[number] = _cpu(sys / "cpu" / f"cpu{number}", number, home, sizes[home])
    nodes = tuple(_node(path, number) for number, path in folders)
    if not nodes:
        nodes = (NUMANode(id=0, memory_bytes=memory_bytes, hugepages=hugepages, distances=(10,)),)
    return MachineTopology(cpus=CPUTopology(cpus=cpus), nodes=nodes)


def _cpu(folder: Path, number: int, node: int, node_size: int) -> CPU:
    """``node_size``: CPUs of its NUMA node."""
    cache = _cache(folder / "cache", node_size)
    try:
        siblings = parse_cpus((folder / "topology" / "thread_siblings_list").read_text())
        socket = int((folder / "topology" / "physical_package_id").read_text())
    except FileNotFoundError:
        return CPU(id=number, core=number, node=node, cache=cache)
    return CPU(id=number, core=min(siblings), socket=max(socket, 0), node=node, cache=cache)


def _cache(folder: Path, node_size: int) -> int | None:
    for path in sorted(folder.glob("index[0-9]*")):
        try:
            level = int((path / "level").read_text())
            sharing = parse_cpus((path / "shared_cpu_list").read_text())
            if level > PRIVATE_LEVELS and len(sharing) != node_size:
                return int((path / "id").read_text())
        except FileNotFoundError:
            continue
    return None


def _node(folder: Path, number: int) -> NUMANode:
    found = _MEMORY.search((folder / "meminfo").read_text())
    pages = {
        int(path.name.removeprefix(HUGEPAGES).removesuffix("kB")) * 1024: int((path / "nr_hugepages").read_text())
        for path in sorted((folder / "hugepages").glob("hugepages-*kB"))
    }
    distances = tuple(int(text) for text in (folder / "distance").read_text().split())
    return NUMANode(id=number, memory_bytes=int(found[1]) * 1024 if found else 0, hugepages=pages, distances=distances)
