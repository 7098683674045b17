"""Which pod goes first: those that use more than they asked for, then by priority, then by how much more they use.

Pure. Source: the documentation's "Pod selection for kubelet eviction".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from steersman.kubelet.disk_usage import TreeUsage
from steersman.kubelet.eviction import thresholds as signals
from steersman.kubelet.eviction.signals import Filesystems, PodConsumption
from steersman.meta.objects import Object, uid
from steersman.meta.podtotals import pod_totals

Part = Literal["rootfs", "logs", "volumes"]


def parts_on(signal: str, filesystems: Filesystems) -> tuple[Part, ...]:
    """What of a pod is on the file system that ``signal`` is about."""
    of_node = signal in (signals.NODE_FS, signals.NODE_INODES)
    of_image = signal in (signals.IMAGE_FS, signals.IMAGE_INODES)
    if filesystems.image and not filesystems.container:
        return ("logs", "volumes") if of_node else ("rootfs",)
    if filesystems.image and of_image:
        return ()
    return ("rootfs", "logs", "volumes")


def ranked(
    pods: Sequence[Object], usage: Mapping[str, PodConsumption], signal: str, filesystems: Filesystems
) -> list[Object]:
    """``pods``, the first to evict first. One whose use is not known comes before all others."""
    resource = signals.RESOURCE_OF[signal]

    def key(pod: Object) -> tuple[Any, ...]:
        found = usage.get(uid(pod))
        priority = int(pod["spec"].get("priority") or 0)
        if found is None:
            return (0, 0, priority, 0)
        if resource == "pids":
            return (1, 0, priority, -found.processes)
        used, asked = _used(pod, found, signal, filesystems), _asked(pod, resource)
        # Inodes are requested by nobody: what counts as "more" is upstream's comparison with the bytes that are.
        baseline = pod_totals(pod["spec"], "requests").get("ephemeral-storage", 0) if resource == "inodes" else asked
        return (1, 0 if used > asked else 1, priority, baseline - used)

    return sorted(pods, key=key)


def _used(pod: Object, found: PodConsumption, signal: str, filesystems: Filesystems) -> int:
    resource = signals.RESOURCE_OF[signal]
    if resource == "memory":
        return found.memory_bytes or 0
    disk = disk_of(pod, found, parts_on(signal, filesystems))
    return disk.inodes if resource == "inodes" else disk.used_bytes


def _asked(pod: Object, resource: str) -> int:
    return pod_totals(pod["spec"], "requests").get(resource, 0)


def disk_of(pod: Object, found: PodConsumption, parts: Sequence[Part]) -> TreeUsage:
    """What of the pod's disk use is in ``parts``. Volumes are those on the node's disk, hostPath among them."""
    total = TreeUsage()
    for item in found.containers.values():
        if "rootfs" in parts and item.rootfs is not None:
            total += item.rootfs
        if "logs" in parts and item.logs is not None:
            total += item.logs
    if "volumes" in parts:
        for volume in pod["spec"].get("volumes") or ():
            if _is_local(volume) and volume["name"] in found.volumes:
                total += found.volumes[volume["name"]]
    return total


def _is_local(volume: Mapping[str, Any]) -> bool:
    if "emptyDir" in volume:
        return not (volume["emptyDir"] or {}).get("medium")
    return "hostPath" in volume or "configMap" in volume
