"""What the processes of a cgroup have read from and written to each disk, on cgroup v1 (blkio) and v2 (io).

Reads and writes are those that reached the disk: what the page cache served is not among them. Source: the kernel's
Documentation/admin-guide/cgroup-v1/blkio-controller.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

_V1_BYTES: Final = ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes")
_V1_COUNTS: Final = ("blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced")
"""The first that there is: kernels before 4.18 count a cgroup's own only."""


class DiskIO(Struct, frozen=True, kw_only=True):
    """Since the cgroup was made."""

    device: str
    """``/dev/sda``; empty where the kernel has no name for it."""
    read_bytes: int
    written_bytes: int
    reads: int
    writes: int


def read_v1(folder: Path, name_of: Callable[[str], str]) -> tuple[DiskIO, ...]:
    """``name_of``: as ``device_name``."""
    moved, counted = _operations(folder, _V1_BYTES), _operations(folder, _V1_COUNTS)
    return tuple(
        DiskIO(
            device=name_of(number),
            read_bytes=amounts["Read"],
            written_bytes=amounts["Write"],
            reads=counted[number]["Read"],
            writes=counted[number]["Write"],
        )
        for number, amounts in moved.items()
    )


def read_v2(folder: Path, name_of: Callable[[str], str]) -> tuple[DiskIO, ...]:
    """``name_of``: as ``device_name``."""
    found = []
    for line in _lines(folder / "io.stat"):
        number, *fields = line.split()
        amounts = {key: int(value) for key, _, value in (field.partition("=") for field in fields) if value.isdecimal()}
        if "rbytes" in amounts:
            found.append(
                DiskIO(
                    device=name_of(number),
                    read_bytes=amounts["rbytes"],
                    written_bytes=amounts.get("wbytes", 0),
                    reads=amounts.get("rios", 0),
                    writes=amounts.get("wios", 0),
                )
            )
    return tuple(found)


def device_name(number: str, *, devices: Path = Path("/sys/dev/block")) -> str:
    """Of the disk with ``major:minor``."""
    try:
        return f"/dev/{os.path.basename(os.readlink(devices / number))}"
    except OSError:
        return ""


def _operations(folder: Path, names: Sequence[str]) -> defaultdict[str, defaultdict[str, int]]:
    """By ``major:minor`` and operation."""
    found: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name in names:
        lines = _lines(folder / name)
        for words in (line.split() for line in lines):
            if len(words) == 3 and words[2].isdecimal():
                found[words[0]][words[1]] = int(words[2])
        if lines:
            break
    return found


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
