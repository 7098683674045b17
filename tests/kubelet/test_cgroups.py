"""The cgroups of pods, written into trees as the kernel has them: one for everything (v2), one a controller (v1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from steersman.kubelet.cgroup_hierarchies import Hierarchy, find_hierarchies
from steersman.kubelet.cgroups import CgroupFS, pod_cgroup
from steersman.kubelet.linux_resources import ResourcePolicy, cpu_weight
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.meta.objects import Object
from tests.kubelet.pods import UID, container, pod

POLICY = ResourcePolicy(memory_capacity_bytes=2**34, pod_pids=100, hugepage_sizes_bytes=(2 << 20,))
V2_FILES = {
    "cgroup.controllers": "cpuset cpu io memory hugetlb pids\n", "cgroup.subtree_control": "cpu\n",
    "cgroup.procs": "", "cpu.max": "max 100000\n", "cpu.weight": "100\n", "memory.max": "max\n", "pids.max": "max\n",
    "memory.current": "4096\n", "hugetlb.2MB.max": "max\n",
}  # fmt: skip
V1_FILES = {
    "cpu": {"cpu.shares": "1024\n", "cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"},
    "memory": {"memory.limit_in_bytes": f"{1 << 63}\n", "memory.usage_in_bytes": "4096\n"},
    "pids": {"pids.max": "max\n"}, "hugetlb": {"hugetlb.2MB.limit_in_bytes": "-1\n"},
    "cpuset": {"cpuset.cpus": "0-3\n", "cpuset.mems": "0\n"},
}  # fmt: skip


@dataclass
class Tree:
    """Folders below ``root`` have the files that the kernel would put there."""

    root: Path
    hierarchies: list[Hierarchy]
    fs: CgroupFS

    def make(self, path: str, *, cpuset: str = "") -> None:
        for hierarchy in self.hierarchies:
            folder = hierarchy.mount / path.strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            files = V2_FILES if hierarchy.unified else {}
            for controller in hierarchy.controllers:
                files = files | V1_FILES[controller]
            for name, text in files.items():
                (folder / name).write_text(cpuset if name.startswith("cpuset") and path else text)

    def make_for(self, obj: Object) -> None:
        """All that the pod's cgroup needs above it, and itself."""
        path = ""
        for part in ["", *pod_cgroup(obj, "/node").strip("/").split("/")]:
            path = f"{path}/{part}".rstrip("/")
            self.make(path)

    def read(self, path: str) -> str:
        return (self.root / path.strip("/")).read_text().strip()


@pytest.fixture
def v2(tmp_path: Path) -> Tree:
    return tree(tmp_path, [Hierarchy(tmp_path, frozenset(), True)])


@pytest.fixture
def v1(tmp_path: Path) -> Tree:
    return tree(tmp_path, [Hierarchy(tmp_path / name, frozenset({name}), False) for name in V1_FILES])


def tree(root: Path, hierarchies: list[Hierarchy]) -> Tree:
    return Tree(root, hierarchies, CgroupFS(root="/node", hierarchies=hierarchies))


LIMITED = container(
    resources={
        "requests": {"cpu": "1", "memory": "1Gi", "hugepages-2Mi": "4Mi"},
        "limits": {"cpu": "2", "memory": "2Gi", "hugepages-2Mi": "4Mi"},
    }
)
FREE = container(resources={"requests": {"cpu": "500m"}})


def test_limits_of_a_pod_on_v2(v2: Tree) -> None:
    obj = pod(LIMITED)
    v2.make_for(obj)
    path = v2.fs.create(obj, POLICY)
    assert path == f"/node/kubepods/burstable/pod{UID}"
    found = {name: v2.read(f"{path}/{name}") for name in ("cpu.weight", "cpu.max", "memory.max", "pids.max")}
    assert found == {"cpu.weight": "39", "cpu.max": "200000 100000", "memory.max": str(2**31), "pids.max": "100"}
    assert v2.read(f"{path}/hugetlb.2MB.max") == str(4 << 20)
    current = v2.fs.current(obj, POLICY)
    assert (current.cpu_quota, current.cpu_period, current.memory_limit_bytes) == (200_000, 100_000, 2**31)
    assert cpu_weight(current.cpu_shares) == 39
    assert v2.fs.memory_usage_bytes(obj) == 4096


