"""Recording events: what a component did or could not do, attached to the object it concerns.

Follows client-go's event correlator (package ``tools/record``): the same event again raises ``count`` of the first one;
more than ten events that differ only in their message within ten minutes become one "(combined from similar events)";
each object has a budget of 25 events, refilled by one in five minutes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from steersman.aio.backoff import Backoff
from steersman.aio.clock import Clock
from steersman.client.api import STRATEGIC_MERGE_PATCH, Client
from steersman.client.transport import Unreachable
from steersman.meta import objects, times
from steersman.meta.errors import APIError, Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, Resource

QUEUE_LIMIT = 1000
MEMORY_LIMIT = 4096
SIMILAR_LIMIT = 10
SIMILAR_WINDOW_S = 600.0
BURST = 25
REFILL_PER_S = 1.0 / 300.0
TRIES = 12
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    name: str
    count: int
    first_s: float


@dataclass(slots=True)
class _Similar:
    messages: set[str]
    last_s: float


@dataclass(slots=True)
class _Budget:
    tokens: float
    last_s: float


@dataclass(frozen=True, slots=True)
class _Occurrence:
    regarding: Mapping[str, Any]
    type: str
    reason: str
    message: str
    time_s: float
    annotations: Mapping[str, str] | None = None

    @property
    def group_key(self) -> tuple[str, ...]:
        """What events must share to be combined: containers of one pod (``fieldPath``) are told apart by count only."""
        return (*_identity(self.regarding), self.type, self.reason)

    @property
    def field_path(self) -> str:
        return str(self.regarding.get("fieldPath") or "")


class EventRecorder:
    """Queues events and writes them in the background while ``run`` runs.

    At most ``QUEUE_LIMIT`` events wait; the oldest is dropped, with a warning in the log, when the API server cannot take
    them as fast as they come.
    """

    def __init__(self, client: Client, *, component: str, clock: Clock, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._component = component
        self._source = {"component": component, "host": host} if host else {"component": component}
        self._instance = host
        self._queue: deque[_Occurrence] = deque()
        self._arrived = asyncio.Event()
        self._seen: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], _Similar] = OrderedDict()
        self._budgets: OrderedDict[tuple[str, ...], _Budget] = OrderedDict()
        self._last_ns = 0
        self._busy = False

    def event(
        self,
        obj: Mapping[str, Any],
        resource: Resource,
        *,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        field_path: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Record that ``reason`` happened to ``obj``. Returns at once; ``reason`` is one CamelCase word."""
        regarding: Object = {
            "kind": resource.kind,
            "namespace": objects.namespace(obj),
            "name": objects.name(obj),
            "uid": objects.uid(obj),
            "apiVersion": resource.api_version,
            "resourceVersion": objects.resource_version(obj),
            "fieldPath": field_path,
        }
        self.regarding({key: value for key, value in regarding.items() if value}, type, reason, message, annotations)

    def regarding(
        self,
        reference: Mapping[str, Any],
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """As ``event``, for an object of which only a reference is at hand."""
        if len(self._queue) >= QUEUE_LIMIT:
            dropped = self._queue.popleft()
            log.warning("dropped event %s of %s: too many are waiting", dropped.reason, dropped.regarding.get("name"))
        self._queue.append(_Occurrence(reference, type, reason, message[:1024], self._clock.now(), annotations))
        self._arrived.set()

    @property
    def idle(self) -> bool:
        """Everything recorded has been written or given up."""
        return not self._queue and not self._busy

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                self._busy = True
                try:
                    await self._record(self._queue.popleft())
                finally:
                    self._busy = False

    async def _record(self, occurrence: _Occurrence) -> None:
        occurrence, aggregate_key = self._aggregate(occurrence)
        if not self._within_budget(occurrence):
            if (seen := self._seen.get(aggregate_key)) is not None:
                # It counts although it is not written: the next one that is written says how many there were.
                seen.count += 1
            return
        backoff = Backoff(initial_s=1.0, cap_s=30.0)
        for _ in range(TRIES):
            try:
                await self._write(occurrence, aggregate_key)
                return
            except (NotFound, Conflict):
                self._seen.pop(aggregate_key, None)
            except APIError as error:
                log.debug("event %s not written: %s", occurrence.reason, error.message)
                return
            except Unreachable:
                await self._clock.sleep(backoff.next())
        log.warning("event %s of %s given up", occurrence.reason, occurrence.regarding.get("name"))

    def _aggregate(self, occurrence: _Occurrence) -> tuple[_Occurrence, tuple[str, ...]]:
        group = occurrence.group_key
        similar = self._similar.get(group)
        if similar is None or occurrence.time_s - similar.last_s > SIMILAR_WINDOW_S:
            similar = _Similar(set(), occurrence.time_s)
        similar.last_s = occurrence.time_s
        similar.messages.add(occurrence.message)
        _remember(self._similar, group, similar)
        if len(similar.messages) < SIMILAR_LIMIT:
            return occurrence, (*group, occurrence.field_path, occurrence.message)
        similar.messages.pop()
        combined = _Occurrence(
            occurrence.regarding,
            occurrence.type,
            occurrence.reason,
            f"(combined from similar events): {occurrence.message}",
            occurrence.time_s,
            occurrence.annotations,
        )
        return combined, (*group, occurrence.field_path)

    def _within_budget(self, occurrence: _Occurrence) -> bool:
        identity = _identity(occurrence.regarding)
        budget = self._budgets.get(identity) or _Budget(BURST, occurrence.time_s)
        budget.tokens = min(BURST, budget.tokens + (occurrence.time_s - budget.last_s) * REFILL_PER_S)
        budget.last_s = occurrence.time_s
        _remember(self._budgets, identity, budget)
        if budget.tokens < 1:
            return False
        budget.tokens -= 1
        return True

    async def _write(self, occurrence: _Occurrence, key: tuple[str, ...]) -> None:
        namespace = occurrence.regarding.get("namespace") or "default"
        seen = self._seen.get(key)
        last = times.format_time(occurrence.time_s)
        if seen is not None:
            patch = {"count": seen.count + 1, "lastTimestamp": last, "message": occurrence.message}
            await self._client.patch(EVENTS, seen.name, patch, namespace=namespace, patch_type=STRATEGIC_MERGE_PATCH)
            seen.count += 1
            return
        self._last_ns = max(self._last_ns + 1, int(occurrence.time_s * 1e9))
        name = f"{occurrence.regarding.get('name')}.{self._last_ns:x}"
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": name,
                "namespace": namespace,
                **({"annotations": dict(occurrence.annotations)} if occurrence.annotations else {}),
            },
            "involvedObject": dict(occurrence.regarding),
            "reason": occurrence.reason,
            "message": occurrence.message,
            "source": self._source,
            "firstTimestamp": last,
            "lastTimestamp": last,
            "count": 1,
            "type": occurrence.type,
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }
        await self._client.create(EVENTS, event)
        _remember(self._seen, key, _Seen(name, 1, occurrence.time_s))


def _identity(regarding: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(regarding.get(field) or "") for field in ("kind", "namespace", "name", "uid", "apiVersion"))


def _remember(memory: OrderedDict[tuple[str, ...], Any], key: tuple[str, ...], value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MEMORY_LIMIT:
        memory.popitem(last=False)
