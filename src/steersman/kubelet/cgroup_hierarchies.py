"""Where cgroups are: one tree with all controllers (v2), or one for each few of them (v1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb", "blkio", "devices", "freezer")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree. ``unified``: cgroup v2, with whatever controllers are enabled in a folder."""

    mount: Path
    controllers: frozenset[str]
    unified: bool


def find_hierarchies(mountinfo: str) -> list[Hierarchy]:
    """v2 alone where /sys/fs/cgroup itself is cgroup2; else the v1 hierarchies (a hybrid's v2 has no controllers)."""
    found: dict[Path, Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, tail = before.split(), after.split()
        if len(fields) < 5 or len(tail) < 3:
            continue
        mount = Path(fields[4])
        if tail[0] == "cgroup2" and mount == Path("/sys/fs/cgroup"):
            return [Hierarchy(mount, frozenset(), True)]
        if tail[0] == "cgroup":
            controllers = frozenset(tail[2].split(",")) & frozenset(V1_CONTROLLERS)
            if controllers:
                found[mount] = Hierarchy(mount, controllers, False)
    return list(found.values())