def test_a_pod_without_limits_on_v2_has_none(v2: Tree) -> None:
    obj = pod(FREE)
    v2.make_for(obj)
    path = v2.fs.create(obj, POLICY)
    found = [v2.read(f"{path}/{name}") for name in ("cpu.weight", "cpu.max", "memory.max", "hugetlb.2MB.max")]
    assert found == ["20", "max 100000", "max", "0"], "pages without a limit may not be used"
    assert v2.fs.current(obj, POLICY).memory_limit_bytes == 0
    assert v2.fs.current(obj, POLICY).cpu_quota == 0


def test_a_resize_on_v2_sets_what_it_names_and_leaves_the_rest(v2: Tree) -> None:
    obj = pod(LIMITED)
    v2.make_for(obj)
    path = v2.fs.create(obj, POLICY)
    v2.fs.update(obj, LinuxResources(memory_limit_bytes=3 * 2**30))
    v2.fs.update(obj, LinuxResources(cpu_shares=2048))
    found = [v2.read(f"{path}/{name}") for name in ("cpu.weight", "cpu.max", "memory.max")]
    assert found == ["79", "200000 100000", str(3 * 2**30)]


def test_controllers_are_handed_down_to_pods_on_v2(v2: Tree) -> None:
    for path in ("", "/node", "/node/kubepods", "/node/kubepods/burstable", "/node/kubepods/besteffort"):
        v2.make(path)
    v2.fs.prepare()
    for path in ("", "node", "node/kubepods", "node/kubepods/burstable", "node/kubepods/besteffort"):
        assert v2.read(f"{path}/cgroup.subtree_control") == "+pids", f"the last of those that {path} had not enabled"


def test_limits_of_a_pod_on_v1(v1: Tree) -> None:
    obj = pod(LIMITED)
    v1.make_for(obj)
    path = v1.fs.create(obj, POLICY)
    assert [v1.read(f"cpu{path}/{name}") for name in ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us")] == [
        "1024", "100000", "200000"
    ]  # fmt: skip
    assert v1.read(f"memory{path}/memory.limit_in_bytes") == str(2**31)
    assert v1.read(f"pids{path}/pids.max") == "100"
    assert v1.read(f"hugetlb{path}/hugetlb.2MB.limit_in_bytes") == str(4 << 20)
    assert v1.fs.current(obj, POLICY).cpu_shares == 1024


def test_cpusets_are_handed_down_on_v1(v1: Tree) -> None:
    obj = pod(FREE)
    v1.make("")
    path = ""
    for part in pod_cgroup(obj, "/node").strip("/").split("/"):
        path = f"{path}/{part}"
        v1.make(path)
        for name in ("cpuset.cpus", "cpuset.mems"):
            (v1.root / "cpuset" / path.strip("/") / name).write_text("\n")
    v1.fs.prepare()
    v1.fs.create(obj, POLICY)
    assert v1.read(f"cpuset{path}/cpuset.cpus") == "0-3"
    assert v1.read(f"cpuset{path}/cpuset.mems") == "0"


def test_which_pods_have_cgroups_and_how_they_go(v2: Tree) -> None:
    for folder in ("", "burstable/", "besteffort/"):
        (v2.root / f"node/kubepods/{folder}pod{folder[:1]}x/container").mkdir(parents=True)
    assert set(v2.fs.pods()) == {"x", "bx"}
    v2.fs.remove("bx")
    v2.fs.remove("bx")
    assert set(v2.fs.pods()) == {"x"}


@pytest.mark.parametrize(
    ("shares", "weight"), [(2, 1), (1024, 39), (512, 20), (262_144, 10_000), (102, 4)]
)  # fmt: skip
def test_weights_of_pods_are_linear_in_their_shares(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


def test_where_cgroups_are_mounted() -> None:
    v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    assert find_hierarchies(v2) == [Hierarchy(Path("/sys/fs/cgroup"), frozenset(), True)]
    hybrid = (
        "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
        "32 23 0:28 / /sys/fs/cgroup/systemd rw shared:6 - cgroup cgroup rw,name=systemd\n"
        "33 23 0:29 / /sys/fs/cgroup/unified rw shared:7 - cgroup2 cgroup2 rw\n"
    )
    cpu = Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), frozenset({"cpu", "cpuacct"}), False)
    assert find_hierarchies(hybrid) == [cpu]
