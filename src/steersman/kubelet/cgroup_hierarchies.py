"""Where cgroups are: one tree with all controllers (v2), or one for each few of them (v1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb", "blkio", "devices", "freezer")


class Hierarchy(Struct, frozen=True):
    """One mounted tree. ``unified``: cgroup v2, with whatever controllers are enabled in a folder."""

    mount: Path
    controllers: frozenset[str]
    unified: bool


def counts_swap(hierarchies: Sequence[Hierarchy], own_cgroups: str) -> bool:
    """Whether the kernel limits swap by cgroup. ``own_cgroups``: /proc/self/cgroup; v2's root does not have the file."""
    for hierarchy in hierarchies:
        if hierarchy.unified:
            own = next((line.partition("::")[2] for line in own_cgroups.splitlines() if line.startswith("0::")), None)
            return own is not None and (hierarchy.mount / own.strip("/") / "memory.swap.max").exists()
        if "memory" in hierarchy.controllers:
            return (hierarchy.mount / "memory.memsw.limit_in_bytes").exists()
    return False


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
