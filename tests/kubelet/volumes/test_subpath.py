"""subPath never leaves its volume, whatever the pod has put there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.kubelet.volumes.api import VolumeError
from steersman.kubelet.volumes.mounts import mount_points, remove_tree
from steersman.kubelet.volumes.subpath import bind_subpath, check_subpath, make_beneath, open_beneath, release_subpaths

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "volume"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "f").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    yield folder
    release_subpaths(tmp_path / "bound")


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
    release_subpaths(tmp_path / "bound")
    assert not (tmp_path / "bound").exists()
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
