"""Watchers of objects: each has a bounded buffer, and an event finds those that want it without asking all others."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from steersman.aio.broadcast import Overrun
from steersman.store.events import ObjectEvent

log = logging.getLogger(__name__)

BUFFER = 4096
"""Events that a subscriber may be behind before it is cut."""

TURNS = 64
"""Listening readers that are served in one turn of the event loop."""

Events = list[ObjectEvent]


class Subscription:
    """The changes below one prefix after one revision, in order, each once; iterate it for lists of what has come.

    Ends when it is closed. Raises ``Overrun`` when it was cut because more than the buffer's limit was waiting, and
    ``CompactedError`` when the changes it should begin with are gone; the reader lists again and watches from there.
    """

    def __init__(self, owner: Subscriptions, prefix: str, position: int, limit: int) -> None:
        self.prefix = prefix
        self._owner = owner
        self._limit = limit
        self._position = position
        self._buffer: Events = []
        self._waiter: asyncio.Future[None] | None = None
        self._backlog: AsyncIterator[Events] | None = None
        self._error: Exception | None = None
        self._live = False
        self._closed = False
        self._poked = False
        self._ready: Callable[[], None] | None = None
        self._announced = False

    def __aiter__(self) -> AsyncIterator[Events]:
        return self

    async def __anext__(self) -> Events:
        if self._backlog is not None:
            async for events in self._backlog:
                self._position = events[-1].revision
                return events
            self._backlog = None
        while not self._buffer:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            if self._poked:
                self._poked = False
                return []
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        events, self._buffer = self._buffer, []
        self._position = events[-1].revision
        return events

    @property
    def is_live(self) -> bool:
        """History has been read: what comes now comes as it happens."""
        return self._live and self._backlog is None

    def listen(self, ready: Callable[[], None] | None) -> None:
        """Instead of iterating: call ``ready`` whenever ``take`` has something to say, in a later turn of the event loop
        and once for everything that has come by then. For readers of which there are many: a task for each costs more
        than what it has to do. None ends it."""
        self._ready = ready
        if ready is not None and (self._buffer or self._closed or self._poked):
            self._announce()

    def take(self) -> Events | None:
        """What has come, without waiting; empty where nothing has, None at the end. Raises as iterating does."""
        self._announced = False
        if self._buffer:
            events, self._buffer = self._buffer, []
            self._position = events[-1].revision
            if self._closed and self._ready is not None:
                self._announce()  # that this was the last of it
            return events
        if self._error is not None:
            raise self._error
        self._poked = False
        return None if self._closed else []

    def announced(self) -> None:
        """Called by ``Subscriptions``: it is this reader's turn."""
        self._announced = False
        if self._ready is not None:
            self._ready()

    def progress(self) -> int:
        """The revision up to which the reader has been given everything: what a bookmark may say."""
        if self._live and not self._buffer and self._error is None:
            return max(self._position, self._owner.revision)
        return self._position

    def poke(self) -> None:
        """Let the reader have its turn, with an empty list where nothing has come: something else is due."""
        self._poked = True
        self._wake()

    def close(self) -> None:
        """Stop receiving. What is buffered can still be read."""
        self._closed = True
        self._backlog = None
        self._owner.discard(self)
        self._wake()

    def fail(self, error: Exception) -> None:
        """Cut the reader: it gets ``error`` instead of what is buffered."""
        self._buffer = []
        self._error = error
        self.close()

    def catch_up(self, backlog: AsyncIterator[Events]) -> None:
        """Read ``backlog`` first; whoever provides it calls ``go_live`` at its end."""
        self._backlog = backlog

    def go_live(self, missed: Sequence[ObjectEvent]) -> None:
        """Receive from now on; ``missed`` happened before. They do not count for the limit."""
        self._buffer += missed
        self._live = True
        if not self._closed:
            self._owner.add(self)

    def offer(self, event: ObjectEvent) -> None:
        if event.revision <= self._position:
            return
        if len(self._buffer) >= self._limit:
            self.fail(Overrun(f"more than {self._limit} changes below {self.prefix} were waiting to be read"))
            return
        self._buffer.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._ready is not None:
            self._announce()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            self._owner.announce(self)


class Subscriptions:
    """All subscriptions of one cache, found by the folders above an event's key."""

    def __init__(self) -> None:
        self._by_folder: dict[str, dict[str, set[Subscription]]] = {}
        self.revision = 0
        """Everything up to here has been published."""
        self._announced: deque[Subscription] = deque()
        self._scheduled = False

    def __len__(self) -> int:
        return sum(len(group) for groups in self._by_folder.values() for group in groups.values())

    def new(self, prefix: str, position: int, limit: int) -> Subscription:
        """A subscription that receives nothing yet."""
        return Subscription(self, prefix, position, limit)

    def add(self, subscription: Subscription) -> None:
        groups = self._by_folder.setdefault(_folder(subscription.prefix), {})
        groups.setdefault(subscription.prefix, set()).add(subscription)

    def discard(self, subscription: Subscription) -> None:
        folder = _folder(subscription.prefix)
        groups = self._by_folder.get(folder, {})
        group = groups.get(subscription.prefix, set())
        group.discard(subscription)
        if not group:
            groups.pop(subscription.prefix, None)
        if not groups:
            self._by_folder.pop(folder, None)

    def publish(self, event: ObjectEvent) -> None:
        key = event.key
        end = 0
        while True:
            groups = self._by_folder.get(key[:end])
            if groups is not None:
                for prefix, group in tuple(groups.items()):
                    if key.startswith(prefix):
                        for subscription in tuple(group):
                            subscription.offer(event)
            end = key.find("/", end) + 1
            if end == 0:
                return

    def announce(self, subscription: Subscription) -> None:
        """Give a listening reader its turn soon."""
        self._announced.append(subscription)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._give_turns)

    def _give_turns(self) -> None:
        """A bounded number of readers at a time, so that others get theirs between. One that fails is cut, and it alone."""
        for _ in range(min(TURNS, len(self._announced))):
            subscription = self._announced.popleft()
            try:
                subscription.announced()
            except Exception as error:
                log.exception("a reader of events failed")
                subscription.listen(None)
                subscription.fail(error)
        self._scheduled = bool(self._announced)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._give_turns)

    def fail(self, error: Exception) -> None:
        """Cut every subscription."""
        for subscription in self._all():
            subscription.fail(error)

    def close(self) -> None:
        """End every subscription after what it has buffered."""
        for subscription in self._all():
            subscription.close()

    def _all(self) -> list[Subscription]:
        groups = [group for groups in self._by_folder.values() for group in groups.values()]
        return [subscription for group in groups for subscription in group]


def _folder(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]
