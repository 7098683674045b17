"""The cgroups of QoS classes and pods, on cgroup v1 and v2, with the cgroupfs driver.

``kubepods/pod<uid>`` for Guaranteed pods, ``kubepods/burstable/pod<uid>`` and ``kubepods/besteffort/pod<uid>`` for the
others; the runtime puts each container's cgroup below its pod's.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from steersman.kubelet.cgroup_hierarchies import Hierarchy as _Hierarchy
from steersman.kubelet.cgroup_hierarchies import find_hierarchies as _hierarchies
from steersman.kubelet.linux_resources import ResourcePolicy, pod_resources
from steersman.kubelet.podspec import qos_class
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.meta import objects

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

    def remove(self, uid: str) -> None:
        """Remove the pod's cgroup wherever it is; nothing happens when it is gone. Raises ``OSError``."""

    def pods(self) -> Iterable[str]:
        """Uids of pods that have a cgroup."""


class NoCgroups:
    """For a kubelet whose runtime has no containers."""

    def prepare(self) -> None:
        pass

    def create(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> str:
        return pod_cgroup(pod)

    def remove(self, uid: str) -> None:
        pass

    def pods(self) -> Iterable[str]:
        return ()


class CgroupFS:
    """Writes /sys/fs/cgroup."""

    def __init__(self, *, root: str = "/", mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
        self._root = root
        self._hierarchies = _hierarchies(mountinfo.read_text())

    @property
    def is_v2(self) -> bool:
        return any(item.unified for item in self._hierarchies)

    def prepare(self) -> None:
        for folder in ("", "burstable", "besteffort"):
            path = "/" + "/".join(part for part in (self._root.strip("/"), "kubepods", folder) if part)
            for hierarchy in self._hierarchies:
                self._make(hierarchy, path)

    def create(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> str:
        path = pod_cgroup(pod, self._root)
        resources = pod_resources(pod, policy)
        for hierarchy in self._hierarchies:
            folder = self._make(hierarchy, path)
            for file, value in _settings(hierarchy, resources):
                _write(folder / file, value)
            if policy.pod_pids and (hierarchy.unified or "pids" in hierarchy.controllers):
                _write(folder / "pids.max", str(policy.pod_pids))
        return path

    def remove(self, uid: str) -> None:
        for hierarchy in self._hierarchies:
            for folder in self._find(hierarchy, uid):
                _remove_tree(folder)

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

    def _find(self, hierarchy: _Hierarchy, uid: str) -> Iterator[Path]:
        for parent in self._parents(hierarchy):
            folder = parent / f"pod{uid}"
            if folder.is_dir():
                yield folder

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


def _settings(hierarchy: _Hierarchy, resources: LinuxResources) -> Iterator[tuple[str, str]]:
    if hierarchy.unified:
        shares = resources.cpu_shares
        if shares:
            yield "cpu.weight", str(1 + (shares - 2) * 9999 // 262142)
        quota = str(resources.cpu_quota) if resources.cpu_quota > 0 else "max"
        yield "cpu.max", f"{quota} {resources.cpu_period or 100_000}"
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
