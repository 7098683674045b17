"""What stays half frozen is thawed, and nothing else is. The kernel's part: ``real/test_hangs.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.kubelet.cgroup_hierarchies import Hierarchy
from steersman.kubelet.cgroups import CgroupFS
from steersman.kubelet.freezers import StuckFreezers


def cgroup(folder: Path, state: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "freezer.state").write_text(state + "\n")
    return folder


def state(folder: Path) -> str:
    return (folder / "freezer.state").read_text().strip()


def test_what_two_looks_find_half_frozen_is_thawed(tmp_path: Path) -> None:
    stuck = cgroup(tmp_path / "besteffort/pod1/stuck", "FREEZING")
    paused = cgroup(tmp_path / "pod2/paused", "FROZEN")
    freezers = StuckFreezers(tmp_path)
    freezers.look()
    assert state(stuck) == "FREEZING", "a runc may be at work"
    freezers.look()
    assert state(stuck) == "THAWED"
    assert state(paused) == "FROZEN", "somebody wanted that"


def test_a_runc_at_work_is_left_alone(tmp_path: Path) -> None:
    at_work = cgroup(tmp_path / "pod1/main", "FREEZING")
    freezers = StuckFreezers(tmp_path)
    freezers.look()
    cgroup(at_work, "FROZEN")
    freezers.look()
    cgroup(at_work, "FREEZING")
    freezers.look()
    assert state(at_work) == "FREEZING"


@pytest.mark.parametrize("found", ["FREEZING", "FROZEN"])
def test_a_pods_cgroup_is_thawed_when_what_is_left_in_it_is_killed(tmp_path: Path, found: str) -> None:
    main = cgroup(tmp_path / "kubepods/pod1/main", found)
    kept = cgroup(tmp_path / "kubepods/pod2/main", found)
    fs = CgroupFS(hierarchies=[Hierarchy(tmp_path, frozenset({"freezer"}), False)])
    with pytest.raises(OSError, match="not empty"):
        fs.remove("1")  # the kernel would let go of a folder with files in it
    assert state(main) == "THAWED"
    assert state(kept) == found
