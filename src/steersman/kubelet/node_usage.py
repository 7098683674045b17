"""What the node itself uses, from the kernel's files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from steersman.kubelet.cgroup_usage import CgroupStats, node_pressure
from steersman.kubelet.runtimes.stats import InterfaceUsage

CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
_VIRTUAL: Final = ("veth", "cni", "docker", "lo", "virbr", "br-", "cali")


class NodeMemory(Struct, frozen=True, kw_only=True):
    capacity_bytes: int
    available_bytes: int
    usage_bytes: int
    working_set_bytes: int
    rss_bytes: int
    swap_total_bytes: int = 0
    swap_free_bytes: int = 0


class DiskUsage(Struct, frozen=True, kw_only=True):
    capacity_bytes: int
    available_bytes: int
    used_bytes: int
    inodes: int
    inodes_free: int
    inodes_used: int


def disk_usage(path: Path) -> DiskUsage:
    """The file system that ``path`` is on. Raises ``OSError``."""
    usage = os.statvfs(path)
    return DiskUsage(
        capacity_bytes=usage.f_blocks * usage.f_frsize,
        available_bytes=usage.f_bavail * usage.f_frsize,
        used_bytes=(usage.f_blocks - usage.f_bfree) * usage.f_frsize,
        inodes=usage.f_files,
        inodes_free=usage.f_ffree,
        inodes_used=usage.f_files - usage.f_ffree,
    )


class NodeUsage:
    """Reads below ``proc``; a test gives a directory of its own."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def boot_time_s(self) -> float:
        return float(self._stat_line("btime")[0])

    def cpu_core_nano_seconds(self) -> int:
        """Time that all cores were busy since boot: neither idle nor waiting for I/O."""
        user, nice, system, _, _, irq, softirq, steal, *_ = (int(text) for text in self._stat_line("cpu"))
        return (user + nice + system + irq + softirq + steal) * (1_000_000_000 // CLOCK_TICKS)

    def cores(self) -> int:
        lines = (self._proc / "stat").read_text().splitlines()
        return sum(1 for line in lines if line.startswith("cpu") and line[3:4].isdigit())

    def memory(self) -> NodeMemory:
        """As upstream's, of the root cgroup: anonymous pages and those of files, without what the kernel needs itself; the
        working set leaves out inactive pages of files. meminfo has the same counters, which v2's root cgroup lacks a file for.
        """
        fields = {}
        for line in (self._proc / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            fields[name] = int(rest.split()[0]) * 1024
        capacity = fields["MemTotal"]
        usage = sum(fields.get(name, 0) for name in ("AnonPages", "Cached", "Buffers", "SwapCached"))
        working_set = max(0, usage - fields.get("Inactive(file)", 0))
        return NodeMemory(
            capacity_bytes=capacity,
            available_bytes=capacity - working_set,
            usage_bytes=usage,
            working_set_bytes=working_set,
            rss_bytes=fields.get("AnonPages", 0),
            swap_total_bytes=fields.get("SwapTotal", 0),
            swap_free_bytes=fields.get("SwapFree", 0),
        )

    def interfaces(self) -> list[InterfaceUsage]:
        """The node's own interfaces, without those that lead to pods."""
        return [item for item in _interfaces(self._proc / "net" / "dev") if not item.name.startswith(_VIRTUAL)]

    def interfaces_of(self, pid: int) -> list[InterfaceUsage]:
        """Those that a process sees but loopback; none where it is gone."""
        try:
            found = _interfaces(self._proc / str(pid) / "net" / "dev")
        except OSError:
            return []
        return [item for item in found if item.name != "lo"]

    def page_faults(self) -> tuple[int, int]:
        """All, and those that had to read from disk, since boot."""
        fields = dict(line.split() for line in (self._proc / "vmstat").read_text().splitlines())
        return int(fields.get("pgfault", 0)), int(fields.get("pgmajfault", 0))

    def pressure(self) -> CgroupStats:
        """Pressure stall information, where the kernel has it."""
        return node_pressure(self._proc)

    def processes(self) -> tuple[int, int]:
        """How many there are, and how many there may be."""
        running = int((self._proc / "loadavg").read_text().split()[3].partition("/")[2])
        limits = [
            int((self._proc / "sys/kernel" / name).read_text())
            for name in ("pid_max", "threads-max")
            if (self._proc / "sys/kernel" / name).exists()
        ]
        return running, min(limits)

    def disk(self, path: Path) -> DiskUsage:
        """The file system that ``path`` is on. Raises ``OSError``."""
        return disk_usage(path)

    def _stat_line(self, name: str) -> list[str]:
        for line in (self._proc / "stat").read_text().splitlines():
            fields = line.split()
            if fields and fields[0] == name:
                return fields[1:]
        raise LookupError(f"{self._proc / 'stat'} has no line {name}")


def _interfaces(file: Path) -> list[InterfaceUsage]:
    """``file``: a ``net/dev`` of the kernel's. Raises ``OSError``."""
    found = []
    for line in file.read_text().splitlines()[2:]:
        name, _, counters = line.partition(":")
        rx, tx = (numbers := [int(text) for text in counters.split()])[:8], numbers[8:]
        found.append(
            InterfaceUsage(
                name=name.strip(),
                rx_bytes=rx[0],
                rx_packets=rx[1],
                rx_errors=rx[2],
                rx_dropped=rx[3],
                tx_bytes=tx[0],
                tx_packets=tx[1],
                tx_errors=tx[2],
                tx_dropped=tx[3],
            )
        )
    return found
