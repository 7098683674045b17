"""What every Store driver must do: subclass ``StoreSuite`` beside a driver and give it a fixture ``driver``.

    class TestMine(StoreSuite):
        @pytest.fixture
        def driver(self, tmp_path): return Driver(open=lambda: MyStore(tmp_path / "store"))

The suite works in a folder of its own and takes revisions as it finds them, so that it also runs on a server with other
data.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

import pytest
import pytest_asyncio
from msgspec import Struct

from steersman.aio.clock import FakeClock
from steersman.store.api import (
    CompactedError,
    Compare,
    Delete,
    FutureRevisionError,
    KeyValue,
    LeaseNotFound,
    Put,
    Store,
    StoreEvent,
    StoreUnavailable,
    WatchBatch,
)

DEADLINE_S = 20.0
ROOT = "/suite/"


class Driver(Struct, frozen=True, kw_only=True):
    """How the suite gets at one driver."""

    open: Callable[[], Store]
    """A new, unstarted Store; on the same data each time if the driver is durable."""
    durable: bool = True
    clock: FakeClock | None = None
    """The clock that the store was given; None where it lives in real time."""


def a(name: str) -> str:
    return ROOT + name


async def put(store: Store, name: str, value: bytes = b"v", *, lease: int = 0) -> int:
    """Write without condition; the revision."""
    return (await store.transact([], [Put(key=a(name), value=value, lease=lease)])).revision


async def delete(store: Store, name: str) -> int:
    return (await store.transact([], [Delete(key=a(name))])).revision


async def take(watch: AsyncGenerator[WatchBatch, None], count: int) -> list[StoreEvent]:
    """The next ``count`` events; batches must rise in revision and hold what they say."""
    events: list[StoreEvent] = []
    reached = 0
    async with asyncio.timeout(DEADLINE_S):
        while len(events) < count:
            batch = await anext(watch)
            assert batch.revision >= reached
            assert all(reached < event.revision <= batch.revision for event in batch.events)
            reached = batch.revision
            events += batch.events
    assert len(events) == count
    return events


async def eventually(driver: Driver, holds: Callable[[], Awaitable[bool]]) -> None:
    """Let the driver's time pass until ``holds``."""
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():
            if driver.clock is not None:
                await driver.clock.advance(1.0)
            await asyncio.sleep(0.01)


def summary(events: Sequence[StoreEvent]) -> list[tuple[str, str, int]]:
    return [(event.type, event.key.removeprefix(ROOT), event.revision) for event in events]


