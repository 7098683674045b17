"""What the node itself uses, from the kernel's files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from steersman.kubelet.cgroup_usage import CgroupStats, node_pressure
from steersman.kubelet.runtimes.stats import InterfaceUsage

CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
_VIRTUAL: Final = ("veth", "cni", "docker", "lo", "virbr", "br-", "cali")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMemory:
    capacity_bytes: int
    available_bytes: int
    usage_bytes: int
    working_set_bytes: int
    rss_bytes: int
    swap_total_bytes: int = 0
    swap_free_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
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
        found = []
        for line in (self._proc / "net" / "dev").read_text().splitlines()[2:]:
            name, _, counters = line.partition(":")
            name = name.strip()
            if not name.startswith(_VIRTUAL):
                numbers = [int(text) for text in counters.split()]
                found.append(
                    InterfaceUsage(
                        name=name, rx_bytes=numbers[0], rx_errors=numbers[2], tx_bytes=numbers[8], tx_errors=numbers[10]
                    )
                )
        return found

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
