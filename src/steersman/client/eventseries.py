"""Recording events through ``events.k8s.io/v1``, as kube-scheduler does: the same event again becomes a series.

Follows client-go's ``tools/events``: an event is the same when its type, action, reason, reporter and the objects that it is about
are. The second one makes it a series in the API; later ones are counted here and written when the series has been
quiet for ``FINISH_S``, or every ``REFRESH_S``. ``events.EventRecorder`` is the older form, which most components use.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import STRATEGIC_MERGE_PATCH, Client
from steersman.client.transport import Unreachable
from steersman.meta import objects, times
from steersman.meta.errors import AlreadyExists, APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NEW_EVENTS, Resource

QUEUE_LIMIT = 10_000
TRIES = 12
RETRY_S = 10.0
FINISH_S = 360.0
REFRESH_S = 1800.0
SWEEP_S = 60.0
log = logging.getLogger(__name__)

Key = tuple[Any, ...]


class _Known(Struct):
    """An event that was recorded, and how often since."""

    event: Object
    last_s: float
    """When it happened the last time, in seconds since the epoch."""
    written_s: float
    count: int = 1
    is_dirty: bool = False
    """The API does not know of the last ones."""


class SeriesRecorder:
    """Queues events and writes them in the background while ``run`` runs.

    At most ``QUEUE_LIMIT`` events wait, the oldest is dropped with a warning. One is written at a time, as by client-go's
    ``tools/record``: where thousands of pods are scheduled at once, what is said about them comes after what is done for them.
    """

    def __init__(self, client: Client, *, instance: str, clock: Clock) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._known: dict[Key, _Known] = {}
        self._queue: deque[Object] = deque()
        self._arrived = asyncio.Event()
        self._last_ns = 0
        self._is_writing = False

    @property
    def idle(self) -> bool:
        """Everything recorded has been written, counted or given up."""
        return not self._queue and not self._is_writing

    def event(
        self,
        obj: Mapping[str, Any],
        resource: Resource,
        *,
        controller: str,
        type: Literal["Normal", "Warning"],
        reason: str,
        action: str,
        message: str,
        related: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that ``reason`` happened to ``obj`` when ``controller`` did ``action``. ``related`` is another object of the same
        resource. Returns at once."""
        now_s = self._clock.now()
        regarding = _reference(obj, resource)
        other = None if related is None else _reference(related, resource)
        key = (type, action, reason, controller, tuple(regarding.values()), other and tuple(other.values()))
        known = self._known.get(key)
        if known is not None:
            self._count(known, now_s)
            return
        event = self._made(regarding, other, controller, type, reason, action, message, now_s)
        self._known[key] = _Known(event, now_s, now_s)
        self._enqueue(event)

    async def run(self) -> None:
        """Write events until cancelled."""
        async with TaskGroup("events") as group:
            group.spawn(self._write_for_ever(), name="writer")
            group.spawn(self._sweep_for_ever(), name="sweep")
            await group.wait()

    def _made(
        self,
        regarding: Object,
        related: Object | None,
        controller: str,
        type: str,
        reason: str,
        action: str,
        message: str,
        now_s: float,
    ) -> Object:
        self._last_ns = max(self._last_ns + 1, int(now_s * 1e9))
        event: Object = {
            "apiVersion": NEW_EVENTS.api_version,
            "kind": NEW_EVENTS.kind,
            "metadata": {
                "name": f"{regarding['name']}.{self._last_ns:x}",
                "namespace": regarding.get("namespace") or "default",
            },
            "eventTime": times.format_micro_time(now_s),
            "reportingController": controller,
            "reportingInstance": f"{controller}-{self._instance}",
            "action": action,
            "reason": reason,
            "regarding": regarding,
            "note": message,
            "type": type,
        }
        if related is not None:
            event["related"] = related
        return event

    def _count(self, known: _Known, now_s: float) -> None:
        known.count += 1
        known.last_s = now_s
        if known.count == 2:
            self._enqueue_series(known)
        else:
            known.is_dirty = True

    def _enqueue_series(self, known: _Known) -> None:
        known.is_dirty, known.written_s = False, self._clock.now()
        series = {"count": known.count, "lastObservedTime": times.format_micro_time(known.last_s)}
        self._enqueue({**known.event, "series": series})

    def _enqueue(self, event: Object) -> None:
        if len(self._queue) >= QUEUE_LIMIT:
            dropped = self._queue.popleft()
            log.warning("dropped event %s of %s: too many wait", dropped["reason"], dropped["regarding"]["name"])
        self._queue.append(event)
        self._arrived.set()

    async def _write_for_ever(self) -> None:
        while True:
            await self._arrived.wait()
            while self._queue:
                self._is_writing = True
                try:
                    await self._record(self._queue.popleft())
                finally:
                    self._is_writing = False
            self._arrived.clear()

    async def _record(self, event: Object) -> None:
        for _ in range(TRIES):
            try:
                await self._write(event)
                return
            except AlreadyExists:
                if "series" not in event:
                    return
            except APIError as error:
                log.warning("event %s of %s refused: %s", event["reason"], event["regarding"]["name"], error.message)
                return
            except Unreachable as error:
                log.debug("event not written: %s", error)
            await self._clock.sleep(RETRY_S)
        log.warning("event %s of %s given up", event["reason"], event["regarding"]["name"])

    async def _write(self, event: Object) -> None:
        if "series" in event:
            metadata = event["metadata"]
            try:
                await self._client.patch(
                    NEW_EVENTS,
                    metadata["name"],
                    {"series": event["series"]},
                    namespace=metadata["namespace"],
                    patch_type=STRATEGIC_MERGE_PATCH,
                )
                return
            except NotFound:
                log.debug("event %s is gone; it is made anew", metadata["name"])
        await self._client.submit(NEW_EVENTS, event)

    async def _sweep_for_ever(self) -> None:
        """Forget what is over, and write how often what goes on has happened."""
        while True:
            await self._clock.sleep(SWEEP_S)
            now_s = self._clock.now()
            for key, known in [*self._known.items()]:
                is_over = now_s - known.last_s > FINISH_S
                if known.is_dirty and (is_over or now_s - known.written_s > REFRESH_S):
                    self._enqueue_series(known)
                if is_over:
                    del self._known[key]


def _reference(obj: Mapping[str, Any], resource: Resource) -> Object:
    metadata = objects.metadata(obj)
    return {
        "kind": resource.kind,
        "namespace": metadata.get("namespace") or "",
        "name": metadata.get("name") or "",
        "uid": metadata.get("uid") or "",
        "apiVersion": resource.api_version,
        "resourceVersion": metadata.get("resourceVersion") or "",
    }
