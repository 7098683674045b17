"""Container garbage collection: dead containers, dead sandboxes and logs that nobody needs any more.

A plan is pure: from everything the runtime lists to what goes. Source: the documentation's "Garbage Collection" and
upstream's ``kuberuntime_gc``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet import records
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.runtimes.api import RuntimeService, RuntimeServiceError
from steersman.kubelet.runtimes.containers import Container
from steersman.kubelet.runtimes.sandboxes import PodSandbox
from steersman.kubelet.volumes.trees import remove_tree

PERIOD_S: Final = 60.0
UNKNOWN_GRACE_S: Final = 2.0
log = logging.getLogger(__name__)

Fate = Literal["kept", "ended", "gone"]
"""Of a pod: it may run containers, all of them have ended for good, or nobody has heard of it."""


class ContainerGCPolicy(Struct, frozen=True, kw_only=True):
    """``--minimum-container-ttl-duration`` and its siblings."""

    min_age_s: float = 0.0
    max_per_container: int = 1
    """Dead ones of each name in a pod; negative: any number."""
    max_total: int = -1


class ContainerGCPlan(Struct, frozen=True, kw_only=True):
    containers: tuple[Container, ...]
    """Oldest first."""
    sandboxes: tuple[PodSandbox, ...]


def plan(
    containers: Sequence[Container],
    sandboxes: Sequence[PodSandbox],
    *,
    fate: Callable[[str], Fate],
    policy: ContainerGCPolicy,
    now_s: float,
    aggressive: bool = False,
) -> ContainerGCPlan:
    """``fate`` of a pod by its uid. ``aggressive``: also what ended pods have left, logs excepted."""

    def is_over(uid: str) -> bool:
        return fate(uid) == "gone" or (aggressive and fate(uid) == "ended")

    groups: dict[tuple[str, str], list[Container]] = defaultdict(list)
    newest = _newest(containers)
    for container in containers:
        if container.state == "CREATED" and container.id in newest and not is_over(_uid(container)):
            continue  # about to be started
        if container.state != "RUNNING" and container.created_at_ns / 1e9 <= now_s - policy.min_age_s:
            groups[(_uid(container), container.metadata.name)].append(container)
    doomed: list[Container] = []
    for key in list(groups):
        groups[key].sort(key=lambda item: item.created_at_ns, reverse=True)
        if is_over(key[0]):
            doomed += groups.pop(key)
        elif policy.max_per_container >= 0:
            doomed += _cut(groups[key], policy.max_per_container)
    doomed += _over_total(groups, policy.max_total)
    doomed.sort(key=lambda item: item.created_at_ns)
    left = {item.id for item in doomed}
    occupied = {item.sandbox_id for item in containers if item.id not in left}
    return ContainerGCPlan(containers=tuple(doomed), sandboxes=tuple(_dead_sandboxes(sandboxes, occupied, is_over)))


def _newest(containers: Sequence[Container]) -> set[str]:
    """Ids of the newest container of each name in each pod."""
    found: dict[tuple[str, str], Container] = {}
    for container in containers:
        key = (_uid(container), container.metadata.name)
        if key not in found or container.created_at_ns > found[key].created_at_ns:
            found[key] = container
    return {container.id for container in found.values()}


def _cut(group: list[Container], keep: int) -> list[Container]:
    excess = group[keep:]
    del group[keep:]
    return excess


def _over_total(groups: Mapping[tuple[str, str], list[Container]], limit: int) -> list[Container]:
    """Equally many stay of each name, at least one; then the oldest of all go."""
    total = sum(len(group) for group in groups.values())
    if limit < 0 or total <= limit:
        return []
    doomed: list[Container] = []
    for group in groups.values():
        doomed += _cut(group, max(limit // len(groups), 1))
    rest = sorted((item for group in groups.values() for item in group), key=lambda item: item.created_at_ns)
    return doomed + rest[: max(0, len(rest) - limit)]


def _dead_sandboxes(
    sandboxes: Sequence[PodSandbox], occupied: Collection[str], is_over: Callable[[str], bool]
) -> Iterable[PodSandbox]:
    """Neither ready nor holding a container; of a pod that still exists the newest stays."""
    by_pod: dict[str, list[PodSandbox]] = defaultdict(list)
    for box in sandboxes:
        by_pod[box.labels.get(records.POD_UID) or box.metadata.uid].append(box)
    for uid, boxes in by_pod.items():
        boxes.sort(key=lambda box: box.created_at_ns, reverse=True)
        for box in reversed(boxes if is_over(uid) else boxes[1:]):
            if box.state != "READY" and box.id not in occupied:
                yield box


def _uid(container: Container) -> str:
    return container.labels.get(records.POD_UID, "")


class ContainerGC:
    """Carries the plan out, every minute or when the node is short of disk."""

    def __init__(
        self,
        runtime: RuntimeService,
        *,
        clock: Clock,
        paths: PodPaths | None,
        fate: Callable[[str], Fate],
        sources_ready: Callable[[], bool],
        policy: ContainerGCPolicy,
        announce: Callable[[str, str], None],
    ) -> None:
        """``sources_ready``: every source of pods has been read, so that a pod that no one knows is really gone."""
        self._runtime = runtime
        self._clock = clock
        self._paths = paths
        self._fate = fate
        self._sources_ready = sources_ready
        self._policy = policy
        self._announce = announce

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(PERIOD_S)
            try:
                await self.collect()
            except (RuntimeServiceError, OSError) as error:
                log.warning("container garbage collection failed: %s", error)
                self._announce("ContainerGCFailed", str(error))

    async def collect(self, *, aggressive: bool = False) -> None:
        """What cannot be removed now is logged and tried again the next time."""
        todo = plan(
            await self._runtime.list_containers(),
            await self._runtime.list_pod_sandboxes(),
            fate=self._known_fate,
            policy=self._policy,
            now_s=self._clock.now(),
            aggressive=aggressive,
        )
        for container in todo.containers:
            await self._remove_container(container)
        for box in todo.sandboxes:
            try:
                await self._runtime.stop_pod_sandbox(box.id)
                await self._runtime.remove_pod_sandbox(box.id)
            except RuntimeServiceError as error:
                log.warning("cannot remove sandbox %s: %s", box.id, error)
        if self._paths is not None and self._sources_ready():
            await asyncio.to_thread(self._remove_logs, self._paths)

    async def remove_unused(self) -> None:
        """Also what pods that have ended left behind."""
        await self.collect(aggressive=True)

    def _known_fate(self, uid: str) -> Fate:
        return self._fate(uid) if self._sources_ready() else "kept"

    async def _remove_container(self, container: Container) -> None:
        try:
            if container.state == "UNKNOWN":
                await self._runtime.stop_container(container.id, timeout_s=UNKNOWN_GRACE_S)
            log_path = ""
            if self._paths is not None:
                log_path = (await self._runtime.container_status(container.id)).log_path
            await self._runtime.remove_container(container.id)
        except RuntimeServiceError as error:
            log.warning("cannot remove dead container %s: %s", container.id, error)
            return
        if log_path:
            await asyncio.to_thread(self._remove_log, container, log_path)

    def _remove_log(self, container: Container, log_path: str) -> None:
        assert self._paths is not None
        folder, _, name = log_path.rpartition("/")
        for path in self._paths.logs.__class__(folder).glob(f"{name}*"):
            path.unlink(missing_ok=True)
        for link in self._paths.container_logs.glob(f"*-{container.id}.log"):
            link.unlink(missing_ok=True)

    def _remove_logs(self, paths: PodPaths) -> None:
        """Log folders of pods that are gone, and links that lead nowhere."""
        if paths.logs.is_dir():
            for folder in paths.logs.iterdir():
                uid = folder.name.rpartition("_")[2]
                if folder.is_dir() and self._fate(uid) == "gone":
                    remove_tree(folder)
        if paths.container_logs.is_dir():
            for link in paths.container_logs.glob("*.log"):
                if link.is_symlink() and not link.exists() and not link.readlink().parent.exists():
                    link.unlink(missing_ok=True)
