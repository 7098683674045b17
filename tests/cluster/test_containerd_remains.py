"""What is in nobody's books goes, what is in them stays. Shims and containers of the real thing: ``tests/kubelet/real/test_kills.py``."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.cluster.containerd_remains import NAMESPACE, Remains


async def test_a_folder_without_shim_and_container_goes_once_the_books_do_not_have_it(tmp_path: Path) -> None:
    """containerd that is killed while it stops a sandbox may leave no more than that."""
    tasks = tmp_path / "io.containerd.runtime.v2.task" / NAMESPACE
    for name in ("running", "forgotten"):
        (tasks / name).mkdir(parents=True)
        (tasks / name / "address").write_text("unix:///nowhere")
    remains = Remains(tmp_path, tmp_path / "socket", "runc", clock=FakeClock())

    async def books() -> Collection[str]:
        return ["running"]

    assert await remains.remove_forgotten(books) == ["forgotten"]
    assert [path.name for path in tasks.iterdir()] == ["running"]
    assert await remains.remove_forgotten(books) == []


async def test_a_machine_on_which_nothing_runs_is_asked_nothing(tmp_path: Path) -> None:
    remains = Remains(tmp_path, tmp_path / "socket", "runc", clock=FakeClock())

    async def books() -> Collection[str]:
        raise AssertionError("there is nothing to look up")

    assert await remains.remove_forgotten(books) == []


@pytest.mark.parametrize(("found", "left"), [("FREEZING", "THAWED"), ("FROZEN", "FROZEN"), ("THAWED", "THAWED")])
def test_what_a_killed_runc_left_half_frozen_is_thawed(tmp_path: Path, found: str, left: str) -> None:
    """FROZEN is what ``ctr task pause`` makes, and runc ends a container that is."""
    containers = tmp_path / "runc" / NAMESPACE
    cgroup = tmp_path / "freezer/main"
    cgroup.mkdir(parents=True)
    (cgroup / "freezer.state").write_text(found)
    for name, text in {
        "main": json.dumps({"cgroup_paths": {"freezer": str(cgroup), "cpu": "/nowhere"}}),
        "on-v2": json.dumps({"cgroup_paths": {"": "/sys/fs/cgroup/nowhere"}}),
        "half-written": "{",
    }.items():
        (containers / name).mkdir(parents=True)
        (containers / name / "state.json").write_text(text)
    Remains(tmp_path, tmp_path / "socket", "runc", clock=FakeClock()).unstick()
    assert (cgroup / "freezer.state").read_text() == left
