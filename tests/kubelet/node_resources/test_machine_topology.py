"""The kernel's files about processors and NUMA nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.kubelet.node_resources.machine_topology import CPU, SYS, NUMANode, read_topology


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_threads_of_a_core_sockets_and_nodes_are_told_apart(tmp_path: Path) -> None:
    files = {
        "cpu/online": "0-3\n",
        "node/node0/cpulist": "0,2\n",
        "node/node0/meminfo": "Node 0 MemTotal:       1024 kB\nNode 0 MemFree: 1 kB\n",
        "node/node0/distance": "10 21\n",
        "node/node0/hugepages/hugepages-2048kB/nr_hugepages": "5\n",
        "node/node1/cpulist": "1,3\n",
        "node/node1/meminfo": "Node 1 MemTotal:       2048 kB\n",
        "node/node1/distance": "21 10\n",
    }
    for number in range(4):
        files[f"cpu/cpu{number}/topology/thread_siblings_list"] = f"{number % 2},{number % 2 + 2}\n"
        files[f"cpu/cpu{number}/topology/physical_package_id"] = f"{number % 2}\n"
    write(tmp_path, files)
    found = read_topology(tmp_path, memory_bytes=0, hugepages={})
    assert found.cpus.cpus == {
        0: CPU(id=0, core=0, socket=0, node=0), 1: CPU(id=1, core=1, socket=1, node=1),
        2: CPU(id=2, core=0, socket=0, node=0), 3: CPU(id=3, core=1, socket=1, node=1),
    }  # fmt: skip
    assert found.cpus.threads_per_core == 2
    assert found.cpus.siblings({2}) == {0, 2}
    assert found.nodes == (
        NUMANode(id=0, memory_bytes=1024**2, hugepages={2 * 1024**2: 5}, distances=(10, 21)),
        NUMANode(id=1, memory_bytes=2 * 1024**2, distances=(21, 10)),
    )


def test_a_kernel_without_numa_has_one_node_and_a_cpu_without_topology_its_own_core(tmp_path: Path) -> None:
    write(tmp_path, {"cpu/online": "0-1\n"})
    found = read_topology(tmp_path, memory_bytes=7, hugepages={4096: 1})
    assert found.cpus.cores == {0, 1}
    assert found.nodes == (NUMANode(id=0, memory_bytes=7, hugepages={4096: 1}, distances=(10,)),)


@pytest.mark.parametrize(
    ("shared", "caches"),
    [(("0-3",) * 4, [None] * 4), (("0-1", "0-1", "2-3", "2-3"), [0, 0, 1, 1])],
    ids=["of the whole node", "of some of its CPUs"],
)
def test_a_last_level_cache_counts_where_not_all_of_a_node_share_it(
    tmp_path: Path, shared: tuple[str, ...], caches: list[int | None]
) -> None:
    files = {"cpu/online": "0-3\n"}
    for number, sharing in enumerate(shared):
        for index, (level, cpus, name) in enumerate([(1, str(number), number), (3, sharing, number // 2)]):
            folder = f"cpu/cpu{number}/cache/index{index}"
            files |= {f"{folder}/level": f"{level}\n", f"{folder}/shared_cpu_list": cpus, f"{folder}/id": f"{name}\n"}
    write(tmp_path, files)
    found = read_topology(tmp_path, memory_bytes=7, hugepages={})
    assert [found.cpus.cpus[number].cache for number in range(4)] == caches


@pytest.mark.skipif(not (SYS / "cpu" / "online").exists(), reason="needs sysfs")
def test_this_machine_can_be_read() -> None:
    found = read_topology(memory_bytes=1, hugepages={})
    assert found.cpus.all
    assert {cpu.node for cpu in found.cpus.cpus.values()} <= {node.id for node in found.nodes}
