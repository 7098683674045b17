"""The work queue: each key once in the queue and once in work, and no key is ever forgotten."""

from __future__ import annotations

import asyncio

import pytest

from steersman.aio.backoff import Backoff, ItemBackoff
from steersman.aio.clock import FakeClock
from steersman.aio.workqueue import QueueShutDown, WorkQueue


async def test_a_key_added_twice_is_worked_on_once() -> None:
    queue = WorkQueue[str](FakeClock())
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    assert len(queue) == 0


async def test_a_key_added_while_in_work_runs_again_afterwards() -> None:
    queue = WorkQueue[str](FakeClock())
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 1
    queue.done(await queue.get())
    assert queue.idle


async def test_of_several_delays_the_earliest_wins() -> None:
    clock = FakeClock()
    queue = WorkQueue[str](clock)
    queue.add_after("a", 5)
    queue.add_after("a", 2)
    queue.add_after("a", 9)
    await clock.advance(1.9)
    assert (len(queue), queue.quiet, queue.idle) == (0, True, False)
    await clock.advance(0.1)
    assert len(queue) == 1
    await clock.advance(20)
    queue.done(await queue.get())
    assert queue.idle


async def test_failures_back_off_until_forgotten() -> None:
    clock = FakeClock()
    queue = WorkQueue[str](clock, ItemBackoff(base_s=1, cap_s=3))
    for delay_s in (1, 2, 3, 3):
        queue.add_rate_limited("a")
        await clock.advance(delay_s - 0.1)
        assert len(queue) == 0
        await clock.advance(0.1)
        queue.done(await queue.get())
    assert queue.failures("a") == 4
    queue.forget("a")
    queue.add_rate_limited("a", at_least_s=2)
    await clock.advance(1.5)
    assert len(queue) == 0
    await clock.advance(0.5)
    assert len(queue) == 1


async def test_a_closed_queue_hands_out_what_it_has_and_then_ends_its_workers() -> None:
    clock = FakeClock()
    queue = WorkQueue[str](clock)
    idle = [asyncio.ensure_future(WorkQueue[str](clock).get()) for _ in range(2)]
    queue.add("a")
    queue.add_after("b", 1)
    queue.close()
    queue.add("c")
    assert await queue.get() == "a"
    with pytest.raises(QueueShutDown):
        await queue.get()
    for worker in idle:
        worker.cancel()


async def test_a_key_whose_worker_is_cancelled_as_it_wakes_goes_to_another() -> None:
    queue = WorkQueue[str](FakeClock())
    first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


def test_backoff_grows_to_its_cap_and_starts_anew_after_success() -> None:
    backoff = Backoff(initial_s=1, factor=3, cap_s=5)
    assert [backoff.next() for _ in range(4)] == [1, 3, 5, 5]
    backoff.reset()
    assert backoff.next() == 1
