"""How many seats a request takes: lists by the memory they need, writes by the watches they wake.

The figures are upstream's defaults (apiserver/pkg/util/flowcontrol/request).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.apiserver.call import Call
from steersman.apiserver.flowcontrol.queueset import ONE_SEAT, WorkEstimate
from steersman.apiserver.flowcontrol.watchcounts import WatchCounts
from steersman.apiserver.requestinfo import RequestInfo, parse_bool

MOST_LIST_SEATS = 100
MOST_WRITE_SEATS = 10
BYTES_A_SEAT = 100_000
STREAMED_BYTES = 1_000_000
"""What a list from the cache needs at once, at most: it is sent piece by piece."""
WATCHES_A_SEAT = 10
EVENT_S = 0.005
"""How long a watch's part of a seat is taken by one event."""
_STATS_KEPT_S = 60.0
_SAMPLE = 64
_LARGEST_OBJECT_BYTES = 1_500_000
_WRITES = frozenset({"create", "update", "patch", "delete"})


class ObjectStats(Struct, frozen=True, kw_only=True):
    """How many objects of a resource there are, and how big they are on average."""

    count: int
    average_bytes: int


StatsReader = Callable[[RequestInfo], ObjectStats | None]
"""None where this server has no objects of that kind: it is unknown, or somebody else's."""


class WorkEstimator:
    """Estimates requests from their form alone, and from figures that are a minute old at most."""

    def __init__(self, stats: StatsReader, watches: WatchCounts, clock: Clock) -> None:
        self._stats = stats
        self._watches = watches
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, ObjectStats | None]] = {}

    def estimate(self, call: Call, most_seats: int) -> tuple[WorkEstimate, int | None]:
        """``most_seats`` is the level's limit for one request (0: none). Also the number of watches that a write wakes."""
        info = call.info
        verb = info.verb
        if verb in _WRITES:
            return self._write(info, most_seats)
        if verb == "list" or verb == "watch":
            return self._list(call, most_seats), None
        return ONE_SEAT, None

    def _write(self, info: RequestInfo, most_seats: int) -> tuple[WorkEstimate, int | None]:
        if info.subresource == "token" and info.resource == "serviceaccounts":
            return ONE_SEAT, None
        watches = self._watches.interested_in(info) if info.is_resource else 0
        if watches < WATCHES_A_SEAT:
            return ONE_SEAT, watches
        wide = math.ceil(watches / WATCHES_A_SEAT)
        seats = min(wide, most_seats or MOST_WRITE_SEATS, MOST_WRITE_SEATS)
        return WorkEstimate(final_seats=seats, additional_latency_s=wide * EVENT_S / seats), watches

    def _list(self, call: Call, most_seats: int) -> WorkEstimate:
        most = min(most_seats or MOST_LIST_SEATS, MOST_LIST_SEATS)
        info, query = call.info, call.request.query
        try:
            limit = int(call.query("limit") or 0)
        except ValueError:
            return WorkEstimate(initial_seats=most)
        version = call.query("resourceVersion")
        is_watch = info.verb == "watch"
        if is_watch and not parse_bool(call.query("sendInitialEvents")) and version not in ("", "0"):
            return ONE_SEAT
        stats = self._current(info)
        if stats is None:
            return ONE_SEAT
        loaded = min(limit, stats.count) if limit > 0 else stats.count
        from_cache = is_watch or _is_from_cache(call, limit, version)
        if info.name:
            loaded = 1
        elif not from_cache and ("fieldSelector" in query or "labelSelector" in query):
            loaded = max(loaded, stats.count // 2)
        size_bytes = loaded * stats.average_bytes
        if from_cache:
            size_bytes = min(size_bytes, STREAMED_BYTES)
        seats = min(max(math.ceil(size_bytes / BYTES_A_SEAT), 1), most)
        return ONE_SEAT if seats == 1 else WorkEstimate(initial_seats=seats)

    def _current(self, info: RequestInfo) -> ObjectStats | None:
        key = (info.group, info.resource)
        now_s = self._clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now_s - kept[0] < _STATS_KEPT_S:
            return kept[1]
        found = self._stats(info)
        if found is not None and found.count and not found.average_bytes:
            found = ObjectStats(count=found.count, average_bytes=_LARGEST_OBJECT_BYTES)
        if found is not None or kept is not None:
            self._kept[key] = (now_s, found)
        return found


def _is_from_cache(call: Call, limit: int, version: str) -> bool:
    """Upstream reads continued and exact lists from etcd."""
    match call.query("resourceVersionMatch"):
        case "NotOlderThan":
            return True
        case "":
            return not call.query("continue") and not (limit > 0 and version not in ("", "0"))
        case _:
            return False
