"""Time limits that share one timer."""

from __future__ import annotations

import asyncio

import pytest

from steersman.client.deadlines import Deadlines, Limited

SOON_S = 0.01


async def _wait_for_ever(deadlines: Deadlines, started: asyncio.Event | None = None) -> None:
    with Limited(deadlines):
        if started is not None:
            started.set()
        await asyncio.get_running_loop().create_future()


async def test_what_takes_too_long_is_cut_and_the_task_goes_on() -> None:
    deadlines = Deadlines(SOON_S, sweep_s=SOON_S)
    with pytest.raises(TimeoutError, match=r"no answer within 0.01 s"):
        await _wait_for_ever(deadlines)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_every_one_of_many_is_cut() -> None:
    deadlines = Deadlines(SOON_S, sweep_s=SOON_S)
    outcomes = await asyncio.gather(*(_wait_for_ever(deadlines) for _ in range(20)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 20


async def test_one_that_began_later_is_cut_later() -> None:
    deadlines = Deadlines(SOON_S, sweep_s=SOON_S)
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        await _wait_for_ever(deadlines)
    began_s = loop.time()
    with pytest.raises(TimeoutError):
        await _wait_for_ever(deadlines)
    assert loop.time() - began_s >= SOON_S


async def test_what_ends_in_time_is_left_alone() -> None:
    deadlines = Deadlines(3600.0)
    with Limited(deadlines):
        await asyncio.sleep(0)
    deadlines.close()


async def test_what_fails_fails_as_it_does() -> None:
    deadlines = Deadlines(3600.0)
    with pytest.raises(ValueError, match="own"), Limited(deadlines):
        raise ValueError("own")
    deadlines.close()


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    deadlines, started = Deadlines(3600.0), asyncio.Event()
    task = asyncio.create_task(_wait_for_ever(deadlines, started))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    deadlines.close()


async def test_a_cancellation_that_comes_with_the_expiry_stays_one() -> None:
    deadlines, started = Deadlines(3600.0), asyncio.Event()
    entries: list[Limited] = []

    async def wait() -> None:
        entry = Limited(deadlines)
        entries.append(entry)
        with entry:
            started.set()
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(wait())
    await started.wait()
    entries[0].expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    deadlines.close()
