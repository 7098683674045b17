"""Carries out a resize: sets the cgroups of a pod and of its running containers to what the pod was granted.

Memory goes before CPU. A pod's cgroup grows before its containers do and shrinks after them, so that at no moment a
container may use more than its pod. A limit that would fall below what is used is refused before anything is touched
(upstream's ``doPodResizeAction``); on any other failure what was done stays, and is reported, and the rest is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from msgspec.structs import replace

from steersman.kubelet import podspec
from steersman.kubelet.allocation import Actuated, Amounts, pod_amounts
from steersman.kubelet.cgroups import Cgroups
from steersman.kubelet.linux_resources import ResourcePolicy, container_resources, pod_resources
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.resizing import ContainerResize, Resize, ResourceName, applied, merged
from steersman.kubelet.runtimes.api import RuntimeService, RuntimeServiceError, Unimplemented
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.meta.objects import Object

P = ParamSpec("P")
T = TypeVar("T")
Report = Callable[[Actuated], None]
log = logging.getLogger(__name__)


class ResizeFailed(Exception):
    """The message is that of the PodResizeInProgress condition."""


class PodResizer:
    """One for all pods of a kubelet; keeps nothing about any of them."""

    def __init__(
        self,
        runtime: RuntimeService,
        cgroups: Cgroups,
        policy: Callable[[Object, PodContainer | None], ResourcePolicy],
        *,
        has_files: bool = True,
    ) -> None:
        """``policy``: for the cgroup of a pod's container or, for None, its own. ``has_files``: cgroups are files, and are
        read and written in threads."""
        self._runtime = runtime
        self._has_files = has_files
        self._cgroups = cgroups
        self._policy = policy

    async def resize(self, pod: Object, sandbox_id: str, resize: Resize, actuated: Actuated, report: Report) -> None:
        """``pod`` as it was granted. ``report`` is told after each step what is set now. Raises ``ResizeFailed``."""
        try:
            policy = self._policy(pod, None)
            wanted = pod_resources(pod, policy)
            current = await self._blocking(self._cgroups.current, pod, policy)
            await self._blocking(self._check_memory, pod, resize, current, wanted)
            progress = _Progress(current, actuated, report)
            await self._resize_memory(pod, sandbox_id, resize, progress, wanted)
            await self._resize_cpu(pod, sandbox_id, resize, progress, wanted)
        except (RuntimeServiceError, OSError) as error:
            raise ResizeFailed(str(error)) from error

    async def _blocking(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        return await asyncio.to_thread(work, *args, **named) if self._has_files else work(*args, **named)

    def _check_memory(self, pod: Object, resize: Resize, current: LinuxResources, wanted: LinuxResources) -> None:
        problems = []
        limit_bytes = wanted.memory_limit_bytes
        if _shrinks(current.memory_limit_bytes, limit_bytes):
            used_bytes = self._cgroups.memory_usage_bytes(pod)
            if used_bytes >= limit_bytes:
                problems.append(
                    f"attempting to set pod memory limit ({limit_bytes}) below current usage ({used_bytes})"
                )
        for change in resize.of("memory"):
            limit_bytes = change.desired.memory_limit_bytes
            if _shrinks(change.current.memory_limit_bytes, limit_bytes):
                used_bytes = self._cgroups.memory_usage_bytes(pod, change.container_id)
                if used_bytes >= limit_bytes:
                    problems.append(
                        f'attempting to set container "{change.name}" memory limit ({limit_bytes}) below current usage'
                        f" ({used_bytes})"
                    )
        if problems:
            text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
            raise ResizeFailed(f"cannot decrease memory limits: {text}")

    async def _resize_memory(
        self, pod: Object, sandbox_id: str, resize: Resize, progress: _Progress, wanted: LinuxResources
    ) -> None:
        before, limit_bytes = progress.cgroup.memory_limit_bytes, wanted.memory_limit_bytes
        change = LinuxResources(memory_limit_bytes=limit_bytes)
        if limit_bytes > before > 0:
            await self._set_pod(pod, sandbox_id, change, progress)
        await self._set_containers(pod, resize, "memory", progress)
        if _shrinks(before, limit_bytes):
            await self._set_pod(pod, sandbox_id, change, progress)
        progress.pod_done(pod, "memory")

    async def _resize_cpu(
        self, pod: Object, sandbox_id: str, resize: Resize, progress: _Progress, wanted: LinuxResources
    ) -> None:
        """Limits grow before requests and shrink after them."""
        quota, shares = progress.cgroup.cpu_quota, progress.cgroup.cpu_shares
        limit = LinuxResources(cpu_quota=wanted.cpu_quota, cpu_period=wanted.cpu_period)
        request = LinuxResources(cpu_shares=wanted.cpu_shares)
        if wanted.cpu_quota > quota > 0:
            await self._set_pod(pod, sandbox_id, limit, progress)
        if wanted.cpu_shares > shares:
            await self._set_pod(pod, sandbox_id, request, progress)
        await self._set_containers(pod, resize, "cpu", progress)
        if wanted.cpu_shares < shares:
            await self._set_pod(pod, sandbox_id, request, progress)
        if _shrinks(quota, wanted.cpu_quota):
            await self._set_pod(pod, sandbox_id, limit, progress)
        progress.pod_done(pod, "cpu")

    async def _set_pod(self, pod: Object, sandbox_id: str, change: LinuxResources, progress: _Progress) -> None:
        """The runtime is told first and may refuse; one that has no such call need not know."""
        total = _over(progress.cgroup, change)
        try:
            await self._runtime.update_pod_sandbox_resources(sandbox_id, resources=total)
        except Unimplemented:
            log.debug("the runtime does not want to know the resources of sandboxes")
        await self._blocking(self._cgroups.update, pod, change)
        progress.cgroup = total

    async def _set_containers(self, pod: Object, resize: Resize, resource: ResourceName, progress: _Progress) -> None:
        for change in resize.of(resource):
            container = podspec.find_container(pod, change.name)
            assert container is not None
            amounts = merged(progress.actuated.containers[change.name], change.desired, resource)
            resources = container_resources(pod, _with_amounts(container, amounts), self._policy(pod, container))
            await self._runtime.update_container_resources(change.container_id, resources)
            progress.container_done(change, resource)


class _Progress:
    """How far one resize has come."""

    def __init__(self, cgroup: LinuxResources, actuated: Actuated, report: Report) -> None:
        self.cgroup = cgroup
        self.actuated = actuated
        self._report = report

    def container_done(self, change: ContainerResize, resource: ResourceName) -> None:
        self._set(applied(self.actuated, change, resource))

    def pod_done(self, pod: Mapping[str, Any], resource: ResourceName) -> None:
        wanted = pod_amounts(pod)
        before = self.actuated.pod or wanted
        self._set(self.actuated.with_pod(merged(before, wanted, resource)))

    def _set(self, actuated: Actuated) -> None:
        if actuated != self.actuated:
            self.actuated = actuated
            self._report(actuated)


def _shrinks(current: int, wanted: int) -> bool:
    """A limit is set where there was none, or a lower one. 0 is no limit."""
    return wanted > 0 and (current == 0 or wanted < current)


def _over(before: LinuxResources, change: LinuxResources) -> LinuxResources:
    return replace(
        before,
        cpu_shares=change.cpu_shares or before.cpu_shares,
        cpu_quota=change.cpu_quota or before.cpu_quota,
        cpu_period=change.cpu_period or before.cpu_period,
        memory_limit_bytes=change.memory_limit_bytes or before.memory_limit_bytes,
    )


def _with_amounts(container: PodContainer, amounts: Amounts) -> PodContainer:
    """``container`` with these amounts of CPU and memory, and all else as it is."""
    own = container.spec.get("resources") or {}

    def part(name: str, cpu_milli: int, memory_bytes: int) -> Object:
        rest = {key: value for key, value in (own.get(name) or {}).items() if key not in ("cpu", "memory")}
        if cpu_milli:
            rest["cpu"] = f"{cpu_milli}m"
        if memory_bytes:
            rest["memory"] = str(memory_bytes)
        return rest

    resources = {
        **own,
        "requests": part("requests", amounts.cpu_request_milli, amounts.memory_request_bytes),
        "limits": part("limits", amounts.cpu_limit_milli, amounts.memory_limit_bytes),
    }
    return replace(container, spec={**container.spec, "resources": resources})
