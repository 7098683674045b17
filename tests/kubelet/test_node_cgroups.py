"""What all pods may use together, written into trees as the kernel has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.kubelet.cgroup_hierarchies import Hierarchy
from steersman.kubelet.node_cgroups import (
    EnforcementError,
    GroupLimits,
    NodeCgroupKeeper,
    NodeCgroups,
    over_reserved,
    pods_limits,
)
from steersman.kubelet.reservations import Reservations
from tests.kubelet.pods import container, pod

CAPACITY = {"cpu": "4", "memory": "8Gi", "hugepages-2Mi": "1Gi", "ephemeral-storage": "100Gi"}
GI = 1024**3
V2_FILES = ("cpu.weight", "memory.max", "pids.max", "hugetlb.2MB.max")
V1_FILES = {
    "cpu": ("cpu.shares",), "memory": ("memory.limit_in_bytes",), "pids": ("pids.max",),
    "hugetlb": ("hugetlb.2MB.limit_in_bytes",),
}  # fmt: skip
FOLDERS = ("steersman/kubepods", "steersman/kubepods/burstable", "steersman/kubepods/besteffort", "system")


def v2(root: Path) -> NodeCgroups:
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in V2_FILES:
            (root / folder / name).write_text("max\n")
    return NodeCgroups([Hierarchy(root, frozenset(), True)], root="/steersman")


def v1(root: Path) -> NodeCgroups:
    for controller, names in V1_FILES.items():
        for folder in FOLDERS:
            (root / controller / folder).mkdir(parents=True, exist_ok=True)
            for name in names:
                (root / controller / folder / name).write_text("-1\n")
    return NodeCgroups([Hierarchy(root / name, frozenset({name}), False) for name in V1_FILES], root="/steersman")


@pytest.mark.parametrize(
    ("enforce", "cpu", "memory", "pids"),
    [(frozenset({"pods"}), 3500, 7 * GI, 29_000), (frozenset(), 4000, 8 * GI, 30_000)],
)
def test_reservations_count_where_they_are_enforced(enforce: frozenset[str], cpu: int, memory: int, pids: int) -> None:
    reserved = Reservations(
        kube={"cpu": "300m", "memory": "1Gi"}, system={"cpu": "200m", "pid": "1000"}, enforce=enforce
    )
    assert pods_limits(CAPACITY, 30_000, reserved) == GroupLimits(
        cpu_milli=cpu, memory_bytes=memory, pids=pids, hugepages={"2MB": GI}
    )


def test_limits_on_v2(tmp_path: Path) -> None:
    v2(tmp_path).limit_pods(GroupLimits(cpu_milli=3500, memory_bytes=7 * GI, pids=29_000, hugepages={"2MB": GI}))
    folder = tmp_path / "steersman/kubepods"
    assert [(folder / name).read_text() for name in V2_FILES] == ["137", str(7 * GI), "29000", str(GI)]


def test_limits_on_v1(tmp_path: Path) -> None:
    v1(tmp_path).limit_pods(GroupLimits(cpu_milli=3500, memory_bytes=7 * GI, pids=29_000))
    assert (tmp_path / "cpu/steersman/kubepods/cpu.shares").read_text() == "3584"
    assert (tmp_path / "memory/steersman/kubepods/memory.limit_in_bytes").read_text() == str(7 * GI)
    assert (tmp_path / "pids/steersman/kubepods/pids.max").read_text() == "29000"


def test_burstable_pods_get_what_they_ask_for_together_and_best_effort_ones_the_rest(tmp_path: Path) -> None:
    half = container(resources={"requests": {"cpu": "500m"}})
    v1(tmp_path).share([pod(half), pod(half), pod()])
    assert (tmp_path / "cpu/steersman/kubepods/burstable/cpu.shares").read_text() == "1024"
    assert (tmp_path / "cpu/steersman/kubepods/besteffort/cpu.shares").read_text() == "2"


class Keeping:
    def __init__(self, cgroups: NodeCgroups, reservations: Reservations | None = None) -> None:
        self.clock = FakeClock()
        self.events: list[tuple[str, str, str]] = []
        self.keeper = NodeCgroupKeeper(
            cgroups, clock=self.clock, reservations=reservations or Reservations(),
            limits=GroupLimits(memory_bytes=GI), pods=list,
            announce=lambda kind, reason, message: self.events.append((kind, reason, message)),
        )  # fmt: skip


async def test_what_cannot_be_limited_yet_is_tried_again(tmp_path: Path) -> None:
    keeping = Keeping(v2(tmp_path))
    file = tmp_path / "steersman/kubepods/memory.max"
    file.unlink()
    async with TaskGroup("test") as group:
        group.spawn(keeping.keeper.run(), name="keeper")
        await keeping.clock.settle()
        assert keeping.events[0][:2] == ("Warning", "FailedNodeAllocatableEnforcement")
        file.write_text("max\n")
        await keeping.clock.advance(61)
        assert file.read_text() == str(GI)
        assert keeping.events[-1] == ("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")
        before = len(keeping.events)
        await keeping.clock.advance(600)
        assert len(keeping.events) == before


def test_a_reserved_cgroup_has_to_exist(tmp_path: Path) -> None:
    reserved = Reservations(
        system={"cpu": "1", "memory": "1Gi"}, system_cgroup="/nowhere", enforce=frozenset({"system-reserved"})
    )
    keeping = Keeping(v2(tmp_path), reserved)
    with pytest.raises(EnforcementError, match='Failed to enforce System Reserved Cgroup Limits on "/nowhere"'):
        keeping.keeper.enforce_reserved()


@pytest.mark.parametrize(("level", "memory"), [("system-reserved", str(GI)), ("system-reserved-compressible", "max\n")])
def test_a_reserved_cgroup_is_limited(tmp_path: Path, level: str, memory: str) -> None:
    reserved = Reservations(system={"cpu": "1", "memory": "1Gi"}, system_cgroup="/system", enforce=frozenset({level}))
    keeping = Keeping(v2(tmp_path), reserved)
    keeping.keeper.enforce_reserved()
    assert (tmp_path / "system/cpu.weight").read_text() == "39"
    assert (tmp_path / "system/memory.max").read_text() == memory
    assert keeping.events == [("Normal", "NodeAllocatableEnforced", "Updated limits on system reserved cgroup /system")]


def test_more_cannot_be_reserved_than_there_is() -> None:
    assert over_reserved(CAPACITY, {"cpu": "4"}) == ""
    assert over_reserved(CAPACITY, {"cpu": "5"}) == (
        'invalid Node Allocatable configuration. Resource "cpu" has a reservation of 5 but capacity of 4. Expected '
        "capacity >= reservation."
    )
