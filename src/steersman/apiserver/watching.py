"""One watch: which changes its client sees, as which frames, until when.

A frame is built once per change and representation and shared by all watches (``ObjectEvent.frames``). Deadlines and
bookmarks of all watches are looked after by one ``WatchTimer``, so that an idle watch costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from steersman.aio.broadcast import Overrun
from steersman.aio.clock import Clock
from steersman.apiserver import protobuf
from steersman.apiserver.metrics.watches import WatchMeter
from steersman.apiserver.negotiation import JSON, PROTOBUF, Representation
from steersman.apiserver.options import ListOptions
from steersman.apiserver.served import Changes, Served
from steersman.meta.errors import APIError, Expired, InternalError
from steersman.meta.objects import Object
from steersman.meta.wire import PushedWatch, WatchFrame
from steersman.store.api import CompactedError, StoreUnavailable
from steersman.store.events import ObjectEvent
from steersman.store.stored import Stored

TICK_S = 1.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_encoder = msgspec.json.Encoder()


class FrameMaker(Protocol):
    """How a watch represents objects."""

    def added(self, stored: Stored, *, first: bool) -> WatchFrame:
        """An object that existed when the watch began."""

    def changed(self, kind: str, event: ObjectEvent, *, first: bool) -> WatchFrame:
        """A change, as ADDED, MODIFIED or DELETED; ``first`` of its watch."""

    def bookmark(self, revision: int, *, initial_events_end: bool) -> WatchFrame: ...

    def failed(self, error: APIError) -> WatchFrame:
        """Why the watch ends."""


class PlainFrames:
    """Objects as they are. ``decoded``: the reader is in this process and wants them as values too."""

    def __init__(self, served: Served, form: Representation, *, decoded: bool) -> None:
        self._served = served
        self._media_type = form.media_type
        self._decoded = decoded
        version = served.resource.api_version if served.converts else ""
        self._key = (form.media_type, version, decoded)
        resource = served.resource
        self._head = {"kind": resource.kind, "apiVersion": resource.api_version}

    def added(self, stored: Stored, *, first: bool) -> WatchFrame:
        return self._frame("ADDED", stored)

    def changed(self, kind: str, event: ObjectEvent, *, first: bool) -> WatchFrame:
        key = (kind, self._key)
        frame: WatchFrame | None = event.frames.get(key)
        if frame is None:
            stored = event.stored
            if kind == "DELETED" and event.type != "DELETED" and event.previous is not None:
                stored = event.previous.deleted(event.revision)
            frame = event.frames[key] = self._frame(kind, stored)
        return frame

    def bookmark(self, revision: int, *, initial_events_end: bool) -> WatchFrame:
        obj = {**self._head, "metadata": bookmark_metadata(revision, initial_events_end)}
        return frame_of("BOOKMARK", obj, self._media_type)

    def failed(self, error: APIError) -> WatchFrame:
        return frame_of("ERROR", error.status(), self._media_type)

    def _frame(self, kind: str, stored: Stored) -> WatchFrame:
        if self._media_type == PROTOBUF:
            data = protobuf.watch_frame(kind, protobuf.entity(self._served, stored))
            return WatchFrame(type=kind, object=self._served.obj(stored) if self._decoded else _NOTHING, data=data)
        sent = self._served.entity(stored) if self._served.converts else stored
        data = b'{"type":"%b","object":%b}\n' % (kind.encode(), sent.json)
        return WatchFrame(type=kind, object=sent.obj if self._decoded else _NOTHING, data=data)


class ShapedFrames:
    """Objects as another kind: Table or PartialObjectMetadata. ``shape(obj, first)`` makes it; ``is_shared``: the same for
    every watch."""

    def __init__(self, served: Served, form: Representation, shape: Shape, *, is_shared: bool = False) -> None:
        self._served = served
        self._form = form
        self._shape = shape
        self._is_shared = is_shared

    def added(self, stored: Stored, *, first: bool) -> WatchFrame:
        return self._frame("ADDED", stored, first)

    def changed(self, kind: str, event: ObjectEvent, *, first: bool) -> WatchFrame:
        key = (kind, self._form)
        frame: WatchFrame | None = event.frames.get(key)
        if frame is not None:
            return frame
        stored = event.stored
        if kind == "DELETED" and event.type != "DELETED" and event.previous is not None:
            stored = event.previous.deleted(event.revision)
        frame = self._frame(kind, stored, first)
        if self._is_shared:
            event.frames[key] = frame
        return frame

    def failed(self, error: APIError) -> WatchFrame:
        return frame_of("ERROR", error.status(), self._form.media_type)

    def _frame(self, kind: str, stored: Stored, first: bool) -> WatchFrame:
        return frame_of(kind, self._shape(self._served.obj(stored), first), self._form.media_type)

    def bookmark(self, revision: int, *, initial_events_end: bool) -> WatchFrame:
        resource = self._served.resource
        obj = {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": bookmark_metadata(revision, initial_events_end),
        }
        return frame_of("BOOKMARK", self._shape(obj, False), self._form.media_type)


class Shape(Protocol):
    def __call__(self, obj: Object, first: bool) -> Object: ...


_NOTHING: Mapping[str, Any] = {}


def frame_of(kind: str, obj: Mapping[str, Any], media_type: str = JSON) -> WatchFrame:
    if media_type == PROTOBUF:
        data = protobuf.watch_frame(kind, protobuf.value(obj))
    else:
        data = b'{"type":"%b","object":%b}\n' % (kind.encode(), _encoder.encode(obj))
    return WatchFrame(type=kind, object=obj, data=data)


def bookmark_metadata(revision: int, initial_events_end: bool) -> Object:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_events_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return metadata


class WatchTimer:
    """Wakes watches for their bookmarks and ends them at their deadlines."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watches: set[Watch] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._watches)

    def add(self, watch: Watch) -> None:
        self._watches.add(watch)
        if self._closed:
            watch.end()

    def discard(self, watch: Watch) -> None:
        self._watches.discard(watch)

    async def run(self) -> None:
        while True:
            await self._clock.sleep(TICK_S)
            now_s = self._clock.monotonic()
            for watch in tuple(self._watches):
                watch.tick(now_s)

    def end_of(self, served: Collection[Served]) -> None:
        """End the watches of kinds that are no longer served so; their clients come again."""
        for watch in tuple(self._watches):
            if watch.served in served:
                watch.end()

    def close(self) -> None:
        """End every watch cleanly, and those that are still to come as soon as they have said what there is."""
        self._closed = True
        for watch in tuple(self._watches):
            watch.end()


