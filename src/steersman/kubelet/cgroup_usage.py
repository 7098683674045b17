"""What the processes of a cgroup use, read from its files on cgroup v1 and v2.

Working set is usage without inactive file pages, as cAdvisor has it; pressure stall information exists on v2 only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from steersman.kubelet.cgroup_hierarchies import Hierarchy
from steersman.kubelet.disk_io import DiskIO, device_name, read_v1, read_v2

UNLIMITED_BYTES: Final = 1 << 62
"""cgroup v1 writes no limit as the largest number of pages."""
_NOWHERE: Final = Path("/nonexistent")

Averages = Mapping[str, float]
"""``total`` in microseconds, ``avg10``, ``avg60``, ``avg300`` in percent."""
Pressure = Mapping[str, Averages]
"""``some`` and ``full``."""


class CgroupStats(Struct, frozen=True, kw_only=True):
    """None: the kernel does not say."""

    cpu_ns: int | None = None
    cpu_periods: int | None = None
    """Periods of its CPU quota that have passed, those in which it ran out of it, and for how long it had to wait."""
    cpu_throttled_periods: int | None = None
    cpu_throttled_ns: int | None = None
    memory_usage_bytes: int | None = None
    working_set_bytes: int | None = None
    rss_bytes: int | None = None
    cache_bytes: int | None = None
    memory_limit_bytes: int | None = None
    """None: no limit."""
    page_faults: int | None = None
    major_page_faults: int | None = None
    swap_usage_bytes: int | None = None
    mapped_file_bytes: int | None = None
    most_memory_bytes: int | None = None
    """The most that it ever used."""
    oom_kills: int | None = None
    swap_limit_bytes: int | None = None
    processes: int | None = None
    """None too where they were not to be counted."""
    threads: int | None = None
    cpu_pressure: Pressure | None = None
    memory_pressure: Pressure | None = None
    io_pressure: Pressure | None = None

    @property
    def available_bytes(self) -> int | None:
        """Until the limit; None without one."""
        if self.memory_limit_bytes is None or self.working_set_bytes is None:
            return None
        return max(self.memory_limit_bytes - self.working_set_bytes, 0)


class CgroupUsage:
    """Reads below the hierarchies' mounts."""

    def __init__(self, hierarchies: Sequence[Hierarchy]) -> None:
        self._hierarchies = hierarchies

    @property
    def is_v2(self) -> bool:
        return any(item.unified for item in self._hierarchies)

    def read(self, path: str, *, processes: bool = False) -> CgroupStats | None:
        """Of the cgroup ``path``; None where there is none. ``processes``: count them, which takes a look at every cgroup
        below."""
        if self.is_v2:
            folder = self._folder("", path)
            if not folder.is_dir():
                return None
            found = _read_v2(folder)
            return replace(found, processes=_count_processes(folder)) if processes else found
        folders = {controller: self._folder(controller, path) for controller in self._controllers()}
        if not any(folder.is_dir() for folder in folders.values()):
            return None
        found = _read_v1(folders)
        pids = folders.get("pids")
        return replace(found, processes=_count_processes(pids)) if processes and pids is not None else found

    def disk_io(self, path: str) -> tuple[DiskIO, ...]:
        """Of the cgroup ``path``, by disk; nothing where that is not counted."""
        if self.is_v2:
            return read_v2(self._folder("", path), device_name)
        return read_v1(self._folder("blkio", path), device_name)

    def first_process(self, path: str) -> int | None:
        """Of those in the cgroup ``path`` itself."""
        for controller in ("",) if self.is_v2 else self._controllers():
            try:
                pids = (self._folder(controller, path) / "cgroup.procs").read_text().split()
            except OSError:
                continue
            if pids:
                return int(pids[0])
        return None

    def _controllers(self) -> list[str]:
        return [controller for item in self._hierarchies for controller in sorted(item.controllers)]

    def _folder(self, controller: str, path: str) -> Path:
        """On v2 there is one for all controllers."""
        for item in self._hierarchies:
            if item.unified or controller in item.controllers:
                return item.mount / path.strip("/")
        return _NOWHERE


def node_pressure(proc: Path = Path("/proc")) -> CgroupStats:
    """Pressure of the whole machine."""
    folder = proc / "pressure"
    return CgroupStats(
        cpu_pressure=_pressure(folder / "cpu"),
        memory_pressure=_pressure(folder / "memory"),
        io_pressure=_pressure(folder / "io"),
    )


