"""``emptyDir``: scratch space that lives as long as its pod, on disk, in memory or in huge pages."""

from __future__ import annotations

import asyncio
from pathlib import Path

from steersman.kubelet.linux_resources import HUGEPAGES
from steersman.kubelet.volumes.api import MountedVolume, VolumeContext, VolumeError, VolumePlugin
from steersman.kubelet.volumes.mounts import mount_hugetlbfs, mount_tmpfs
from steersman.kubelet.volumes.ownership import set_ownership
from steersman.meta.podtotals import pod_totals
from steersman.meta.quantities import to_int

NAME = "kubernetes.io/empty-dir"
HUGEPAGES_MEDIUM = "HugePages"


class EmptyDir:
    """A folder under the pod's, a tmpfs for ``medium: Memory``, a hugetlbfs for ``HugePages``."""

    field = "emptyDir"
    refreshes = False

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        return await asyncio.to_thread(self._set_up, context)

    def _set_up(self, context: VolumeContext) -> MountedVolume:
        spec = context.volume[self.field] or {}
        path = context.path(NAME)
        medium = spec.get("medium") or ""
        if medium == "Memory":
            mount_tmpfs(path, size_bytes=_memory_size(context), mode=0o777)
        elif medium.startswith(HUGEPAGES_MEDIUM):
            mount_hugetlbfs(path, page_bytes=_page_bytes(context, medium))
        elif medium:
            raise VolumeError(f'emptyDir medium "{medium}" is not supported by this kubelet')
        elif not path.exists():
            _make(path, context.fs_group)
        if medium and context.fs_group is not None:
            set_ownership(path, context.fs_group, on_root_mismatch=True)
        return MountedVolume(name=context.name, path=path)


def _make(path: Path, gid: int | None) -> None:
    """With its mode and group from the first moment that it has its name: what containers do to it later is theirs."""
    unfinished = path.with_name(f".{path.name}")
    unfinished.mkdir(parents=True, exist_ok=True)
    unfinished.chmod(0o777)
    if gid is not None:
        set_ownership(unfinished, gid)
    unfinished.rename(path)


def _page_bytes(context: VolumeContext, medium: str) -> int:
    """Of the pages that the medium names, or of the one size that the pod requests. Raises ``VolumeError``."""
    requests = pod_totals(context.pod["spec"], "requests")
    sizes = {to_int(name.removeprefix(HUGEPAGES)) for name, amount in requests.items() if name.startswith(HUGEPAGES)}
    if not sizes:
        raise VolumeError("hugePages storage requested, but there is no resource request for huge pages.")
    if medium == HUGEPAGES_MEDIUM:
        if len(sizes) > 1:
            raise VolumeError(f"medium {medium} can't be used if container requests multiple huge page sizes")
        return sizes.pop()
    wanted = to_int(medium.removeprefix(f"{HUGEPAGES_MEDIUM}-"))
    if wanted not in sizes:
        raise VolumeError(f'medium "{medium}" has no resource request for huge pages of its size')
    return wanted


def _memory_size(context: VolumeContext) -> int:
    """The smallest of the volume's own limit, the pod's memory limit and what the node has."""
    sizes = []
    own = (context.volume["emptyDir"] or {}).get("sizeLimit")
    if own is not None and to_int(own) > 0:
        sizes.append(to_int(own))
    limit = pod_totals(context.pod["spec"], "limits").get("memory", 0)
    if limit > 0:
        sizes.append(limit)
    if "memory" in context.allocatable:
        sizes.append(to_int(context.allocatable["memory"]))
    return min(sizes, default=0)


def _conforms() -> VolumePlugin:
    return EmptyDir()
