"""Watches the node and evicts pods before the kernel kills at random: at most one pod at a time, and none while removing
dead containers and unused images is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet import podspec
from steersman.kubelet.eviction import messages
from steersman.kubelet.eviction.messages import EvictionMessage
from steersman.kubelet.eviction.ranking import ranked
from steersman.kubelet.eviction.signals import Filesystems, Observations, Observer, PodConsumption
from steersman.kubelet.eviction.state import EvictionState, met
from steersman.kubelet.eviction.thresholds import (
    CONTAINER_FS,
    CONTAINER_INODES,
    IMAGE_FS,
    IMAGE_INODES,
    NODE_FS,
    NODE_INODES,
    RESOURCE_OF,
    EvictionConfig,
    Threshold,
    with_container_filesystem,
)
from steersman.kubelet.runtimes.api import RuntimeServiceError
from steersman.kubelet.status import Verdict
from steersman.kubelet.taints import tolerates
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.podtotals import pod_totals
from steersman.meta.quantities import to_int

PERIOD_S: Final = 10.0
HARD_GRACE_S: Final = 1
"""Of a pod that is evicted because a hard threshold or a limit of its own is met."""
REASON: Final = "Evicted"
MEMORY_PRESSURE_TAINT: Final = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}
log = logging.getLogger(__name__)

Reclaim = Literal["containers", "images"]


class Reclaimer(Protocol):
    """Frees disk without touching what runs."""

    async def remove_dead_containers(self) -> None: ...

    async def remove_unused_images(self) -> None: ...


class Evictor(Protocol):
    """Ends pods."""

    def active_pods(self) -> Iterable[Object]:
        """Those that run or may yet run something."""

    async def evict(self, pod: Object, message: EvictionMessage, *, grace_s: float, disruption: bool) -> None:
        """Say so, stop it, and return when nothing of it is left or that takes too long."""


class Evicted(Struct, frozen=True, kw_only=True):
    """For metrics: which signal it was."""

    signal: str


def reclaims(signal: str, filesystems: Filesystems) -> tuple[Reclaim, ...]:
    """What frees something of ``signal``."""
    on_node, on_image = (NODE_FS, NODE_INODES), (IMAGE_FS, IMAGE_INODES)
    if signal not in (*on_node, *on_image, CONTAINER_FS, CONTAINER_INODES):
        return ()
    if filesystems.image and not filesystems.container:
        return () if signal in on_node else ("containers", "images")
    if filesystems.image:
        return ("images",) if signal in on_image else ("containers",)
    return ("containers", "images")


class EvictionManager:
    """One for a kubelet. ``conditions`` and ``admit`` are answered from the last look at the node."""

    def __init__(
        self,
        *,
        config: EvictionConfig,
        observer: Observer,
        reclaimer: Reclaimer,
        evictor: Evictor,
        clock: Clock,
        announce: Callable[[str, str], None],
        changed: Callable[[], None] = lambda: None,
        counted: Callable[[str], None] = lambda signal: None,
    ) -> None:
        """``announce`` warns about the node (reason, message); ``changed`` is called when its conditions differ;
        ``counted`` is told the signal of each eviction."""
        self._config = config
        self._observer = observer
        self._reclaimer = reclaimer
        self._evictor = evictor
        self._clock = clock
        self._announce = announce
        self._changed = changed
        self._counted = counted
        self._filesystems: Filesystems | None = None
        self._state = EvictionState(config.thresholds, config.pressure_transition_s)

    @property
    def conditions(self) -> frozenset[str]:
        """Types of the pressure conditions that the node has."""
        return self._state.conditions

    def admit(self, pod: Mapping[str, Any]) -> Verdict | None:
        """None when a pod may start: under memory pressure all but BestEffort ones, under any other only critical ones."""
        if not self.conditions or podspec.is_critical(pod):
            return None
        if self.conditions == {"MemoryPressure"}:
            tolerations = pod["spec"].get("tolerations") or ()
            if podspec.qos_class(pod) != "BestEffort" or tolerates(tolerations, MEMORY_PRESSURE_TAINT):
                return None
        shown = " ".join(sorted(self.conditions))
        return Verdict(reason=REASON, message=f"The node had condition: [{shown}]. ")

    async def run(self) -> None:
        """Look every ten seconds, and again at once after an eviction, until cancelled."""
        if not self._config.thresholds and not self._config.local_storage_isolation:
            return
        while True:
            evicted = 0
            try:
                evicted = await self.synchronize()
            except (RuntimeServiceError, OSError) as error:
                log.warning("cannot look for resources that are short: %s", error)
            if not evicted:
                await self._clock.sleep(PERIOD_S)

    async def synchronize(self) -> int:
        """Look once and do what has to be done; how many pods were evicted."""
        filesystems = await self._look_at_filesystems()
        observations = await self._observer.observe()
        before = self.conditions
        urgent = self._state.update(observations, self._clock.monotonic())
        if self.conditions != before:
            self._changed()
        pods = list(self._evictor.active_pods())
        usage: Mapping[str, PodConsumption] | None = None
        if self._config.local_storage_isolation and any(_has_disk_limit(pod) for pod in pods):
            usage = await self._observer.consumption()
            evicted = await self._evict_over_limit(pods, usage, filesystems)
            if evicted:
                return evicted
        if not urgent:
            return 0
        threshold = urgent[0]
        resource = RESOURCE_OF[threshold.signal]
        log.warning("the node is short of %s (%s)", resource, threshold.signal)
        self._announce("EvictionThresholdMet", f"Attempting to reclaim {resource}")
        if await self._reclaim(threshold.signal, filesystems):
            return 0
        if usage is None:
            usage = await self._observer.consumption()
        return await self._evict_one(threshold, urgent, pods, usage, observations, filesystems)

    async def _look_at_filesystems(self) -> Filesystems:
        if self._filesystems is None:
            found = await self._observer.filesystems()
            self._filesystems = found
            self._state.thresholds = with_container_filesystem(
                self._config.thresholds, image_fs=found.image, container_fs=found.container
            )
        return self._filesystems

    async def _reclaim(self, signal: str, filesystems: Filesystems) -> bool:
        """Free what nobody needs; True when that was enough for every threshold."""
        steps = reclaims(signal, filesystems)
        for step in steps:
            try:
                if step == "containers":
                    await self._reclaimer.remove_dead_containers()
                else:
                    await self._reclaimer.remove_unused_images()
            except Exception as error:
                log.warning("reclaiming %s: %s", step, error)
        if not steps:
            return False
        return not met(self._state.thresholds, await self._observer.observe(), reclaimed=True)

    async def _evict_one(
        self,
        threshold: Threshold,
        urgent: Sequence[Threshold],
        pods: Sequence[Object],
        usage: Mapping[str, PodConsumption],
        observations: Observations,
        filesystems: Filesystems,
    ) -> int:
        resource = RESOURCE_OF[threshold.signal]
        for pod in ranked(pods, usage, threshold.signal, filesystems):
            if podspec.is_critical(pod):
                log.warning("cannot evict %s: it is critical", podspec.full_name(pod))
                continue
            message = messages.pressure_message(resource, pod, usage.get(objects.uid(pod)), urgent, observations)
            await self._evictor.evict(pod, message, grace_s=self._grace_s(threshold, pod), disruption=True)
            self._counted(threshold.signal)
            return 1
        log.warning("no pod can be evicted")
        return 0

    def _grace_s(self, threshold: Threshold, pod: Object) -> float:
        if threshold.is_hard:
            return HARD_GRACE_S
        own = pod["spec"].get("terminationGracePeriodSeconds")
        longest = self._config.max_pod_grace_s
        return float(longest if own is None else min(longest, int(own)))

    async def _evict_over_limit(
        self, pods: Sequence[Object], usage: Mapping[str, PodConsumption], filesystems: Filesystems
    ) -> int:
        """Every pod that uses more of the node's disk than it may."""
        evicted = 0
        for pod in pods:
            found = usage.get(objects.uid(pod))
            violation = _violation(pod, found, filesystems) if found is not None else None
            if violation is None or podspec.is_critical(pod):
                continue
            signal, text = violation
            message = EvictionMessage(text=text, annotations={})
            await self._evictor.evict(pod, message, grace_s=HARD_GRACE_S, disruption=False)
            self._counted(signal)
            evicted += 1
        return evicted


