"""Readers of events: one that fails does not keep events from the others."""

from __future__ import annotations

import asyncio
import logging

import pytest

from steersman.store.events import ObjectEvent
from steersman.store.stored import DecodedWindow, Stored
from steersman.store.subscriptions import Subscriptions


async def test_a_listening_reader_that_raises_is_cut_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    all_of_them, seen = Subscriptions(), list[int]()

    def broken() -> None:
        raise RuntimeError("the client is gone")

    readers = [all_of_them.new("/registry/", 0, 10) for _ in range(2)]
    for reader in readers:
        all_of_them.add(reader)
        reader.go_live(())
    readers[0].listen(broken)
    readers[1].listen(lambda: seen.extend(event.revision for event in readers[1].take() or ()))
    for revision in (1, 2):
        stored = Stored(key="/registry/a", revision=revision, json=b"{}", window=DecodedWindow())
        all_of_them.publish(ObjectEvent(type="ADDED", stored=stored, previous=None, revision=revision))
        for _ in range(3):
            await asyncio.sleep(0)
    assert seen == [1, 2]
    with pytest.raises(RuntimeError, match="the client is gone"):
        readers[0].take()


async def test_a_listening_reader_hears_of_the_end_after_what_came_before_it() -> None:
    """The end and an event in one turn are announced once: what is taken first must not be all."""
    all_of_them, taken = Subscriptions(), list[list[int] | None]()
    reader = all_of_them.new("/registry/", 0, 10)
    reader.go_live(())

    def ready() -> None:
        events = reader.take()
        taken.append(None if events is None else [event.revision for event in events])

    reader.listen(ready)
    stored = Stored(key="/registry/a", revision=1, json=b"{}", window=DecodedWindow())
    all_of_them.publish(ObjectEvent(type="ADDED", stored=stored, previous=None, revision=1))
    reader.close()
    for _ in range(3):
        await asyncio.sleep(0)
    assert taken == [[1], None]
