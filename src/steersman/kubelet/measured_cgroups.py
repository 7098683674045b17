"""Cgroups of pods, with how long it takes to make, set and remove them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from steersman.aio.clock import Clock
from steersman.kubelet.cgroups import Cgroups
from steersman.kubelet.linux_resources import ResourcePolicy
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.runtimes.sandboxes import LinuxResources


class MeasuredCgroups:
    """``inner``'s. Its methods are called in threads."""

    def __init__(self, inner: Cgroups, *, clock: Clock, metrics: KubeletMetrics) -> None:
        self._inner = inner
        self._clock = clock
        self._durations = metrics.cgroup_durations

    def prepare(self) -> None:
        self._inner.prepare()

    def create(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> str:
        with self._timed("create"):
            return self._inner.create(pod, policy)

    def path(self, pod: Mapping[str, Any]) -> str:
        return self._inner.path(pod)

    def current(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> LinuxResources:
        return self._inner.current(pod, policy)

    def update(self, pod: Mapping[str, Any], resources: LinuxResources) -> None:
        with self._timed("update"):
            self._inner.update(pod, resources)

    def memory_usage_bytes(self, pod: Mapping[str, Any], container_id: str = "") -> int:
        return self._inner.memory_usage_bytes(pod, container_id)

    def remove(self, uid: str) -> None:
        with self._timed("destroy"):
            self._inner.remove(uid)

    def pods(self) -> Iterable[str]:
        return self._inner.pods()

    @contextmanager
    def _timed(self, operation: str) -> Iterator[None]:
        began_s = self._clock.monotonic()
        try:
            yield
        finally:
            self._durations.labels(operation).observe(self._clock.monotonic() - began_s)


def _conforms(cgroups: MeasuredCgroups) -> Cgroups:
    return cgroups
