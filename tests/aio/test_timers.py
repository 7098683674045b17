"""Timers: each key once, in order of time, whatever the others do."""

from __future__ import annotations

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.aio.timers import Timers


async def test_callbacks_come_in_order_of_their_time() -> None:
    clock, said = FakeClock(), list[str]()
    timers = Timers(clock)
    async with TaskGroup("test") as group:
        group.spawn(timers.run(), name="timers")
        await clock.settle()
        timers.after("late", 10, lambda: said.append("late"))
        timers.after("early", 5, lambda: said.append("early"))
        await clock.advance(5)
        assert said == ["early"]
        await clock.advance(5)
        assert said == ["early", "late"]


async def test_a_key_set_again_fires_once_at_its_new_time() -> None:
    clock, said = FakeClock(), list[float]()
    timers = Timers(clock)
    began_s = clock.now()
    async with TaskGroup("test") as group:
        group.spawn(timers.run(), name="timers")
        timers.after("key", 1, lambda: said.append(clock.now() - began_s))
        timers.after("key", 3, lambda: said.append(clock.now() - began_s))
        await clock.advance(10)
    assert said == [3]


async def test_a_cancelled_key_does_not_fire() -> None:
    clock, said = FakeClock(), list[str]()
    timers = Timers(clock)
    async with TaskGroup("test") as group:
        group.spawn(timers.run(), name="timers")
        timers.after("key", 1, lambda: said.append("fired"))
        timers.cancel("key")
        await clock.advance(10)
    assert not said and not len(timers)


async def test_a_callback_that_raises_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock, said = FakeClock(), list[str]()
    timers = Timers(clock)
    async with TaskGroup("test") as group:
        group.spawn(timers.run(), name="timers")
        timers.after("bad", 1, lambda: said.append(str(1 / 0)))
        timers.after("good", 1, lambda: said.append("good"))
        await clock.advance(2)
    assert said == ["good"]
    assert "ZeroDivisionError" in caplog.text
