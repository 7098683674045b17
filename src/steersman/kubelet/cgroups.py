"""The cgroups of QoS classes and pods, on cgroup v1 and v2, with the cgroupfs driver.

``kubepods/pod<uid>`` for Guaranteed pods, ``kubepods/burstable/pod<uid>`` and ``kubepods/besteffort/pod<uid>`` for the
others; the runtime puts each container's cgroup below its pod's.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from steersman.kubelet import freezers
from steersman.kubelet.cgroup_hierarchies import Hierarchy as _Hierarchy
from steersman.kubelet.cgroup_hierarchies import find_hierarchies as _hierarchies
from steersman.kubelet.linux_resources import ResourcePolicy, cpu_weight, pod_resources
from steersman.kubelet.podspec import qos_class
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.meta import objects

UNLIMITED_BYTES = 1 << 62
"""cgroup v1 writes no limit as the largest number of pages."""
QOS_FOLDER = {"Guaranteed": "", "Burstable": "burstable", "BestEffort": "besteffort"}
log = logging.getLogger(__name__)


def pod_cgroup(pod: Mapping[str, Any], root: str = "/") -> str:
    """The pod's cgroup, an absolute path within each hierarchy."""
    parts = [root.strip("/"), "kubepods", QOS_FOLDER[qos_class(pod)], f"pod{objects.uid(pod)}"]
    return "/" + "/".join(part for part in parts if part)


