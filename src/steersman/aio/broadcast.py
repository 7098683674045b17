"""One producer, many readers, each with a bounded buffer: a reader that falls behind is cut, not waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Overrun(Exception):
    """The reader could not keep up and its buffer is full. It has to start again from a fresh read."""


class Subscription(Generic[T]):
    """One reader's buffer. Iterate it; it ends when either side closes it and raises ``Overrun`` when it was cut."""

    def __init__(self, owner: Broadcaster[T], limit: int) -> None:
        self._owner = owner
        self._limit = limit
        self._buffer: deque[T] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self._overrun = False

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._buffer:
            if self._overrun:
                raise Overrun
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._buffer.popleft()

    def close(self) -> None:
        """Stop receiving. What is buffered can still be read."""
        self._closed = True
        self._owner._subscriptions.discard(self)
        self._wake()

    def _offer(self, item: T) -> None:
        if len(self._buffer) >= self._limit:
            self._overrun = True
            self._buffer.clear()
            self.close()
            return
        self._buffer.append(item)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Broadcaster(Generic[T]):
    """Hands each published item to every open subscription, in order. Use from one event loop only."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription[T]] = set()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, limit: int = 1000) -> Subscription[T]:
        """A new reader that sees everything published from now on and may fall ``limit`` items behind."""
        subscription = Subscription(self, limit)
        self._subscriptions.add(subscription)
        return subscription

    def publish(self, item: T) -> None:
        for subscription in tuple(self._subscriptions):
            subscription._offer(item)

    def close(self) -> None:
        """End every subscription after what it has buffered."""
        for subscription in tuple(self._subscriptions):
            subscription.close()
