"""The watch cache alone: which of this process's writes an event belongs to."""

from __future__ import annotations

from steersman.store.api import StoreEvent, WatchBatch
from steersman.store.cache import OwnWrite, WatchCache
from steersman.store.encoding import encode

KEY = "/registry/pods/default/a"


def test_of_two_writes_that_say_the_same_the_failed_one_is_forgotten() -> None:
    obj = {"metadata": {"name": "a"}}
    cache = WatchCache()
    won, failed = (OwnWrite(key=KEY, value=encode(obj), obj=obj) for _ in range(2))
    cache.expect(won)
    cache.expect(failed)
    cache.forget(failed)
    event = StoreEvent(type="put", key=KEY, revision=2, value=won.value, create_revision=2)
    cache.apply(WatchBatch(revision=2, events=[event]))
    assert won.stored is cache.get(KEY)
    cache.forget(won)
    assert failed.stored is None