class Cgroups(Protocol):
    """Makes and removes the cgroups of pods."""

    def prepare(self) -> None:
        """Make the folders of the QoS classes."""

    def create(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> str:
        """Make the pod's cgroup with its limits; its path, for the runtime."""

    def path(self, pod: Mapping[str, Any]) -> str:
        """The pod's cgroup, for the runtime."""

    def current(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> LinuxResources:
        """What the pod's cgroup is set to now. Raises ``OSError``."""

    def update(self, pod: Mapping[str, Any], resources: LinuxResources) -> None:
        """Set what ``resources`` names and leave the rest. Raises ``OSError``."""

    def memory_usage_bytes(self, pod: Mapping[str, Any], container_id: str = "") -> int:
        """Of the whole pod or of one container, caches included. Raises ``OSError``."""

    def remove(self, uid: str) -> None:
        """Kill what is left in the pod's cgroup and remove it; nothing happens when it is gone. Raises ``OSError`` while
        something in it still dies; repeat it then."""

    def pods(self) -> Iterable[str]:
        """Uids of pods that have a cgroup."""


class NoCgroups:
    """For a kubelet whose runtime has no containers."""

    def prepare(self) -> None:
        pass

    def create(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> str:
        return pod_cgroup(pod)

    def path(self, pod: Mapping[str, Any]) -> str:
        return pod_cgroup(pod)

    def current(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> LinuxResources:
        return pod_resources(pod, policy)

    def update(self, pod: Mapping[str, Any], resources: LinuxResources) -> None:
        pass

    def memory_usage_bytes(self, pod: Mapping[str, Any], container_id: str = "") -> int:
        return 0

    def remove(self, uid: str) -> None:
        pass

    def pods(self) -> Iterable[str]:
        return ()


class CgroupFS:
    """Writes /sys/fs/cgroup."""

    def __init__(self, *, root: str = "/", hierarchies: Sequence[_Hierarchy] | None = None) -> None:
        """``hierarchies``: None for those that are mounted here."""
        self._root = root
        self._hierarchies = (
            _hierarchies(Path("/proc/self/mountinfo").read_text()) if hierarchies is None else list(hierarchies)
        )

    @property
    def is_v2(self) -> bool:
        return any(item.unified for item in self._hierarchies)

    def prepare(self) -> None:
        for folder in ("", "burstable", "besteffort"):
            path = "/" + "/".join(part for part in (self._root.strip("/"), "kubepods", folder) if part)
            for hierarchy in self._hierarchies:
                made = self._make(hierarchy, path)
                if hierarchy.unified:
                    _delegate(made)

    def create(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> str:
        path = pod_cgroup(pod, self._root)
        resources = pod_resources(pod, policy)
        for hierarchy in self._hierarchies:
            folder = self._make_last(hierarchy, path)
            for file, value in (*_settings(hierarchy, resources), *_counts(hierarchy, resources, policy)):
                _write(folder / file, value)
        return path

    def path(self, pod: Mapping[str, Any]) -> str:
        return pod_cgroup(pod, self._root)

    def current(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> LinuxResources:
        cpu = _read_cpu(self._folder(pod, "cpu"), unified=self.is_v2)
        file = "memory.max" if self.is_v2 else "memory.limit_in_bytes"
        return replace(cpu, memory_limit_bytes=_read_limit(self._folder(pod, "memory") / file))

    def update(self, pod: Mapping[str, Any], resources: LinuxResources) -> None:
        for hierarchy in self._hierarchies:
            folder = hierarchy.mount / self.path(pod).strip("/")
            for file, value in _settings(hierarchy, resources, only_set=True):
                (folder / file).write_text(value)

    def memory_usage_bytes(self, pod: Mapping[str, Any], container_id: str = "") -> int:
        folder = self._folder(pod, "memory")
        file = "memory.current" if self.is_v2 else "memory.usage_in_bytes"
        return int((folder / container_id / file).read_text())

    def _folder(self, pod: Mapping[str, Any], controller: str) -> Path:
        """The pod's cgroup in the hierarchy of ``controller``. Raises ``FileNotFoundError`` where there is none."""
        for hierarchy in self._hierarchies:
            if hierarchy.unified or controller in hierarchy.controllers:
                return hierarchy.mount / self.path(pod).strip("/")
        raise FileNotFoundError(errno.ENOENT, f"no cgroup hierarchy has the controller {controller}")

    def remove(self, uid: str) -> None:
        for hierarchy in self._hierarchies:
            for parent in self._parents(hierarchy):
                _remove(parent / f"pod{uid}")

    def pods(self) -> Iterable[str]:
        found: set[str] = set()
        for hierarchy in self._hierarchies:
            for parent in self._parents(hierarchy):
                if parent.is_dir():
                    found.update(entry.name[3:] for entry in os.scandir(parent) if entry.name.startswith("pod"))
        return found

    def _parents(self, hierarchy: _Hierarchy) -> Iterator[Path]:
        base = hierarchy.mount / self._root.strip("/") / "kubepods"
        return (base / folder for folder in ("", "burstable", "besteffort"))

    def _make_last(self, hierarchy: _Hierarchy, path: str) -> Path:
        """The folder, where those above it are there already as a rule."""
        folder = hierarchy.mount / path.strip("/")
        try:
            folder.mkdir(exist_ok=True)
        except FileNotFoundError:
            return self._make(hierarchy, path)
        if "cpuset" in hierarchy.controllers and not hierarchy.unified:
            _inherit_cpuset(folder.parent, folder)
        return folder

    def _make(self, hierarchy: _Hierarchy, path: str) -> Path:
        """Each folder on the way too: v2 delegates controllers downwards, v1's cpuset starts empty."""
        folder = hierarchy.mount
        for part in path.strip("/").split("/"):
            if hierarchy.unified:
                _delegate(folder)
            parent, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            if "cpuset" in hierarchy.controllers and not hierarchy.unified:
                _inherit_cpuset(parent, folder)
        return folder


def _settings(hierarchy: _Hierarchy, resources: LinuxResources, *, only_set: bool = False) -> Iterator[tuple[str, str]]:
    """Files and what to write to them. Without ``only_set`` a limit that is not set is lifted."""
    if hierarchy.unified:
        if resources.cpu_shares:
            yield "cpu.weight", str(cpu_weight(resources.cpu_shares))
        if resources.cpu_quota or not only_set:
            quota = str(resources.cpu_quota) if resources.cpu_quota > 0 else "max"
            yield "cpu.max", f"{quota} {resources.cpu_period or 100_000}"
        if resources.memory_limit_bytes or not only_set:
            yield "memory.max", str(resources.memory_limit_bytes or "max")
        return
    if "cpu" in hierarchy.controllers:
        if resources.cpu_shares:
            yield "cpu.shares", str(resources.cpu_shares)
        if resources.cpu_quota:
            yield "cpu.cfs_period_us", str(resources.cpu_period)
            yield "cpu.cfs_quota_us", str(resources.cpu_quota)
    if "memory" in hierarchy.controllers and resources.memory_limit_bytes:
        yield "memory.limit_in_bytes", str(resources.memory_limit_bytes)


def _counts(hierarchy: _Hierarchy, resources: LinuxResources, policy: ResourcePolicy) -> Iterator[tuple[str, str]]:
    """What is limited by number: processes, huge pages."""
    if policy.pod_pids and (hierarchy.unified or "pids" in hierarchy.controllers):
        yield "pids.max", str(policy.pod_pids)
    if hierarchy.unified or "hugetlb" in hierarchy.controllers:
        file = "hugetlb.{}.max" if hierarchy.unified else "hugetlb.{}.limit_in_bytes"
        for limit in resources.hugepage_limits:
            yield file.format(limit.page_size), str(limit.limit_bytes)


def _shares(weight: int) -> int:
    """The smallest shares that give ``weight``."""
    return 2 + -((1 - weight) * 262142 // 9999)


def _read_cpu(folder: Path, *, unified: bool) -> LinuxResources:
    if unified:
        quota, period = (folder / "cpu.max").read_text().split()
        shares = _shares(int((folder / "cpu.weight").read_text()))
    else:
        quota, period = (folder / "cpu.cfs_quota_us").read_text(), (folder / "cpu.cfs_period_us").read_text()
        shares = int((folder / "cpu.shares").read_text())
    limited = quota.strip() not in ("max", "-1")
    return LinuxResources(
        cpu_shares=shares, cpu_quota=int(quota) if limited else 0, cpu_period=int(period) if limited else 0
    )


def _read_limit(file: Path) -> int:
    text = file.read_text().strip()
    return 0 if text == "max" or int(text) >= UNLIMITED_BYTES else int(text)


def _write(file: Path, value: str) -> None:
    """A controller that the kernel lacks is logged, not fatal: the container's own cgroup has the limit too."""
    try:
        file.write_text(value)
    except OSError as error:
        log.warning("cannot set %s to %s: %s", file, value, error)


def _delegate(folder: Path) -> None:
    available = (folder / "cgroup.controllers").read_text().split()
    enabled = set((folder / "cgroup.subtree_control").read_text().split())
    for controller in available:
        if controller not in enabled:
            _write(folder / "cgroup.subtree_control", f"+{controller}")


def _inherit_cpuset(parent: Path, folder: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        own = folder / name
        if own.exists() and not own.read_text().strip():
            _write(own, (parent / name).read_text().strip())


def _remove(folder: Path) -> None:
    """As a rule the runtime has left nothing below it. Raises ``OSError``."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        _kill_all(folder)
        _remove_tree(folder)


def _kill_all(folder: Path) -> None:
    """What a runtime that was killed itself has forgotten: sandboxes half made, commands half started. On v1 what is frozen
    does not die."""
    whole = folder / "cgroup.kill"
    if whole.exists() and any(_pids(folder)):
        _write(whole, "1")
        return
    for pid in _pids(folder):
        log.warning("killing process %d, left over in cgroup %s", pid, folder)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for cgroup in freezers.in_state(folder, freezers.FREEZING, freezers.FROZEN):
        freezers.thaw(cgroup)


def _pids(folder: Path) -> Iterator[int]:
    """Of processes in ``folder`` and below, those of other process namespaces left out."""
    for base, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            found = (int(line) for line in Path(base, "cgroup.procs").read_text().split())
            yield from (pid for pid in found if pid > 0)


def _remove_tree(folder: Path) -> None:
    """Depth first; rmdir is the only way. A cgroup with a process left in it raises ``OSError`` (EBUSY)."""
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            _remove_tree(Path(entry.path))
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _conforms() -> list[Cgroups]:
    return [NoCgroups(), CgroupFS()]
