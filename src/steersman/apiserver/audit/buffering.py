"""``batch``: events wait in a bounded buffer and go out in batches. A full buffer loses the newest event, and says so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.audit.api import AuditBackend
from steersman.apiserver.audit.event import AuditEvent
from steersman.apiserver.audit.metrics import AuditMetrics


class BatchOptions(Struct, frozen=True, kw_only=True):
    """``--audit-*-batch-*``."""

    buffer_size: int = 10_000
    max_size: int = 400
    max_wait_s: float = 30.0
    throttle: bool = True
    throttle_qps: float = 10.0
    throttle_burst: int = 15
    in_parallel: bool = True
    """The next batch does not wait for the one before."""


class Buffered:
    """Hands events on to ``backend`` in the background."""

    NAME = "buffered"

    def __init__(self, backend: AuditBackend, options: BatchOptions, *, clock: Clock, metrics: AuditMetrics) -> None:
        self._backend = backend
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._waiting: deque[AuditEvent] = deque()
        self._changed = asyncio.Event()
        self._sending: set[asyncio.Task[bool]] = set()
        self._worker: asyncio.Task[None] | None = None
        self._closing = False
        self._tokens = float(options.throttle_burst)
        self._refilled_s = clock.monotonic()

    async def process(self, events: Sequence[AuditEvent]) -> bool:
        free = 0 if self._closing else self._options.buffer_size - len(self._waiting)
        self._waiting.extend(events[:free])
        self._changed.set()
        if len(events) > free:
            why = "audit backend shut down" if self._closing else "audit buffer queue blocked"
            self._metrics.failed(self.NAME, why, events[free:])
        return True

    def start(self, tasks: TaskGroup) -> None:
        self._backend.start(tasks)
        self._worker = tasks.spawn(self._work(), name="audit")

    async def close(self) -> None:
        self._closing = True
        self._changed.set()
        if self._worker is not None:
            await asyncio.wait({self._worker})
        if self._sending:
            await asyncio.wait(self._sending)
        await self._backend.close()

    async def _work(self) -> None:
        while True:
            batch = await self._collect()
            if batch:
                await self._send(batch)
            elif self._closing:
                return

    async def _collect(self) -> list[AuditEvent]:
        """A full batch, or what has come since the first event of it began to wait for too long."""
        while not self._waiting and not self._closing:
            self._changed.clear()
            await self._changed.wait()
        deadline_s = self._clock.monotonic() + self._options.max_wait_s
        while len(self._waiting) < self._options.max_size and not self._closing:
            remaining_s = deadline_s - self._clock.monotonic()
            if remaining_s <= 0:
                break
            self._changed.clear()
            try:
                await self._clock.wait_for(self._changed.wait(), remaining_s)
            except TimeoutError:
                break
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._options.max_size))]

    async def _send(self, batch: list[AuditEvent]) -> None:
        if self._options.throttle:
            await self._throttle()
        sending = asyncio.ensure_future(self._backend.process(batch))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        if not self._options.in_parallel:
            await asyncio.wait({sending})

    async def _throttle(self) -> None:
        """Wait for a token of the bucket."""
        now_s = self._clock.monotonic()
        filled = self._tokens + (now_s - self._refilled_s) * self._options.throttle_qps
        self._tokens = min(filled, float(self._options.throttle_burst)) - 1.0
        self._refilled_s = now_s
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / self._options.throttle_qps)


def _conforms(backend: Buffered) -> AuditBackend:
    return backend
