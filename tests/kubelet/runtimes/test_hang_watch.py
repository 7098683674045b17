"""Calls that take long are looked into, ever more seldom; others cost nothing."""

from __future__ import annotations

import asyncio

from steersman.aio.clock import FakeClock
from steersman.kubelet.runtimes.hang_watch import FIRST_LOOK_S, HangWatch


class Looks:
    def __init__(self, clock: FakeClock) -> None:
        self.at_s: list[float] = []
        self._clock = clock
        self._began_s = clock.monotonic()

    def look(self) -> None:
        self.at_s.append(self._clock.monotonic() - self._began_s)


async def advance(clock: FakeClock, seconds: float) -> None:
    """Looks are taken in a thread, which a clock does not wait for."""
    for _ in range(round(seconds / FIRST_LOOK_S * 2)):
        await clock.advance(FIRST_LOOK_S / 2)
        await asyncio.sleep(0.01)


async def test_a_long_call_is_looked_into_ever_more_seldom() -> None:
    clock = FakeClock()
    looks = Looks(clock)
    watch = HangWatch(looks.look, clock=clock)
    with watch.watching():
        await advance(clock, 40)
    assert looks.at_s == [2, 4, 8, 16, 32]
    await advance(clock, 4)
    assert clock.next_deadline() is None, "nothing is looked at while nothing is called"


async def test_a_call_beside_a_longer_one_is_looked_into_as_soon() -> None:
    clock = FakeClock()
    looks = Looks(clock)
    watch = HangWatch(looks.look, clock=clock)
    with watch.watching():
        await advance(clock, 18)
        with watch.watching():
            await advance(clock, 4)
    assert looks.at_s == [2, 4, 8, 16, 20, 22]
    watch.close()


async def test_short_calls_cost_no_look() -> None:
    clock = FakeClock()
    looks = Looks(clock)
    watch = HangWatch(looks.look, clock=clock)
    for _ in range(12):
        with watch.watching():
            await advance(clock, FIRST_LOOK_S / 2)
    assert looks.at_s == []
    watch.close()
