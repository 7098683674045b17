"""What stays half frozen while the runtime ends something is thawed, and nothing else is. The kernel's part: ``real/test_freezers.py``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.kubelet.cgroup_hierarchies import Hierarchy
from steersman.kubelet.cgroups import CgroupFS
from steersman.kubelet.freezers import LOOK_S, FreezerWatch


def cgroup(folder: Path, state: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "freezer.state").write_text(state + "\n")
    return folder


def state(folder: Path) -> str:
    return (folder / "freezer.state").read_text().strip()


async def advance(clock: FakeClock, seconds: float) -> None:
    """The looks are taken in a thread, which a clock does not wait for."""
    for _ in range(round(seconds / LOOK_S)):
        await clock.advance(LOOK_S)
        await asyncio.sleep(0.05)


async def test_what_two_looks_find_half_frozen_is_thawed(tmp_path: Path) -> None:
    stuck = cgroup(tmp_path / "besteffort/pod1/stuck", "FREEZING")
    paused = cgroup(tmp_path / "pod2/paused", "FROZEN")
    clock = FakeClock()
    watch = FreezerWatch(tmp_path, clock=clock)
    with watch.ending():
        await advance(clock, LOOK_S)
        assert state(stuck) == "FREEZING", "a runc may be at work"
        await advance(clock, 2 * LOOK_S)
        assert state(stuck) == "THAWED"
        assert state(paused) == "FROZEN", "somebody wanted that"
    await advance(clock, 2 * LOOK_S)
    assert clock.next_deadline() is None, "nothing is looked at while nothing ends"


async def test_a_runc_at_work_is_left_alone(tmp_path: Path) -> None:
    at_work = cgroup(tmp_path / "pod1/main", "FREEZING")
    clock = FakeClock()
    watch = FreezerWatch(tmp_path, clock=clock)
    with watch.ending():
        await advance(clock, LOOK_S)
        cgroup(at_work, "FROZEN")
        await advance(clock, LOOK_S)
        cgroup(at_work, "FREEZING")
        await advance(clock, LOOK_S)
        assert state(at_work) == "FREEZING"
    watch.close()


async def test_ends_that_do_not_take_long_cost_no_look(tmp_path: Path) -> None:
    stuck = cgroup(tmp_path / "pod1/main", "FREEZING")
    clock = FakeClock()
    watch = FreezerWatch(tmp_path, clock=clock)
    for _ in range(12):
        with watch.ending():
            await clock.advance(LOOK_S / 2)
            await asyncio.sleep(0.02)
    assert state(stuck) == "FREEZING"
    watch.close()


async def test_without_such_a_hierarchy_nothing_is_done() -> None:
    clock = FakeClock()
    with FreezerWatch(None, clock=clock).ending():
        assert clock.next_deadline() is None


@pytest.mark.parametrize("found", ["FREEZING", "FROZEN"])
def test_a_pods_cgroup_is_thawed_when_what_is_left_in_it_is_killed(tmp_path: Path, found: str) -> None:
    main = cgroup(tmp_path / "kubepods/pod1/main", found)
    kept = cgroup(tmp_path / "kubepods/pod2/main", found)
    fs = CgroupFS(hierarchies=[Hierarchy(tmp_path, frozenset({"freezer"}), False)])
    with pytest.raises(OSError, match="not empty"):
        fs.remove("1")  # the kernel would let go of a folder with files in it
    assert state(main) == "THAWED"
    assert state(kept) == found
