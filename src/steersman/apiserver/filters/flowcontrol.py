"""Flow control: how many requests are in work at once, and what happens to the rest."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from steersman.apiserver.authn.api import MASTERS_GROUP
from steersman.apiserver.call import Call
from steersman.apiserver.filters.api import Filter, Next
from steersman.meta.errors import TooManyRequests
from steersman.meta.wire import Response


class FlowController(Protocol):
    """Gives requests a seat, makes them wait for one, or refuses them."""

    async def enter(self, call: Call) -> None:
        """Take a seat. Raises ``TooManyRequests``."""

    def leave(self, call: Call) -> None:
        """Give the seat back."""


class MaxInFlight:
    """One limit for all: ``limit`` seats, and a queue of as many again, first come first served; then 429.

    ``system:masters`` are exempt, as upstream's mandatory exempt priority level has it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seated = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    async def enter(self, call: Call) -> None:
        if MASTERS_GROUP in call.user.groups:
            return
        if self._seated < self._limit:
            self._seated += 1
            return
        if len(self._queue) >= self._limit:
            raise TooManyRequests("too many requests, please try again later.", retry_after_s=1)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            raise

    def leave(self, call: Call) -> None:
        if MASTERS_GROUP not in call.user.groups:
            self._release()

    def _release(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._seated -= 1


class FlowControlFilter:
    """Watches and streams are not counted: they cost little while they last."""

    NAME = "flowcontrol"

    def __init__(self, controller: FlowController) -> None:
        self._controller = controller

    async def __call__(self, call: Call, following: Next) -> Response:
        if call.info.is_long_running:
            return await following(call)
        await self._controller.enter(call)
        try:
            return await following(call)
        finally:
            self._controller.leave(call)


def _conforms() -> tuple[Filter, FlowController]:
    controller = MaxInFlight(1)
    return FlowControlFilter(controller), controller
