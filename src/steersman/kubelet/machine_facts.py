"""What this machine is: processors, memory, disks, kernel, identities. Read from /proc and /etc."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

from msgspec import Struct


class MachineFacts(Struct, frozen=True, kw_only=True):
    """A node's hardware and system."""

    cpus: int
    memory_bytes: int
    disk_bytes: int
    hugepages: tuple[tuple[str, int], ...] = ()
    """(resource name, bytes)."""
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    kernel: str = ""
    os_image: str = ""
    swap_bytes: int = 0
    architecture: str = "amd64"


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def machine_facts(root: Path) -> MachineFacts:
    """Of the machine this runs on; disk space is that of ``root``'s file system."""
    memory = _meminfo()
    while not root.exists():
        root = root.parent
    disk = os.statvfs(root)
    machine = platform.machine()
    return MachineFacts(
        cpus=os.cpu_count() or 1,
        memory_bytes=memory.get("MemTotal", 0),
        disk_bytes=disk.f_blocks * disk.f_frsize,
        hugepages=tuple(_hugepages()),
        machine_id=_read("/etc/machine-id"),
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_image(),
        swap_bytes=memory.get("SwapTotal", 0),
        architecture=_ARCHITECTURES.get(machine, machine),
    )


def primary_address() -> str:
    """The address from which this machine reaches the outside, or loopback without a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _meminfo() -> dict[str, int]:
    values = {}
    for line in _read("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            values[name] = int(words[0]) * 1024
    return values


def _os_image() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"


def _hugepages() -> list[tuple[str, int]]:
    base = Path("/sys/kernel/mm/hugepages")
    found = []
    for folder in sorted(base.glob("hugepages-*kB")) if base.is_dir() else ():
        size_kib = int(folder.name.removeprefix("hugepages-").removesuffix("kB"))
        count = int(_read(str(folder / "nr_hugepages")) or 0)
        name = f"hugepages-{size_kib // 1024}Mi" if size_kib < 1024**2 else f"hugepages-{size_kib // 1024**2}Gi"
        found.append((name, count * size_kib * 1024))
    return found
