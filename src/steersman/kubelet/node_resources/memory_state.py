"""How much memory of each kind every NUMA node has, and which container got what: ``memory_manager_state``."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from steersman.kubelet.node_resources.machine_topology import HUGEPAGES, NUMANode
from steersman.kubelet.node_resources.state_file import StateError, StateFile
from steersman.meta.quantities import format_binary

FILE: Final = "memory_manager_state"
POLICY: Final = "Static"
MEMORY: Final = "memory"


class Block(Struct, frozen=True, kw_only=True):
    """Memory of one kind that a container got from ``nodes`` together."""

    nodes: tuple[int, ...]
    resource: str
    size: int


class Table(Struct, kw_only=True):
    """Bytes of one kind on one node."""

    total: int
    system_reserved: int
    allocatable: int
    reserved: int = 0
    free: int


class NodeMemory(Struct, kw_only=True):
    tables: dict[str, Table]
    group: tuple[int, ...]
    """The nodes that give memory together with this one; itself alone while it gives single."""
    assignments: int = 0


class MachineMemory(Struct, kw_only=True):
    """Changes as memory is given and taken back."""

    nodes: dict[int, NodeMemory] = field(default_factory=dict)

    def free(self, nodes: Iterable[int], resource: str) -> int:
        return sum(table.free for table in self._tables(nodes, resource))

    def allocatable(self, nodes: Iterable[int], resource: str) -> int:
        return sum(table.allocatable for table in self._tables(nodes, resource))

    def can_group(self, nodes: tuple[int, ...]) -> bool:
        """A node gives either alone or always together with the same others, so that what it has left is clear."""
        if len(nodes) == 1:
            return len(self.nodes[nodes[0]].group) == 1
        return all(self.nodes[node].assignments == 0 or self.nodes[node].group == nodes for node in nodes)

    def give(self, nodes: tuple[int, ...], resource: str, size: int) -> None:
        """From the lowest node on."""
        for node in nodes:
            memory = self.nodes[node]
            memory.assignments += 1
            memory.group = nodes
            table = memory.tables.get(resource)
            if table is not None:
                part = min(table.free, size)
                table.free -= part
                table.reserved += part
                size -= part

    def take_back(self, block: Block) -> None:
        size = block.size
        for node in block.nodes:
            memory = self.nodes[node]
            memory.assignments -= 1
            if memory.assignments == 0:
                memory.group = (node,)
            table = memory.tables.get(block.resource)
            if table is not None:
                part = min(table.reserved, size)
                table.reserved -= part
                table.free += part
                size -= part

    def _tables(self, nodes: Iterable[int], resource: str) -> Iterator[Table]:
        return (self.nodes[node].tables[resource] for node in nodes if resource in self.nodes[node].tables)


def machine_memory(nodes: Iterable[NUMANode], reserved: Mapping[int, Mapping[str, int]]) -> MachineMemory:
    """Nothing given yet. Pages that are set aside as huge are no ordinary memory."""
    found = {}
    for node in nodes:
        held = reserved.get(node.id, {})
        tables = {}
        huge = 0
        for page_bytes, pages in node.hugepages.items():
            size = page_bytes * pages
            huge += size
            name = f"{HUGEPAGES}{format_binary(page_bytes)}"
            tables[name] = _table(size, size, held.get(name, 0))
        tables[MEMORY] = _table(node.memory_bytes, node.memory_bytes - huge, held.get(MEMORY, 0))
        found[node.id] = NodeMemory(tables=tables, group=(node.id,))
    return MachineMemory(nodes=found)


def _table(total: int, usable: int, reserved: int) -> Table:
    left = max(usable - reserved, 0)
    return Table(total=total, system_reserved=reserved, allocatable=left, free=left)


class MemoryAssignments:
    """The machine's memory with what containers were given of it."""

    def __init__(self, root_dir: Path, untouched: MachineMemory) -> None:
        """Raises ``StateError`` where the file was written for another machine or other reservations."""
        self._file = StateFile(root_dir / FILE)
        self._blocks: dict[str, dict[str, tuple[Block, ...]]] = {}
        self.machine = copy.deepcopy(untouched)
        self._file.check_policy(POLICY, "memory")
        document = self._file.load()
        if document is None or not document.get("machineState"):
            self._save()
            return
        try:
            self._blocks = _read_blocks(document.get("entries") or {})
            for _, _, blocks in self.all():
                for block in blocks:
                    self.machine.give(block.nodes, block.resource, block.size)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StateError(f"{self._file.path}: {error!r}") from error
        if not _adopt(self.machine, document["machineState"]):
            raise StateError(
                "invalid state, please drain node and remove policy state file: [memorymanager] the expected machine"
                " state is different from the real one"
            )

    def all(self) -> Iterator[tuple[str, str, tuple[Block, ...]]]:
        for uid, containers in self._blocks.items():
            for name, blocks in containers.items():
                yield uid, name, blocks

    def of(self, uid: str, container: str) -> tuple[Block, ...] | None:
        return self._blocks.get(uid, {}).get(container)

    def set(self, uid: str, container: str, blocks: Iterable[Block]) -> None:
        """Raises ``OSError``."""
        self._blocks.setdefault(uid, {})[container] = tuple(blocks)
        self._save()

    def take_back(self, uid: str, container: str) -> None:
        """Raises ``OSError``."""
        containers = self._blocks.get(uid, {})
        for block in containers.pop(container, ()):
            self.machine.take_back(block)
        if not containers:
            self._blocks.pop(uid, None)
        self._save()

    def _save(self) -> None:
        entries = {
            uid: {
                name: [
                    {"numaAffinity": list(block.nodes), "type": block.resource, "size": block.size} for block in blocks
                ]
                for name, blocks in containers.items()
            }
            for uid, containers in self._blocks.items()
        }
        self._file.save({"policyName": POLICY, "machineState": _written_machine(self.machine), "entries": entries})


