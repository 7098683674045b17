"""Machines to give CPUs and memory of."""

from __future__ import annotations

from steersman.kubelet.node_resources.machine_topology import CPU, CPUTopology, MachineTopology, NUMANode

GI = 1024**3


def cpus(
    *, sockets: int = 1, nodes_per_socket: int = 1, cores: int = 4, threads: int = 1, cache_cores: int = 0
) -> CPUTopology:
    """``cores`` for each node; second threads are numbered after all first ones, as machines do. ``cache_cores``: how many
    share a last-level cache; 0: all of a node."""
    found = {}
    total = sockets * nodes_per_socket * cores
    for thread in range(threads):
        for core in range(total):
            node = core // cores
            number = thread * total + core
            cache = core // cache_cores if cache_cores else None
            found[number] = CPU(id=number, core=core, socket=node // nodes_per_socket, node=node, cache=cache)
    return CPUTopology(cpus=found)


def machine(
    *,
    nodes: int = 2,
    cores: int = 4,
    threads: int = 1,
    memory_bytes: int = 16 * GI,
    hugepages: dict[int, int] | None = None,
) -> MachineTopology:
    """One socket for each node."""
    return MachineTopology(
        cpus=cpus(sockets=nodes, cores=cores, threads=threads),
        nodes=tuple(
            NUMANode(
                id=number,
                memory_bytes=memory_bytes,
                hugepages=hugepages or {},
                distances=tuple(10 if other == number else 20 + abs(other - number) for other in range(nodes)),
            )
            for number in range(nodes)
        ),
    )
