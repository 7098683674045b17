"""How long it takes to set volumes up, by type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from steersman.aio.clock import Clock
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.volumes.plugin_names import plugin_name


class StorageTimes:
    def __init__(self, metrics: KubeletMetrics, *, clock: Clock) -> None:
        self._durations = metrics.storage_durations
        self._clock = clock

    @contextmanager
    def mounting(self, field: str) -> Iterator[None]:
        """Around the set-up of a volume, by the field of its source."""
        began_s, status = self._clock.monotonic(), "fail-unknown"
        try:
            yield
            status = "success"
        finally:
            labels = plugin_name(field), "volume_mount", status, "false"
            self._durations.labels(*labels).observe(self._clock.monotonic() - began_s)