def _read_v2(folder: Path) -> CgroupStats:
    memory = _numbers(folder / "memory.stat")
    usage = _number(folder / "memory.current")
    cpu = _numbers(folder / "cpu.stat")
    usage_us, throttled_us = cpu.get("usage_usec"), cpu.get("throttled_usec")
    return CgroupStats(
        cpu_ns=None if usage_us is None else usage_us * 1000,
        cpu_periods=cpu.get("nr_periods"),
        cpu_throttled_periods=cpu.get("nr_throttled"),
        cpu_throttled_ns=None if throttled_us is None else throttled_us * 1000,
        memory_usage_bytes=usage,
        working_set_bytes=_without(usage, memory.get("inactive_file")),
        rss_bytes=memory.get("anon"),
        cache_bytes=memory.get("file"),
        memory_limit_bytes=_number(folder / "memory.max"),
        page_faults=memory.get("pgfault"),
        major_page_faults=memory.get("pgmajfault"),
        mapped_file_bytes=memory.get("file_mapped"),
        most_memory_bytes=_number(folder / "memory.peak"),
        oom_kills=_numbers(folder / "memory.events").get("oom_kill"),
        swap_usage_bytes=_number(folder / "memory.swap.current"),
        swap_limit_bytes=_number(folder / "memory.swap.max"),
        threads=_number(folder / "pids.current"),
        cpu_pressure=_pressure(folder / "cpu.pressure"),
        memory_pressure=_pressure(folder / "memory.pressure"),
        io_pressure=_pressure(folder / "io.pressure"),
    )


def _read_v1(folders: Mapping[str, Path]) -> CgroupStats:
    memory_folder = folders.get("memory", _NOWHERE)
    memory = _numbers(memory_folder / "memory.stat")
    usage = _number(memory_folder / "memory.usage_in_bytes")
    both = _number(memory_folder / "memory.memsw.usage_in_bytes")
    cpu = _numbers(folders.get("cpu", _NOWHERE) / "cpu.stat")
    return CgroupStats(
        cpu_ns=_number(folders.get("cpuacct", _NOWHERE) / "cpuacct.usage"),
        cpu_periods=cpu.get("nr_periods"),
        cpu_throttled_periods=cpu.get("nr_throttled"),
        cpu_throttled_ns=cpu.get("throttled_time"),
        memory_usage_bytes=usage,
        working_set_bytes=_without(usage, memory.get("total_inactive_file")),
        rss_bytes=memory.get("total_rss"),
        cache_bytes=memory.get("total_cache"),
        memory_limit_bytes=_number(memory_folder / "memory.limit_in_bytes"),
        page_faults=memory.get("total_pgfault"),
        major_page_faults=memory.get("total_pgmajfault"),
        mapped_file_bytes=memory.get("total_mapped_file"),
        most_memory_bytes=_number(memory_folder / "memory.max_usage_in_bytes"),
        oom_kills=_numbers(memory_folder / "memory.oom_control").get("oom_kill"),
        swap_usage_bytes=_without(both, usage),
        threads=_number(folders.get("pids", _NOWHERE) / "pids.current"),
    )


def _count_processes(folder: Path) -> int | None:
    """Of ``folder`` and what is below it: the kernel's own counter is of threads."""
    found = None
    for base, _, files in os.walk(folder):
        if "cgroup.procs" in files:
            with contextlib.suppress(OSError):
                found = (found or 0) + Path(base, "cgroup.procs").read_bytes().count(b"\n")
    return found


def _without(whole: int | None, part: int | None) -> int | None:
    return None if whole is None else max(whole - (part or 0), 0)


def _number(file: Path) -> int | None:
    """None for no such file and for no limit."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    if not text.isdecimal() or int(text) >= UNLIMITED_BYTES:
        return None
    return int(text)


def _numbers(file: Path) -> dict[str, int]:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    return {words[0]: int(words[1]) for line in lines if len(words := line.split()) == 2 and words[1].isdecimal()}


def _pressure(file: Path) -> Pressure | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    found = {}
    for line in lines:
        kind, *fields = line.split()
        found[kind] = {
            name: int(value) if name == "total" else float(value)
            for name, _, value in (field.partition("=") for field in fields)
        }
    return found
