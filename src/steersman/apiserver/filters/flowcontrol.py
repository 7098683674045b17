"""Flow control: a seat for each request, or its turn to wait, or 429."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.filters.api import Filter, Next
from steersman.apiserver.flowcontrol.api import FlowController, Pass, Refused
from steersman.apiserver.flowcontrol.maxinflight import MaxInFlight
from steersman.apiserver.metrics.series import Distribution
from steersman.meta.wire import Response


class FlowControlFilter:
    """A request has its seats until its answer is there, a large one until it has been sent, a watch until it is set up."""

    NAME = "flowcontrol"

    def __init__(self, controller: FlowController, *, clock: Clock, durations: Distribution) -> None:
        """``durations``: until each request is let through."""
        self._controller = controller
        self._clock = clock
        self._durations = durations

    async def __call__(self, call: Call, following: Next) -> Response:
        began_s = self._clock.monotonic()
        try:
            made = self._controller.enter(call)
            if made is not None and made.is_waiting:
                await made.turn()
        except Refused as refused:
            return _too_many(call, refused.retry_after_s)
        self._durations.observe(self._clock.monotonic() - began_s)
        if made is None:
            return await following(call)
        try:
            response = await following(call)
        except BaseException:
            made.give_back()
            raise
        if response.watch is not None:
            self._controller.watching(call, response)
        elif response.stream is not None and response.content is None and call.info.verb != "watch":
            return replace(response, stream=_HeldStream(response.stream, made))
        made.give_back()
        return response


class _HeldStream:
    """A body that holds its request's seats until it is closed."""

    def __init__(self, stream: AsyncIterator[bytes], made: Pass) -> None:
        self._stream = stream
        self._pass: Pass | None = made

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream

    async def __anext__(self) -> bytes:
        return await anext(self._stream)

    async def aclose(self) -> None:
        made, self._pass = self._pass, None
        if made is not None:
            made.give_back()
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()


def _too_many(call: Call, retry_after_s: int) -> Response:
    """As upstream answers: a line of text, no Status."""
    response = respond.text(call, "Too many requests, please try again later.\n", status=429)
    return replace(response, headers={**response.headers, "retry-after": str(retry_after_s)})


def _conforms(clock: Clock, durations: Distribution) -> Filter:
    return FlowControlFilter(MaxInFlight(reads=1, writes=1), clock=clock, durations=durations)