def _has_disk_limit(pod: Object) -> bool:
    spec = pod["spec"]
    if any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in spec.get("volumes") or ()):
        return True
    holders = [spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return any("ephemeral-storage" in ((item.get("resources") or {}).get("limits") or {}) for item in holders)


def _violation(pod: Object, found: PodConsumption, filesystems: Filesystems) -> tuple[str, str] | None:
    """(signal for metrics, message) of the first limit of ephemeral storage that the pod is over."""
    for volume in pod["spec"].get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        used = found.volumes.get(volume["name"])
        if limit is not None and used is not None and 0 < to_int(limit) < used.used_bytes:
            return "emptydirfs.limit", messages.empty_dir_message(volume["name"], limit)
    pod_limit = pod_totals(pod["spec"], "limits").get("ephemeral-storage")
    if pod_limit is not None and found.ephemeral_bytes > pod_limit:
        return "ephemeralpodfs.limit", messages.pod_limit_message(pod_limit)
    for container in pod["spec"].get("containers") or ():
        limit = ((container.get("resources") or {}).get("limits") or {}).get("ephemeral-storage")
        disk = found.containers.get(container["name"])
        if limit is None or disk is None or to_int(limit) == 0:
            continue
        used_bytes = disk.logs.used_bytes if disk.logs is not None else 0
        if not filesystems.image and disk.rootfs is not None:
            used_bytes += disk.rootfs.used_bytes
        if used_bytes > to_int(limit):
            return "ephemeralcontainerfs.limit", messages.container_limit_message(container["name"], limit)
    return None