class Watch:
    """The batches of frames that one client gets. Iterate it; ``aclose`` when the client has gone.

    Bounded by its subscription's buffer: a client that falls behind has its watch ended and resumes from what it has.
    """

    def __init__(
        self,
        *,
        served: Served,
        options: ListOptions,
        subscription: Changes,
        initial: Sequence[Stored],
        frames: FrameMaker,
        timer: WatchTimer,
        clock: Clock,
        timeout_s: float,
        bookmark_interval_s: float,
        meter: WatchMeter,
        scope: str = "",
        received_s: float = 0.0,
    ) -> None:
        """``scope`` and ``received_s`` (monotonic time of the request) are for the metrics of streaming lists."""
        self.served = served
        self._meter = meter
        self._scope = scope
        self._received_s = received_s
        self._options = options
        self._subscription = subscription
        self._initial: Sequence[Stored] | None = initial
        self._frames = frames
        self._timer = timer
        self._clock = clock
        self._selects_everything = options.selects_everything
        self._first = True
        self._ended = False
        now_s = clock.monotonic()
        self._deadline_s = now_s + timeout_s
        self._bookmark_interval_s = bookmark_interval_s
        self._next_bookmark_s = now_s + bookmark_interval_s if options.bookmarks else float("inf")
        self._bookmark_due = False
        self._when_ended: list[Callable[[], None]] = []
        timer.add(self)

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> list[WatchFrame]:
        if self._initial is not None:
            frames = self._initial_frames(self._initial)
            self._meter.initial += len(self._initial)
            self._initial = None
            if frames:
                self._meter.sent(frames)
                return frames
        while True:
            if self._ended:
                raise StopAsyncIteration
            try:
                events = await self._subscription.__anext__()
            except StopAsyncIteration:
                await self.aclose()
                raise
            except (CompactedError, Overrun, StoreUnavailable, APIError) as error:
                await self.aclose()
                return [self._frames.failed(self._failure(error))]
            frames = self._with_bookmark(self._frames_of(events) if events else [])
            if frames:
                self._meter.sent(frames)
                return frames

    # -- being pushed instead of iterated (``wire.PushedWatch``)

    @property
    def is_live(self) -> bool:
        return self._initial is None and self._subscription.is_live and not self._ended

    def listen(self, ready: Callable[[], None] | None) -> None:
        self._subscription.listen(ready)

    def take(self) -> list[WatchFrame] | None:
        if self._ended:
            return None
        try:
            events = self._subscription.take()
        except (CompactedError, Overrun, StoreUnavailable) as error:
            self._end()
            return [self._frames.failed(self._failure(error))]
        if events is None:
            self._end()
            return None
        frames = self._with_bookmark(self._frames_of(events) if events else [])
        if frames:
            self._meter.sent(frames)
        return frames

    async def aclose(self) -> None:
        """The client has gone, or everything was said."""
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._timer.discard(self)
        self._subscription.listen(None)
        self._subscription.close()
        called, self._when_ended = self._when_ended, []
        for ended in called:
            ended()

    def when_ended(self, ended: Callable[[], None]) -> None:
        """Have ``ended`` called once, when there is nothing more to come or the client has gone."""
        self._when_ended.append(ended)

    def end(self) -> None:
        """Let the client have what is there and then end."""
        self._subscription.close()

    def tick(self, now_s: float) -> None:
        """Called about every ``TICK_S``."""
        if now_s >= self._deadline_s:
            self.end()
        elif now_s >= self._next_bookmark_s:
            self._next_bookmark_s = now_s + self._bookmark_interval_s
            self._bookmark_due = True
            self._subscription.poke()

    def _with_bookmark(self, frames: list[WatchFrame]) -> list[WatchFrame]:
        if self._bookmark_due:
            self._bookmark_due = False
            frames.append(self._frames.bookmark(self._subscription.progress(), initial_events_end=False))
        return frames

    def _failure(self, error: Exception) -> APIError:
        if isinstance(error, APIError):
            return error
        if isinstance(error, CompactedError):
            return Expired(f"too old resource version: {self._subscription.progress()} ({error.compacted})")
        if isinstance(error, Overrun):
            self._meter.terminated += 1
            return Expired("too old resource version: the watch was too slow to keep up with changes")
        return InternalError(f"Internal error occurred: {error}")

    def _initial_frames(self, initial: Sequence[Stored]) -> list[WatchFrame]:
        frames = []
        for stored in initial:
            frames.append(self._frames.added(stored, first=self._first))
            self._first = False
        if self._options.send_initial_events and self._options.bookmarks:
            frames.append(self._frames.bookmark(self._subscription.progress(), initial_events_end=True))
            self._meter.listed(self._scope, self._clock.monotonic() - self._received_s)
        return frames

    def _frames_of(self, events: Sequence[ObjectEvent]) -> list[WatchFrame]:
        make = self._frames.changed
        if self._selects_everything:
            frames = [make(event.type, event, first=self._first) for event in events]
        else:
            frames = [
                make(kind, event, first=self._first) for event in events if (kind := self._seen_as(event)) is not None
            ]
        if frames:
            self._first = False
        return frames

    def _seen_as(self, event: ObjectEvent) -> str | None:
        """What the change is to a client that sees only what its selectors select."""
        previous = event.previous
        was_seen = previous is not None and event.type != "ADDED" and self._matches(previous)
        if event.type == "DELETED":
            return "DELETED" if was_seen else None
        if self._matches(event.stored):
            return "MODIFIED" if was_seen else "ADDED"
        return "DELETED" if was_seen else None

    def _matches(self, stored: Stored) -> bool:
        options = self._options
        if not options.labels.is_everything and not options.labels.matches(stored.labels):
            return False
        if options.fields.is_everything:
            return True
        fields = self.served.fields
        obj = self.served.obj(stored)
        return options.fields.matches(lambda name: fields[name](obj))


def _conforms(watch: Watch) -> PushedWatch:
    return watch
