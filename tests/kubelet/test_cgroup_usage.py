"""What cgroups tell of use, on trees as the kernel has them in v1 and v2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from steersman.kubelet.cgroup_hierarchies import Hierarchy, find_hierarchies
from steersman.kubelet.cgroup_usage import CgroupUsage, node_pressure

PSI = "some avg10=1.50 avg60=0.20 avg300=0.00 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=42\n"


def tree(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_v2(tmp_path: Path) -> None:
    tree(
        tmp_path / "kubepods/pod1",
        {
            "cpu.stat": "usage_usec 2500\nuser_usec 2000\n",
            "memory.current": "1000\n",
            "memory.stat": "anon 600\ninactive_file 300\npgfault 7\npgmajfault 2\n",
            "memory.max": "4096\n",
            "memory.swap.current": "11\n",
            "memory.swap.max": "max\n",
            "pids.current": "5\n",
            "cgroup.procs": "",
            "sandbox/cgroup.procs": "1\n",
            "container/cgroup.procs": "2\n3\n",
            "cpu.pressure": PSI,
        },
    )
    usage = CgroupUsage([Hierarchy(tmp_path, frozenset(), True)])
    found = usage.read("/kubepods/pod1", processes=True)
    assert found is not None and usage.is_v2
    assert (found.cpu_ns, found.memory_usage_bytes, found.working_set_bytes, found.rss_bytes) == (
        2_500_000,
        1000,
        700,
        600,
    )
    assert (found.memory_limit_bytes, found.available_bytes) == (4096, 3396)
    assert (found.page_faults, found.major_page_faults, found.processes, found.threads) == (7, 2, 3, 5)
    assert (found.swap_usage_bytes, found.swap_limit_bytes) == (11, None)
    assert found.cpu_pressure == {
        "some": {"avg10": 1.5, "avg60": 0.2, "avg300": 0.0, "total": 123456},
        "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 42},
    }
    assert found.io_pressure is None
    assert usage.read("/kubepods/pod2") is None
    uncounted = usage.read("/kubepods/pod1")
    assert uncounted is not None and (uncounted.processes, uncounted.threads) == (None, 5)


def test_v1(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "cpuacct/kubepods/cpuacct.usage": "987\n",
            "memory/kubepods/memory.usage_in_bytes": "1000\n",
            "memory/kubepods/memory.memsw.usage_in_bytes": "1200\n",
            "memory/kubepods/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/kubepods/memory.stat": "rss 1\ntotal_rss 500\ntotal_inactive_file 100\ntotal_pgfault 3\n",
            "pids/kubepods/pids.current": "4\n",
            "pids/kubepods/cgroup.procs": "10\n11\n",
        },
    )
    usage = CgroupUsage(
        [Hierarchy(tmp_path / name, frozenset({name}), False) for name in ("cpuacct", "memory", "pids")]
    )
    found = usage.read("kubepods", processes=True)
    assert found is not None and not usage.is_v2
    assert (found.cpu_ns, found.working_set_bytes, found.rss_bytes) == (987, 900, 500)
    assert (found.processes, found.threads) == (2, 4)
    assert (found.memory_limit_bytes, found.available_bytes, found.swap_usage_bytes) == (None, None, 200)


def test_a_controller_that_is_missing_leaves_a_gap(tmp_path: Path) -> None:
    tree(tmp_path / "a", {"memory.current": "10\n"})
    found = CgroupUsage([Hierarchy(tmp_path, frozenset(), True)]).read("a")
    assert found is not None
    assert (found.working_set_bytes, found.cpu_ns, found.processes) == (10, None, None)


def test_pressure_of_the_machine(tmp_path: Path) -> None:
    tree(tmp_path / "pressure", {"memory": PSI})
    found = node_pressure(tmp_path)
    assert found.memory_pressure is not None and found.memory_pressure["full"]["total"] == 42
    assert found.cpu_pressure is None


def test_hierarchies_are_told_apart() -> None:
    v2 = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"
    hybrid = (
        "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        "32 25 0:28 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,name=systemd\n"
        "33 25 0:29 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n"
    )
    assert find_hierarchies(v2) == [Hierarchy(Path("/sys/fs/cgroup"), frozenset(), True)]
    assert find_hierarchies(hybrid) == [
        Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), frozenset({"cpu", "cpuacct"}), False)
    ]
