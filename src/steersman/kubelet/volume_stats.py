"""How much pods' volumes hold, measured every ``volumeStatsAggPeriod`` in the background: walking a volume takes time.

A volume with a file system of its own is asked for its numbers; one that is a folder of the node is counted, and its
free space is the node's. hostPath volumes and images are not the pod's and are not measured.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet.disk_usage import tree_usage
from steersman.kubelet.node_usage import DiskUsage, disk_usage
from steersman.kubelet.volumes.api import MountedVolume
from steersman.meta import objects
from steersman.meta.objects import Object

COUNTED: Final = frozenset(("emptyDir", "configMap", "secret", "downwardAPI", "projected"))
CLAIMED: Final = frozenset(("persistentVolumeClaim", "ephemeral"))
FIRST_S: Final = 1.0
log = logging.getLogger(__name__)


class VolumeUsage(Struct, frozen=True, kw_only=True):
    """One volume at one moment."""

    name: str
    time_s: float
    disk: DiskUsage
    """Of what it is on; ``used_bytes`` and ``inodes_used`` are its own."""
    claim: str = ""
    """Name of the claim behind it."""
    is_ephemeral: bool = False
    """It lives on the node's disk and as long as the pod: its use counts against ephemeral storage."""


class VolumeStats:
    """Keeps the last measurement of each pod's volumes."""

    def __init__(
        self,
        *,
        clock: Clock,
        period_s: float,
        pods: Callable[[], Iterable[Object]],
        mounted: Callable[[str], Mapping[str, MountedVolume]],
    ) -> None:
        """``pods``: those that are on the node; ``mounted`` gives their volumes by pod uid."""
        self._clock = clock
        self._period_s = period_s
        self._pods = pods
        self._mounted = mounted
        self._usage: dict[str, tuple[VolumeUsage, ...]] = {}
        self._measured_s: dict[str, float] = {}

    def of(self, uid: str) -> tuple[VolumeUsage, ...]:
        """The pod's volumes as last measured; nothing before the first time."""
        return self._usage.get(uid, ())

    async def run(self) -> None:
        """Measure until cancelled: a new pod soon, the others by turns."""
        if self._period_s < 0:
            return
        while True:
            await self._clock.sleep(min(FIRST_S * 5, self._period_s))
            await self.measure_due()

    async def measure_due(self) -> None:
        """Every pod whose last measurement is too old; one that is gone is forgotten."""
        now_s = self._clock.monotonic()
        uids = set()
        for pod in list(self._pods()):
            uid = objects.uid(pod)
            uids.add(uid)
            if now_s - self._measured_s.get(uid, float("-inf")) >= self._period_s:
                volumes = self._mounted(uid)
                if volumes:
                    self._usage[uid] = await asyncio.to_thread(measure, pod, volumes, self._clock.now())
                    self._measured_s[uid] = now_s
        for uid in set(self._usage) - uids:
            del self._usage[uid]
            self._measured_s.pop(uid, None)


def measure(pod: Mapping[str, Any], volumes: Mapping[str, MountedVolume], time_s: float) -> tuple[VolumeUsage, ...]:
    """Blocks while it walks."""
    found = []
    for volume in pod["spec"].get("volumes") or ():
        mounted = volumes.get(volume["name"])
        kind = next((kind for kind in volume if kind in COUNTED or kind in CLAIMED), "")
        if mounted is None or not kind:
            continue
        try:
            found.append(_measure_one(pod, volume, kind, mounted.path, time_s))
        except OSError as error:
            log.info("volume %s of %s cannot be measured: %s", volume["name"], objects.key_of(pod), error)
    return tuple(found)


def _measure_one(
    pod: Mapping[str, Any], volume: Mapping[str, Any], kind: str, path: Path, time_s: float
) -> VolumeUsage:
    claim = ""
    if kind in CLAIMED:
        own = f"{objects.name(pod)}-{volume['name']}"
        claim = own if kind == "ephemeral" else str(volume[kind]["claimName"])
    disk = disk_usage(path)
    in_memory = kind == "emptyDir" and (volume[kind] or {}).get("medium", "") != ""
    if kind in COUNTED and not in_memory:
        tree = tree_usage(path)
        disk = DiskUsage(
            capacity_bytes=disk.capacity_bytes,
            available_bytes=disk.available_bytes,
            used_bytes=tree.used_bytes,
            inodes=disk.inodes,
            inodes_free=disk.inodes_free,
            inodes_used=tree.inodes,
        )
    return VolumeUsage(
        name=volume["name"],
        time_s=time_s,
        disk=disk,
        claim=claim,
        is_ephemeral=kind == "configMap" or (kind == "emptyDir" and not in_memory),
    )
