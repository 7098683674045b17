"""Recording events: what a component did or could not do, attached to the object it concerns.

Follows client-go's event correlator (package ``tools/record``): the same event again raises ``count`` of the first one;
more than ten events that differ only in their message within ten minutes become one "(combined from similar events)";
each object has a budget of 25 events, refilled by one in five minutes.

What is to be written is decided the moment that an event is recorded, so what waits are writes, one at most for each event: ten
occurrences while the server is slow are one write that says 10.
"""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from steersman.aio.backoff import ItemBackoff
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.aio.workqueue import WorkQueue
from steersman.client.api import STRATEGIC_MERGE_PATCH, Client
from steersman.client.transport import Unreachable
from steersman.meta import objects, times
from steersman.meta.errors import AlreadyExists, APIError, Conflict, NotFound
from steersman.meta.names import subdomain_errors
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, Resource

QUEUE_LIMIT = 1000
MEMORY_LIMIT = 4096
SIMILAR_LIMIT = 10
SIMILAR_WINDOW_S = 600.0
BURST = 25
REFILL_PER_S = 1.0 / 300.0
TRIES = 12
WRITERS = 4
REPORT_DROPS_EVERY_S = 60.0
log = logging.getLogger(__name__)

Key = tuple[str, ...]


class _Occurrence(Struct, frozen=True):
    regarding: Mapping[str, Any]
    type: str
    reason: str
    message: str
    time_s: float
    annotations: Mapping[str, str] | None = None

    @property
    def group_key(self) -> Key:
        """What events must share to be combined: containers of one pod (``fieldPath``) are told apart by count only."""
        return (*_identity(self.regarding), self.type, self.reason)

    @property
    def field_path(self) -> str:
        return str(self.regarding.get("fieldPath") or "")


class _Series(Struct, kw_only=True):
    """One Event object and how often it occurred."""

    latest: _Occurrence
    first_s: float
    count: int = 0
    name: str = ""
    """Empty: not written yet."""


class _Similar(Struct):
    messages: set[str]
    last_s: float


class _Budget(Struct):
    tokens: float
    last_s: float


class EventRecorder:
    """Takes events at once and writes them in the background while ``run`` runs, a few at a time.

    At most ``QUEUE_LIMIT`` writes wait. Where the API server cannot take them as fast as they come, further events are dropped,
    and the log says how many there were, once a minute at most.
    """

    def __init__(self, client: Client, *, component: str, clock: Clock, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._component = component
        self._source = {"component": component, "host": host} if host else {"component": component}
        self._instance = host
        self._queue: WorkQueue[Key] = WorkQueue(clock, ItemBackoff(base_s=1.0, cap_s=30.0))
        self._waiting: dict[Key, _Series] = {}
        self._series: OrderedDict[Key, _Series] = OrderedDict()
        self._similar: OrderedDict[Key, _Similar] = OrderedDict()
        self._budgets: OrderedDict[Key, _Budget] = OrderedDict()
        self._last_ns = 0
        self._dropped = 0
        self._told_drops_s = float("-inf")

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
        occurrence, key = self._aggregate(
            _Occurrence(reference, type, reason, message[:1024], self._clock.now(), annotations)
        )
        series = self._series.get(key) or _Series(latest=occurrence, first_s=occurrence.time_s)
        series.count += 1
        _remember(self._series, key, series)
        if not self._within_budget(occurrence):
            # It counts although it is not written: the next one that is written says how many there were.
            return
        if key not in self._waiting and len(self._waiting) >= QUEUE_LIMIT:
            self._drop()
            return
        series.latest = occurrence
        self._waiting[key] = series
        if not self._queue.failures(key):
            self._queue.add(key)

    @property
    def idle(self) -> bool:
        """Everything recorded has been written or given up."""
        return not self._waiting

    async def run(self) -> None:
        """Write events until cancelled."""
        async with TaskGroup("event-writers") as group:
            for number in range(WRITERS):
                group.spawn(self._work(), name=f"writer-{number}")
            await group.wait()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._record(key)
            finally:
                self._queue.done(key)

    def _drop(self) -> None:
        self._dropped += 1
        now_s = self._clock.monotonic()
        if now_s - self._told_drops_s >= REPORT_DROPS_EVERY_S:
            log.warning("%d events of %s dropped: %d are waiting", self._dropped, self._component, len(self._waiting))
            self._dropped, self._told_drops_s = 0, now_s

    async def _record(self, key: Key) -> None:
        series = self._waiting[key]
        occurrence = series.latest
        try:
            await self._write(series)
        except Unreachable:
            if self._queue.failures(key) + 1 < TRIES:
                self._queue.add_rate_limited(key)
                return
            log.warning("event %s of %s given up", occurrence.reason, occurrence.regarding.get("name"))
        except APIError as error:
            log.debug("event %s not written: %s", occurrence.reason, error.message)
        self._queue.forget(key)
        if series.latest is occurrence:
            del self._waiting[key]
        else:
            self._queue.add(key)

    def _aggregate(self, occurrence: _Occurrence) -> tuple[_Occurrence, Key]:
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

    async def _write(self, series: _Series) -> None:
        occurrence, namespace = series.latest, series.latest.regarding.get("namespace") or "default"
        if series.name:
            last = times.format_time(occurrence.time_s)
            patch = {"count": series.count, "lastTimestamp": last, "message": occurrence.message}
            try:
                await self._client.patch(
                    EVENTS, series.name, patch, namespace=namespace, patch_type=STRATEGIC_MERGE_PATCH
                )
                return
            except (NotFound, Conflict):
                series.name = ""
        for is_last in (False, False, True):
            self._last_ns = max(self._last_ns + 1, int(occurrence.time_s * 1e9))
            name = _event_name(str(occurrence.regarding.get("name")), self._last_ns)
            try:
                await self._client.create(EVENTS, self._event(series, name, namespace))
                break
            except AlreadyExists:  # another component told of that object at the same instant
                if is_last:
                    raise
        series.name = name

    def _event(self, series: _Series, name: str, namespace: str) -> Object:
        occurrence = series.latest
        return {
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
            "firstTimestamp": times.format_time(series.first_s),
            "lastTimestamp": times.format_time(occurrence.time_s),
            "count": series.count,
            "type": occurrence.type,
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }


def _event_name(name: str, now_ns: int) -> str:
    """What the object is called is not always fit for the name of an Event: too long, or with colons as roles have."""
    made = f"{name}.{now_ns:x}"
    return str(uuid.uuid5(uuid.NAMESPACE_OID, made)) if subdomain_errors(made) else made


def _identity(regarding: Mapping[str, Any]) -> Key:
    return tuple(str(regarding.get(field) or "") for field in ("kind", "namespace", "name", "uid", "apiVersion"))


def _remember(memory: OrderedDict[Key, Any], key: Key, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MEMORY_LIMIT:
        memory.popitem(last=False)
