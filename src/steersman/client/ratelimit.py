"""A client-side limit of requests, as client-go's token bucket: ``burst`` at once, then ``qps`` a second, in their order."""

from __future__ import annotations

from steersman.aio.clock import Clock
from steersman.client.transport import Transport
from steersman.meta.wire import Request, Response


class RateLimited:
    """A transport whose requests wait for their turn. The number that wait is bounded by the callers' own limits."""

    def __init__(self, inner: Transport, *, qps: float, burst: int, clock: Clock) -> None:
        if qps <= 0 or burst < 1:
            raise ValueError("a rate limit needs qps above 0 and a burst of at least 1")
        self._inner = inner
        self._qps = qps
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._counted_s = clock.monotonic()

    async def send(self, request: Request) -> Response:
        await self._wait()
        return await self._inner.send(request)

    async def open(self, request: Request) -> Response:
        """A watch goes through at once, as client-go's do: each is one request for many answers."""
        return await self._inner.open(request)

    async def close(self) -> None:
        await self._inner.close()

    async def _wait(self) -> None:
        """Take a token; one that is not there yet is waited for, and the next caller waits for the one after it."""
        now_s = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now_s - self._counted_s) * self._qps) - 1.0
        self._counted_s = now_s
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / self._qps)


def _conforms(limited: RateLimited) -> Transport:
    return limited
