"""A limit of requests: a burst at once, then a steady rate."""

from __future__ import annotations

import asyncio

import pytest

from steersman.aio.clock import FakeClock
from steersman.client.ratelimit import RateLimited
from steersman.meta.wire import Request, Response


class Counting:
    """A transport that counts what arrives."""

    def __init__(self) -> None:
        self.count = 0

    async def send(self, request: Request) -> Response:
        self.count += 1
        return Response(status=200)

    async def open(self, request: Request) -> Response:
        return await self.send(request)

    async def close(self) -> None: ...


async def test_a_burst_goes_through_and_the_rest_at_the_rate() -> None:
    clock, inner = FakeClock(), Counting()
    limited = RateLimited(inner, qps=2.0, burst=3, clock=clock)
    calls = [asyncio.create_task(limited.send(Request(method="GET", path="/"))) for _ in range(6)]
    await clock.settle()
    assert inner.count == 3
    seen = []
    for _ in range(3):
        await clock.advance(0.5)
        seen.append(inner.count)
    assert seen == [4, 5, 6]
    await asyncio.gather(*calls)
    await clock.advance(10.0)
    calls = [asyncio.create_task(limited.send(Request(method="GET", path="/"))) for _ in range(4)]
    await clock.settle()
    assert inner.count == 9
    await clock.advance(1.0)
    await asyncio.gather(*calls)


async def test_watches_go_through_at_once_and_take_no_turn() -> None:
    clock, inner = FakeClock(), Counting()
    limited = RateLimited(inner, qps=1.0, burst=1, clock=clock)
    for _ in range(5):
        await limited.open(Request(method="GET", path="/", query={"watch": ["true"]}))
    await limited.send(Request(method="GET", path="/"))
    assert inner.count == 6


def test_a_limit_needs_a_rate() -> None:
    with pytest.raises(ValueError, match="qps above 0"):
        RateLimited(Counting(), qps=0.0, burst=1, clock=FakeClock())
