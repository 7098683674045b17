"""subPath never leaves its volume, whatever the pod has put there."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.kubelet.volumes.api import VolumeError
from steersman.kubelet.volumes.mounts import mount_points, unmount_below
from steersman.kubelet.volumes.subpath import bind_subpath, check_subpath, make_beneath, open_beneath
from steersman.kubelet.volumes.trees import remove_tree

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "volume"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "f").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    yield folder
    unmount_below(tmp_path / "bound")


@pytest.mark.parametrize("path", ["/etc", "..", "a/../..", "a/.."])
def test_paths_that_step_back_are_refused(path: str) -> None:
    with pytest.raises(VolumeError):
        check_subpath(path)


@pytest.mark.parametrize("target", ["/etc", "../..", "../secret", "/proc/self/root"])
def test_links_that_leave_are_not_followed(volume: Path, target: str) -> None:
    (volume / "link").symlink_to(target)
    root = os.open(volume, os.O_PATH)
    with pytest.raises(OSError):
        open_beneath(root, "link")
    with pytest.raises(OSError):
        make_beneath(root, "link/new", 0o755)
    os.close(root)


def test_links_that_stay_are_followed(volume: Path) -> None:
    (volume / "link").symlink_to("a")
    root = os.open(volume, os.O_PATH)
    handle = open_beneath(root, "link/f")
    assert Path(f"/proc/self/fd/{handle}").read_text() == "inside"
    os.close(handle)
    os.close(root)


@needs_root
def test_a_folder_is_mounted_and_released(volume: Path, tmp_path: Path) -> None:
    target = tmp_path / "bound" / "v" / "main" / "0"
    bind_subpath(volume, "a", target)
    assert (target / "f").read_text() == "inside"
    bind_subpath(volume, "a", target)
    unmount_below(tmp_path / "bound")
    assert not [point for point in mount_points() if point.startswith(str(tmp_path))]


@needs_root
def test_a_file_is_mounted(volume: Path, tmp_path: Path) -> None:
    target = tmp_path / "bound" / "v" / "main" / "1"
    bind_subpath(volume, "a/f", target)
    assert target.read_text() == "inside"


@needs_root
def test_what_is_missing_is_made_with_the_volumes_mode(volume: Path, tmp_path: Path) -> None:
    volume.chmod(0o775)
    bind_subpath(volume, "new/deep", tmp_path / "bound" / "v" / "main" / "2")
    assert (volume / "new" / "deep").stat().st_mode & 0o777 == 0o775


@needs_root
def test_a_hostile_link_is_an_error_that_tells_nothing_of_the_node(volume: Path, tmp_path: Path) -> None:
    (volume / "out").symlink_to("/etc")
    with pytest.raises(VolumeError, match="not within volume path"):
        bind_subpath(volume, "out", tmp_path / "bound" / "v" / "main" / "3")


def test_removing_a_tree_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "f").write_text("x")
    (tmp_path / "gone" / "deep").mkdir(parents=True)
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "gone" / "deep" / "link").symlink_to("/etc")
    remove_tree(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()
    assert (tmp_path / "kept" / "f").exists()
    remove_tree(tmp_path / "gone")


@needs_root
def test_a_link_swapped_in_while_mounting_never_leads_out(volume: Path, tmp_path: Path) -> None:
    """CVE-2017-1002101 and its kin: a pod exchanges the folder for a link to the node's root again and again."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "marker").write_text("the node's own")
    (volume / "real").mkdir()
    (volume / "x").mkdir()
    stopped = threading.Event()

    def swap() -> None:
        pause = random.Random(1)
        while not stopped.wait(pause.random() / 1000):
            with contextlib.suppress(OSError):
                (volume / "x").rename(volume / "real" / "x")
                (volume / "x").symlink_to(outside)
                (volume / "x").unlink()
                (volume / "real" / "x").rename(volume / "x")

    swapper = threading.Thread(target=swap)
    swapper.start()
    outcomes = {True: 0, False: 0}
    try:
        deadline = time.monotonic() + 60
        for number in itertools.count():
            if number >= 300 and (outcomes[True] or time.monotonic() > deadline):
                break
            target = tmp_path / "bound" / "v" / "main" / str(number)
            try:
                bind_subpath(volume, "x/deep", target)
            except (VolumeError, OSError):
                outcomes[False] += 1
                continue
            outcomes[True] += 1
            assert not (target / "marker").exists() and not (target.parent / "marker").exists()
    finally:
        stopped.set()
        swapper.join()
    assert not (outside / "deep").exists(), "nothing was made outside of the volume"
    assert outcomes[True] > 0, "a folder that is one at the moment is bound"
