"""Files of this machine as the contents of an image: a program with the libraries it is linked to, busybox's applets."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from steersman.cluster.machines import HostError
from steersman.cluster.oci import Directory, Entry, File, Link

ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)")


def architecture() -> str:
    """This machine's, in Go's words."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def base() -> list[Entry]:
    """What programs expect of any root file system."""
    return [
        Directory(path="etc"),
        File(path="etc/passwd", data=b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        File(path="etc/group", data=b"root:x:0:\nnobody:x:65534:\n"),
        Directory(path="root", mode=0o700),
        Directory(path="tmp", mode=0o1777),
        Directory(path="var"),
    ]


def busybox(path: Path = Path("/bin/busybox")) -> list[Entry]:
    """A static busybox with a link for each of its applets. Raises ``HostError`` where there is none."""
    if not path.exists():
        raise HostError(f"{path} is missing (Debian: apt install busybox-static)")
    if libraries(path):
        raise HostError(f"{path} is not static (Debian: apt install busybox-static)")
    applets = subprocess.run([path, "--list"], capture_output=True, text=True, check=True).stdout.split()
    links = [Link(path=f"bin/{name}", target="busybox") for name in sorted(applets) if name != "busybox"]
    return [Directory(path="bin"), File(path="bin/busybox", data=path.read_bytes(), mode=0o755), *links]


def programs(*paths: Path, data: Iterable[Path] = ()) -> list[Entry]:
    """Programs and the libraries they are linked to, each where it is on this machine, and ``data`` files likewise."""
    wanted: set[Path] = set(data)
    for path in paths:
        if not path.exists():
            raise HostError(f"{path} is missing")
        wanted |= {path, *libraries(path)}
    entries: list[Entry] = []
    directories: set[Path] = set()
    for file in sorted(wanted):
        for parent in reversed(file.parents[:-1]):
            if parent not in directories:
                directories.add(parent)
                entries.append(Directory(path=str(parent)))
        mode = 0o755 if file.stat().st_mode & 0o111 else 0o644
        entries.append(File(path=str(file), data=file.read_bytes(), mode=mode))
    return entries


def libraries(program: Path) -> list[Path]:
    """What the dynamic linker loads for ``program``, itself included; nothing for a static one."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return [Path(match) for match in _LIBRARY.findall(done.stdout)]
