"""Without priorities: one limit for reads and one for writes, and nobody waits (``--enable-priority-and-fairness=false``)."""

from __future__ import annotations

from steersman.apiserver.authn.api import MASTERS_GROUP
from steersman.apiserver.call import Call
from steersman.apiserver.flowcontrol.api import FlowController, Pass, Refused
from steersman.meta.wire import Response

RETRY_AFTER_S = 1
READS = frozenset({"get", "list", "watch"})


class _Seats:
    """One limit, and a pass that all of its requests share."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def take(self) -> bool:
        if self._taken >= self._limit:
            return False
        self._taken += 1
        return True

    @property
    def is_waiting(self) -> bool:
        return False

    async def turn(self) -> None:
        raise AssertionError("nobody waits here")

    def give_back(self) -> None:
        self._taken -= 1


class MaxInFlight:
    """``reads`` and ``writes`` at once, then 429; 0 is no limit. Watches are not counted; ``system:masters`` always get in."""

    def __init__(self, *, reads: int, writes: int) -> None:
        self._reads = _Seats(reads) if reads else None
        self._writes = _Seats(writes) if writes else None

    def enter(self, call: Call) -> Pass | None:
        if call.info.is_long_running:
            return None
        seats = self._reads if call.info.verb in READS else self._writes
        if seats is None:
            return None
        if seats.take():
            return seats
        if MASTERS_GROUP in call.user.groups:
            return None
        raise Refused(RETRY_AFTER_S)

    def watching(self, call: Call, response: Response) -> None:
        return None


def _conforms() -> FlowController:
    return MaxInFlight(reads=1, writes=1)
