"""Files of a volume change all at once, in the layout that pods know."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from steersman.kubelet.volumes.atomic_files import File, check_path, write_files

NOW_S = 1_767_225_600.0


def write(folder: Path, now_s: float = NOW_S, gid: int | None = None, **files: str) -> bool:
    return write_files(
        folder,
        {name.replace("__", "/"): File(data=text.encode()) for name, text in files.items()},
        now_s=now_s,
        gid=gid,
    )


def seen(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith("..")
    }


def test_names_lead_through_one_link(tmp_path: Path) -> None:
    assert write(tmp_path, a="1", d__b="2")
    assert (tmp_path / "a").read_text() == "1"
    assert (tmp_path / "d" / "b").read_text() == "2"
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert os.readlink(tmp_path / "..data").startswith("..2026_01_01_00_00_00.")


def test_the_same_files_again_change_nothing(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    before = os.readlink(tmp_path / "..data")
    assert not write(tmp_path, NOW_S + 60, a="1")
    assert os.readlink(tmp_path / "..data") == before


def test_an_update_replaces_all_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path, a="1", d__b="2")
    assert write(tmp_path, NOW_S + 60, a="2", c="3")
    assert (tmp_path / "a").read_text() == "2"
    assert sorted(entry.name for entry in os.scandir(tmp_path) if not entry.name.startswith("..")) == ["a", "c"]
    assert len([entry for entry in os.scandir(tmp_path) if entry.name.startswith("..20")]) == 1


def test_an_open_folder_keeps_the_old_files(tmp_path: Path) -> None:
    """What a process in the pod has open is never half new."""
    write(tmp_path, a="1", b="1")
    handle = os.open(tmp_path / "..data", os.O_RDONLY)
    inside = os.open("a", os.O_RDONLY, dir_fd=handle)
    write(tmp_path, NOW_S + 60, a="2", b="2")
    assert os.read(inside, 10) == b"1"
    os.close(inside)
    os.close(handle)


def test_modes_are_as_given_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_files(tmp_path, {"a": File(data=b"", mode=0o444), "b": File(data=b"", mode=0o640)}, now_s=NOW_S)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o444
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "..data").stat().st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_an_fs_group_owns_the_files_and_may_read_them(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": File(data=b"", mode=0o400)}, now_s=NOW_S, gid=4242)
    info = (tmp_path / "a").stat()
    assert (info.st_gid, stat.S_IMODE(info.st_mode)) == (4242, 0o440)
    assert not write_files(tmp_path, {"a": File(data=b"", mode=0o400)}, now_s=NOW_S + 60, gid=4242)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "..data", ""])
def test_paths_that_leave_the_volume_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="invalid path"):
        check_path(path)