class StoreSuite:
    """The statements. Fixtures: ``driver`` from the subclass, ``store`` started and emptied here."""

    @pytest_asyncio.fixture
    async def store(self, driver: Driver) -> AsyncIterator[Store]:
        store = driver.open()
        await store.start()
        for item in (await store.range(ROOT)).items:
            await store.transact([], [Delete(key=item.key)])
        yield store
        await store.close()

    # -- revisions and transactions

    async def test_each_transaction_that_changes_something_raises_the_revision_by_one(self, store: Store) -> None:
        before = await store.revision()
        assert before >= 1
        assert await put(store, "x") == before + 1
        result = await store.transact([], [Put(key=a("y"), value=b""), Put(key=a("z"), value=b""), Delete(key=a("x"))])
        assert (result.succeeded, result.revision) == (True, before + 2)
        assert await store.revision() == before + 2

    async def test_a_transaction_that_changes_nothing_keeps_the_revision(self, store: Store) -> None:
        before = await put(store, "x")
        assert (await store.transact([], [Delete(key=a("missing"))])).revision == before
        assert (await store.transact([], [])).revision == before
        failed = await store.transact([Compare(key=a("x"), mod_revision=before + 9)], [Put(key=a("x"), value=b"2")])
        assert (failed.succeeded, failed.revision) == (False, before)
        assert await store.revision() == before

    async def test_a_failed_compare_gives_the_present_state(self, store: Store) -> None:
        revision = await put(store, "x", b"1")
        compares = [Compare(key=a("x"), mod_revision=0), Compare(key=a("missing"), mod_revision=0)]
        result = await store.transact(compares, [Delete(key=a("x"))])
        assert not result.succeeded
        present = KeyValue(key=a("x"), value=b"1", create_revision=revision, mod_revision=revision, version=1)
        assert list(result.current) == [present, None]

    async def test_compares_guard_creation_update_and_deletion(self, store: Store) -> None:
        created = await store.transact([Compare(key=a("x"), mod_revision=0)], [Put(key=a("x"), value=b"1")])
        assert created.succeeded
        again = await store.transact([Compare(key=a("x"), mod_revision=0)], [Put(key=a("x"), value=b"2")])
        assert not again.succeeded
        at = Compare(key=a("x"), mod_revision=created.revision)
        updated = await store.transact([at], [Put(key=a("x"), value=b"3")])
        assert updated.succeeded
        assert not (await store.transact([at], [Delete(key=a("x"))])).succeeded
        assert (await store.transact([Compare(key=a("x"), mod_revision=updated.revision)], [])).succeeded

    async def test_a_key_changes_only_once_in_a_transaction(self, store: Store) -> None:
        with pytest.raises(ValueError, match="only once"):
            await store.transact([], [Put(key=a("x"), value=b"1"), Delete(key=a("x"))])

    async def test_versions_count_writes_since_creation(self, store: Store) -> None:
        first = await put(store, "x", b"1")
        second = await put(store, "x", b"2")
        found = await store.get(a("x"))
        assert found == KeyValue(key=a("x"), value=b"2", create_revision=first, mod_revision=second, version=2)
        await delete(store, "x")
        assert await store.get(a("x")) is None
        third = await put(store, "x", b"3")
        found = await store.get(a("x"))
        assert found == KeyValue(key=a("x"), value=b"3", create_revision=third, mod_revision=third, version=1)

    async def test_of_concurrent_writers_on_one_revision_one_succeeds(self, store: Store) -> None:
        revision = await put(store, "x", b"0")
        guard = [Compare(key=a("x"), mod_revision=revision)]
        results = await asyncio.gather(
            *(store.transact(guard, [Put(key=a("x"), value=b"%d" % writer)]) for writer in range(20))
        )
        assert [result.succeeded for result in results].count(True) == 1

    async def test_values_are_any_bytes(self, store: Store) -> None:
        value = bytes(range(256)) * 4000
        await put(store, "empty", b"")
        await put(store, "big", value)
        for name, expected in (("empty", b""), ("big", value)):
            found = await store.get(a(name))
            assert found is not None
            assert found.value == expected

    # -- reading

    async def test_ranges_are_in_byte_order_and_hold_to_their_prefix(self, store: Store) -> None:
        for name in ("b/z", "b", "b/", "b/é", "b/\U0001f600", "b/a", "b0", "c", "b-x"):
            await put(store, name)
        found = await store.range(a("b/"))
        assert [item.key for item in found.items] == [a("b/"), a("b/a"), a("b/z"), a("b/é"), a("b/\U0001f600")]
        assert found.count == 5
        assert found.revision == await store.revision()

    async def test_ranges_continue_from_a_key(self, store: Store) -> None:
        for name in "abcde":
            await put(store, name)
        page = await store.range(ROOT, limit=2)
        assert ([item.key for item in page.items], page.count) == ([a("a"), a("b")], 5)
        rest = await store.range(ROOT, start=page.items[-1].key + "\0", limit=2, revision=page.revision)
        assert ([item.key for item in rest.items], rest.count) == ([a("c"), a("d")], 3)
        assert [item.key for item in (await store.range(ROOT, start=a("d"))).items] == [a("d"), a("e")]
        assert (await store.range(a("b"), start=a("c"))).items == []

    async def test_old_revisions_stay_readable(self, store: Store) -> None:
        first = await put(store, "x", b"1")
        await put(store, "y", b"1")
        await put(store, "x", b"2")
        last = await delete(store, "x")
        old = await store.range(ROOT, revision=first)
        assert [(item.key, item.value, item.mod_revision) for item in old.items] == [(a("x"), b"1", first)]
        assert old.revision == first
        then = await store.get(a("x"), revision=last - 1)
        assert then is not None
        assert (then.value, then.version, then.create_revision) == (b"2", 2, first)
        assert await store.get(a("y"), revision=first) is None
        assert await store.get(a("x"), revision=last) is None

    async def test_the_future_cannot_be_read(self, store: Store) -> None:
        beyond = await store.revision() + 1
        with pytest.raises(FutureRevisionError):
            await store.get(a("x"), revision=beyond)
        with pytest.raises(FutureRevisionError):
            await store.range(ROOT, revision=beyond)
        with pytest.raises(FutureRevisionError):
            await store.compact(beyond)

    # -- watching

    async def test_a_watch_gives_history_then_what_is_committed(self, store: Store) -> None:
        first = await put(store, "x", b"1")
        second = await put(store, "x", b"2")
        async with aclosing(store.watch(ROOT, start_revision=first)) as watch:
            history = await take(watch, 2)
            assert summary(history) == [("put", "x", first), ("put", "x", second)]
            waiting = asyncio.ensure_future(take(watch, 1))
            third = await delete(store, "x")
            (last,) = await waiting
        assert [event.create_revision for event in history] == [first, first]
        assert history[0].previous is None
        assert history[1].previous == KeyValue(
            key=a("x"), value=b"1", create_revision=first, mod_revision=first, version=1
        )
        assert (last.type, last.revision, last.value) == ("delete", third, b"")
        assert last.previous is not None
        assert (last.previous.value, last.previous.version) == (b"2", 2)

    async def test_a_watch_starts_at_its_revision(self, store: Store) -> None:
        first = await put(store, "x")
        for _ in range(3):
            last = await put(store, "x")
        async with aclosing(store.watch(ROOT, start_revision=first + 2)) as watch:
            assert [event.revision for event in await take(watch, 2)] == [first + 2, last]

    async def test_a_watch_can_start_in_the_future(self, store: Store) -> None:
        now = await store.revision()
        async with aclosing(store.watch(ROOT, start_revision=now + 3)) as watch:
            waiting = asyncio.ensure_future(take(watch, 2))
            for _ in range(4):
                last = await put(store, "x")
            assert [event.revision for event in await waiting] == [last - 1, last]

    async def test_a_watch_holds_to_its_prefix(self, store: Store) -> None:
        start = await store.revision() + 1
        await put(store, "b/x")
        await put(store, "c")
        await put(store, "b")
        last = await put(store, "b/y")
        async with aclosing(store.watch(a("b/"), start_revision=start)) as watch:
            assert summary(await take(watch, 2)) == [("put", "b/x", start), ("put", "b/y", last)]

    async def test_a_watch_without_changes_says_how_far_it_is(self, driver: Driver, store: Store) -> None:
        if driver.clock is None:
            pytest.skip("a server in real time reports progress after minutes only")
        start = await put(store, "x")
        async with aclosing(store.watch(a("elsewhere/"), start_revision=start)) as watch:
            waiting = asyncio.ensure_future(anext(watch))
            last = await put(store, "x")

            async def reported() -> bool:
                return waiting.done()

            await eventually(driver, reported)
            assert waiting.result() == WatchBatch(revision=last)

    async def test_all_changes_of_a_transaction_come_in_one_batch(self, store: Store) -> None:
        revision = await put(store, "gone")
        async with aclosing(store.watch(ROOT, start_revision=revision + 1)) as watch:
            operations = [Put(key=a(str(i)), value=b"") for i in range(20)]
            await store.transact([], [*operations, Delete(key=a("gone"))])
            await put(store, "after")
            batch = await anext(watch)
            assert len(batch.events) >= 21
            assert {event.revision for event in batch.events[:21]} == {revision + 1}

    async def test_a_slow_watcher_misses_nothing(self, store: Store) -> None:
        start = await store.revision() + 1
        async with aclosing(store.watch(ROOT, start_revision=start)) as watch:
            await put(store, "x")
            await take(watch, 1)
            for round in range(30):
                await asyncio.gather(*(put(store, f"{round}-{i}") for i in range(100)))
            events = await take(watch, 3000)
        assert [event.revision for event in events] == list(range(start + 1, start + 3001))

    async def test_every_watcher_sees_everything_in_order(self, store: Store) -> None:
        start = await store.revision() + 1
        watches = [store.watch(ROOT, start_revision=start + 10 * i) for i in range(5)]
        readers = [asyncio.ensure_future(take(watch, 100 - 10 * i)) for i, watch in enumerate(watches)]
        for wave in range(10):
            await asyncio.gather(*(put(store, f"{wave}-{i}") for i in range(10)))
        for i, reader in enumerate(readers):
            assert [event.revision for event in await reader] == list(range(start + 10 * i, start + 100))
        for watch in watches:
            await watch.aclose()

    # -- compaction

    async def test_compaction_forgets_what_is_superseded_and_nothing_else(self, store: Store) -> None:
        first = await put(store, "x", b"1")
        await put(store, "kept", b"k")
        await put(store, "x", b"2")
        await delete(store, "x")
        await put(store, "x", b"3")
        horizon = await put(store, "y")
        last = await put(store, "x", b"4")
        await store.compact(horizon)
        for below in (first, horizon - 1):
            with pytest.raises(CompactedError):
                await store.get(a("x"), revision=below)
            with pytest.raises(CompactedError):
                await store.range(ROOT, revision=below)
        at = await store.range(ROOT, revision=horizon)
        assert [(item.key, item.value) for item in at.items] == [(a("kept"), b"k"), (a("x"), b"3"), (a("y"), b"v")]
        now = await store.get(a("x"))
        assert now is not None
        assert (now.value, now.version, now.mod_revision) == (b"4", 2, last)
        with pytest.raises(CompactedError):
            await store.compact(horizon)

    async def test_a_watch_below_the_horizon_fails_and_says_where_it_is(self, store: Store) -> None:
        first = await put(store, "x")
        horizon = await put(store, "x")
        last = await put(store, "x")
        await store.compact(horizon)
        async with aclosing(store.watch(ROOT, start_revision=first)) as watch:
            with pytest.raises(CompactedError) as failure:
                async with asyncio.timeout(DEADLINE_S):
                    await anext(watch)
            assert failure.value.compacted == horizon
        async with aclosing(store.watch(ROOT, start_revision=horizon + 1)) as watch:
            (event,) = await take(watch, 1)
            assert event.revision == last
            assert event.previous is not None
            assert event.previous.mod_revision == horizon

    async def test_a_running_watch_outlives_compaction(self, store: Store) -> None:
        first = await put(store, "x")
        async with aclosing(store.watch(ROOT, start_revision=first)) as watch:
            await take(watch, 1)
            second = await put(store, "x")
            await take(watch, 1)
            await store.compact(second)
            third = await put(store, "x")
            assert summary(await take(watch, 1)) == [("put", "x", third)]

    async def test_compaction_of_much_history_leaves_the_present(self, store: Store) -> None:
        for round in range(20):
            await asyncio.gather(*(put(store, str(i), b"%d" % round) for i in range(50)))
        for i in range(0, 50, 2):
            await delete(store, str(i))
        revision = await store.revision()
        await store.compact(revision)
        found = await store.range(ROOT)
        assert {item.key: item.value for item in found.items} == {a(str(i)): b"19" for i in range(1, 50, 2)}
        assert await put(store, "next") == revision + 1

    # -- leases

    async def test_revoking_a_lease_deletes_its_keys_at_one_revision(self, store: Store) -> None:
        lease = await store.grant_lease(600)
        await put(store, "x", lease=lease)
        await put(store, "y", lease=lease)
        freed = await put(store, "freed", lease=lease)
        await put(store, "freed")
        before = await store.revision()
        found = await store.get(a("x"))
        assert found is not None
        assert found.lease == lease
        async with aclosing(store.watch(ROOT, start_revision=freed)) as watch:
            await take(watch, 2)
            await store.revoke_lease(lease)
            events = await take(watch, 2)
        assert {event.key for event in events} == {a("x"), a("y")}
        assert {event.revision for event in events} == {before + 1}
        assert [item.key for item in (await store.range(ROOT)).items] == [a("freed")]

    async def test_an_unknown_lease_is_refused(self, store: Store) -> None:
        lease = await store.grant_lease(600)
        await store.revoke_lease(lease)
        with pytest.raises(LeaseNotFound):
            await put(store, "x", lease=lease)
        with pytest.raises(LeaseNotFound):
            await store.renew_lease(lease)
        with pytest.raises(LeaseNotFound):
            await store.revoke_lease(lease)
        assert await store.get(a("x")) is None

    async def test_a_lease_that_is_not_renewed_expires(self, driver: Driver, store: Store) -> None:
        short, long = await store.grant_lease(2), await store.grant_lease(600)
        await put(store, "short", lease=short)
        await put(store, "long", lease=long)
        await store.renew_lease(short)

        async def expired() -> bool:
            return await store.get(a("short")) is None

        assert not await expired()
        await eventually(driver, expired)
        assert await store.get(a("long")) is not None

    # -- opening and closing

    async def test_everything_acknowledged_survives_a_restart(self, driver: Driver, store: Store) -> None:
        if not driver.durable:
            pytest.skip("this driver is not durable")
        lease = await store.grant_lease(600)
        first = await put(store, "x", b"1")
        await put(store, "x", b"2")
        await put(store, "leased", lease=lease)
        last = await delete(store, "x")
        before = await store.range(ROOT)
        await store.close()
        again = driver.open()
        await again.start()
        try:
            assert await again.revision() == last
            assert await again.range(ROOT) == before
            async with aclosing(again.watch(ROOT, start_revision=first)) as watch:
                expected = [("put", "x", first), ("put", "x", first + 1), ("put", "leased", last - 1)]
                assert summary(await take(watch, 4)) == [*expected, ("delete", "x", last)]
            await again.revoke_lease(lease)
            assert (await again.range(ROOT)).items == []
            assert await again.revision() == last + 1
        finally:
            await again.close()

    async def test_a_closed_store_refuses_work_and_ends_its_watches(self, driver: Driver) -> None:
        store = driver.open()
        await store.start()
        start = await put(store, "x")
        watch = store.watch(ROOT, start_revision=start)
        await take(watch, 1)
        waiting = asyncio.ensure_future(take(watch, 1))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable):
            await put(store, "x")
        with pytest.raises(StoreUnavailable):
            await store.revision()
