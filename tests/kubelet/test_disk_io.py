"""What a cgroup has read and written, on trees as the kernel has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.kubelet.cgroup_hierarchies import Hierarchy
from steersman.kubelet.cgroup_usage import CgroupUsage
from steersman.kubelet.disk_io import DiskIO, device_name, read_v1, read_v2
from tests.kubelet.test_cgroup_usage import tree

MOVED = "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 4608\n8:0 Total 4608\n7:1 Read 1\n7:1 Write 0\nTotal 4609\n"
COUNTED = "8:0 Read 3\n8:0 Write 2\n8:0 Total 5\nTotal 5\n"
NAMES = {"8:0": "/dev/sda", "7:1": ""}
SDA = DiskIO(device="/dev/sda", read_bytes=4096, written_bytes=512, reads=3, writes=2)


@pytest.mark.parametrize("suffix", ["", "_recursive"])
def test_v1_by_disk(tmp_path: Path, suffix: str) -> None:
    files = {f"blkio.throttle.io_service_bytes{suffix}": MOVED, f"blkio.throttle.io_serviced{suffix}": COUNTED}
    tree(tmp_path, files)
    assert read_v1(tmp_path, NAMES.__getitem__) == (
        SDA,
        DiskIO(device="", read_bytes=1, written_bytes=0, reads=0, writes=0),
    )


def test_v2_by_disk(tmp_path: Path) -> None:
    tree(tmp_path, {"io.stat": "8:0 rbytes=4096 wbytes=512 rios=3 wios=2 dbytes=0 dios=0\n7:1 cost.usage=3\n8:16\n"})
    assert read_v2(tmp_path, NAMES.__getitem__) == (SDA,)


def test_a_cgroup_without_the_controller_has_none(tmp_path: Path) -> None:
    assert read_v1(tmp_path, NAMES.__getitem__) == read_v2(tmp_path, NAMES.__getitem__) == ()


def test_disks_are_named_as_the_kernel_does(tmp_path: Path) -> None:
    (tmp_path / "8:0").symlink_to("../../devices/pci0000:00/block/sda")
    assert device_name("8:0", devices=tmp_path) == "/dev/sda"
    assert device_name("8:1", devices=tmp_path) == ""


def test_the_first_process_of_a_cgroup(tmp_path: Path) -> None:
    tree(tmp_path, {"cpu/a/cgroup.procs": "", "memory/a/cgroup.procs": "41\n42\n"})
    usage = CgroupUsage([Hierarchy(tmp_path / name, frozenset({name}), False) for name in ("cpu", "memory")])
    assert (usage.first_process("/a"), usage.first_process("/b"), usage.disk_io("/a")) == (41, None, ())
    tree(tmp_path, {"v2/a/cgroup.procs": "7\n", "v2/a/io.stat": "8:0 rbytes=1 wbytes=2 rios=1 wios=1\n"})
    unified = CgroupUsage([Hierarchy(tmp_path / "v2", frozenset(), True)])
    assert unified.first_process("a") == 7
    assert [(disk.read_bytes, disk.written_bytes) for disk in unified.disk_io("a")] == [(1, 2)]
