"""Events that are too large lose their objects; batches that are too large are split."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from steersman.aio.tasks import TaskGroup
from steersman.apiserver.audit.api import AuditBackend
from steersman.apiserver.audit.event import AuditEvent
from steersman.apiserver.audit.metrics import AuditMetrics


class TruncateOptions(Struct, frozen=True, kw_only=True):
    """``--audit-*-truncate-*``."""

    enabled: bool = False
    max_batch_bytes: int = 10 * 1024 * 1024
    max_event_bytes: int = 100 * 1024


class Truncating:
    NAME = "truncate"

    def __init__(self, backend: AuditBackend, options: TruncateOptions, *, metrics: AuditMetrics) -> None:
        self._backend = backend
        self._options = options
        self._metrics = metrics

    async def process(self, events: Sequence[AuditEvent]) -> bool:
        batch: list[AuditEvent] = []
        size_bytes, is_fine = 0, True
        for event in events:
            if len(event.line) > self._options.max_event_bytes and event.fields["level"] != "Metadata":
                event = event.truncated()
            length = len(event.line)
            if length > self._options.max_event_bytes:
                self._metrics.failed(self.NAME, "event is too large even after truncating", [event])
                continue
            if batch and size_bytes + length > self._options.max_batch_bytes:
                is_fine = await self._backend.process(batch) and is_fine
                batch, size_bytes = [], 0
            batch.append(event)
            size_bytes += length
        if batch:
            is_fine = await self._backend.process(batch) and is_fine
        return is_fine

    def start(self, tasks: TaskGroup) -> None:
        self._backend.start(tasks)

    async def close(self) -> None:
        await self._backend.close()


def _conforms(backend: Truncating) -> AuditBackend:
    return backend