def _read_blocks(entries: Mapping[str, Any]) -> dict[str, dict[str, tuple[Block, ...]]]:
    return {
        uid: {
            name: tuple(
                Block(nodes=tuple(block["numaAffinity"]), resource=block["type"], size=block["size"])
                for block in blocks
            )
            for name, blocks in containers.items()
        }
        for uid, containers in entries.items()
    }


def _adopt(machine: MachineMemory, written: Mapping[str, Any]) -> bool:
    """Take over from which node of a group memory was given, which depends on what was taken back since. False where what
    was written is not what ``machine``, with the same blocks given, has."""
    expected = _written_machine(machine)
    if _essence(expected) != _essence(written):
        return False
    for number, memory in machine.nodes.items():
        for name, table in memory.tables.items():
            told = written[str(number)]["memoryMap"][name]
            table.reserved, table.free = told["reserved"], told["free"]
    return True


def _essence(written: Mapping[str, Any]) -> Any:
    """What does not depend on which node of a group gave."""
    groups: dict[tuple[tuple[int, ...], str], tuple[int, int]] = {}
    nodes = {}
    for number, memory in written.items():
        for name, table in memory["memoryMap"].items():
            key = (tuple(memory["cells"]), name)
            reserved, free = groups.get(key, (0, 0))
            groups[key] = (reserved + table["reserved"], free + table["free"])
            nodes[number, name] = (table["total"], table["systemReserved"], table["allocatable"])
        nodes[number, ""] = memory["numberOfAssignments"]
    return groups, nodes


def _written_machine(machine: MachineMemory) -> dict[str, Any]:
    return {
        str(number): {
            "numberOfAssignments": memory.assignments,
            "memoryMap": {
                name: {
                    "total": table.total,
                    "systemReserved": table.system_reserved,
                    "allocatable": table.allocatable,
                    "reserved": table.reserved,
                    "free": table.free,
                }
                for name, table in memory.tables.items()
            },
            "cells": list(memory.group),
        }
        for number, memory in machine.nodes.items()
    }
