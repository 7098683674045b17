"""Trees that a hostile pod made are walked and removed without harm."""

from __future__ import annotations

import os
import resource
import stat
import threading
from pathlib import Path

import pytest

from steersman.kubelet.volumes.mounts import mount_tmpfs, unmount
from steersman.kubelet.volumes.ownership import set_ownership
from steersman.kubelet.volumes.trees import Descent, entries, remove_tree

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
DEEP = 1500


def make_deep(root: Path, depth: int) -> None:
    """Folders in folders, deeper than any path can be written."""
    root.mkdir()
    handle = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deeper", dir_fd=handle)
        below = os.open("deeper", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)


def test_a_tree_deeper_than_the_stack_and_the_longest_path_is_removed(tmp_path: Path) -> None:
    make_deep(tmp_path / "deep", DEEP)
    (tmp_path / "deep" / "beside").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
    try:
        assert sum(1 for _ in entries(tmp_path / "deep")) == DEEP + 1
        remove_tree(tmp_path / "deep")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not (tmp_path / "deep").exists()


def test_a_folder_of_many_files_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steersman.kubelet.volumes.trees.BATCH", 7)
    (tmp_path / "wide" / "inner").mkdir(parents=True)
    for number in range(50):
        (tmp_path / "wide" / f"f{number}").write_text("")
        (tmp_path / "wide" / "inner" / f"f{number}").write_text("")
        (tmp_path / "wide" / f"d{number}" / "x").mkdir(parents=True)
    remove_tree(tmp_path / "wide")
    assert not (tmp_path / "wide").exists()
    remove_tree(tmp_path / "wide")


def test_what_is_not_a_folder_is_removed_too(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "kept").is_dir()


@needs_root
def test_what_is_mounted_below_is_left_alone(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "inner"
    mount_tmpfs(inner)
    (inner / "kept").write_text("x")
    try:
        with pytest.raises(OSError, match="still mounted"):
            remove_tree(tmp_path / "tree")
        assert (inner / "kept").exists()
    finally:
        unmount(str(inner))
    remove_tree(tmp_path / "tree")


def test_a_folder_that_is_moved_away_while_it_is_walked_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    with Descent(tmp_path / "tree") as place:
        place.down("a")
        place.down("b")
        (tmp_path / "tree" / "a" / "b").rename(tmp_path / "elsewhere" / "b")
        with pytest.raises(OSError, match="moved"):
            place.up()


@needs_root
def test_fs_group_reaches_everything_and_nothing_behind_links(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o600)
    volume = tmp_path / "volume"
    (volume / "a").mkdir(parents=True)
    (volume / "a" / "f").write_text("x")
    (volume / "a" / "f").chmod(0o600)
    (volume / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(volume / "pipe")
    set_ownership(volume, 1234)
    for path in (volume, volume / "a", volume / "a" / "f", volume / "pipe"):
        assert path.stat().st_gid == 1234
    assert stat.S_IMODE((volume / "a" / "f").stat().st_mode) == 0o660
    assert stat.S_IMODE((volume / "a").stat().st_mode) & 0o2770 == 0o2770
    assert (volume / "link").lstat().st_gid == 1234
    assert (tmp_path / "secret").stat().st_gid != 1234
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@needs_root
def test_fs_group_does_not_reach_a_file_that_a_link_is_swapped_for(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    volume = tmp_path / "volume"
    volume.mkdir()
    stopped = threading.Event()

    def swap() -> None:
        link, file = volume / "link", volume / "file"
        while not stopped.is_set():
            file.write_text("mine")
            link.symlink_to(secret)
            os.replace(link, file)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(300):
            set_ownership(volume, 1234)
    finally:
        stopped.set()
        swapper.join()
    secret_info = secret.stat()
    assert (secret_info.st_gid, stat.S_IMODE(secret_info.st_mode)) == (0, 0o600)
