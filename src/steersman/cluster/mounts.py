"""Mounts of this machine that a node's data lives on."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from steersman.cluster.machines import HostError, run

MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


class MountEntry(Struct, frozen=True, kw_only=True):
    target: Path
    shared: bool


def mounts() -> list[MountEntry]:
    """Everything mounted in this process's view, in the order of mounting."""
    entries = []
    for line in MOUNTINFO.read_text().splitlines():
        fields = line.split(" ")
        optional = fields[6 : fields.index("-")]
        target = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
        entries.append(MountEntry(target=Path(target), shared=any(field.startswith("shared:") for field in optional)))
    return entries


def make_shared(directory: Path) -> None:
    """Make ``directory`` a mount of its own whose mounts reach containers and come back from them.

    Volumes with mount propagation need that, and a machine's root is private unless an init system changed it.
    A second call changes nothing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    target = directory.resolve()
    existing = [entry for entry in mounts() if entry.target == target]
    if not existing:
        run("mount", "--bind", str(target), str(target))
    if not existing or not existing[-1].shared:
        run("mount", "--make-rshared", str(target))


def unmount_below(directory: Path) -> None:
    """Unmount ``directory`` and everything below it, the innermost first; what is busy goes when it is let go."""
    target = directory.resolve()
    for entry in reversed(mounts()):
        if entry.target == target or entry.target.is_relative_to(target):
            try:
                run("umount", "--lazy", "--no-canonicalize", str(entry.target))
            except HostError:
                if any(now.target == entry.target for now in mounts()):
                    raise  # what somebody else unmounted meanwhile is gone as wished
