"""The ObjectStore on a memory store: writes, consistent and past reads, watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from steersman.aio.broadcast import Overrun
from steersman.aio.clock import FakeClock
from steersman.meta.objects import Object
from steersman.store.api import CompactedError, Compare, FutureRevisionError, Put
from steersman.store.drivers.memory import MemoryStore
from steersman.store.events import EventWindow
from steersman.store.objects import KeyExists, Modified, ObjectStore
from steersman.store.subscriptions import Subscription

PODS = "/registry/pods/"


def pod(name: str, namespace: str = "default", **labels: str) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"containers": [{"name": "c"}]}}


def key(name: str, namespace: str = "default") -> str:
    return f"{PODS}{namespace}/{name}"


async def read(subscription: Subscription, count: int) -> list[tuple[str, str, int]]:
    """The next ``count`` changes as (type, key, revision)."""
    seen: list[tuple[str, str, int]] = []
    while len(seen) < count:
        events = await asyncio.wait_for(anext(subscription), 5)
        seen += [(event.type, event.key, event.revision) for event in events]
    return seen


@pytest_asyncio.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore(FakeClock())
    await store.start()
    yield store
    await store.close()


@pytest_asyncio.fixture
async def objects(store: MemoryStore) -> AsyncIterator[ObjectStore]:
    objects = ObjectStore(store, clock=FakeClock())
    await objects.start()
    yield objects
    await objects.close()


async def test_what_is_created_can_be_read_with_its_revision(objects: ObjectStore) -> None:
    created = await objects.create(key("a"), pod("a"))
    assert created.obj["metadata"]["resourceVersion"] == str(created.revision)
    assert b'"resourceVersion":"%d"' % created.revision in created.json
    assert await objects.get(key("a")) is created


async def test_creating_twice_fails_with_what_exists(objects: ObjectStore) -> None:
    created = await objects.create(key("a"), pod("a"))
    with pytest.raises(KeyExists) as failure:
        await objects.create(key("a"), pod("a", app="b"))
    assert failure.value.current is created


async def test_an_update_needs_the_present_revision(objects: ObjectStore) -> None:
    first = await objects.create(key("a"), pod("a"))
    second = await objects.update(key("a"), {**first.obj, "status": {}}, expected_revision=first.revision)
    assert second.revision == first.revision + 1
    with pytest.raises(Modified) as failure:
        await objects.update(key("a"), first.obj | {"status": {"phase": "x"}}, expected_revision=first.revision)
    assert failure.value.current is second


async def test_an_update_that_changes_nothing_writes_nothing(objects: ObjectStore) -> None:
    first = await objects.create(key("a"), pod("a"))
    assert await objects.update(key("a"), first.obj, expected_revision=first.revision) is first
    assert objects.revision == first.revision


async def test_a_deletion_gives_the_object_with_the_deletions_revision(objects: ObjectStore) -> None:
    created = await objects.create(key("a"), pod("a"))
    with pytest.raises(Modified):
        await objects.delete(key("a"), expected_revision=created.revision + 7)
    deleted = await objects.delete(key("a"), expected_revision=created.revision)
    assert deleted.revision == created.revision + 1
    assert deleted.obj["metadata"]["resourceVersion"] == str(deleted.revision)
    assert deleted.json.count(b"resourceVersion") == 1
    assert await objects.get(key("a")) is None
    with pytest.raises(Modified) as failure:
        await objects.delete(key("a"))
    assert failure.value.current is None


async def test_lists_are_in_order_limited_and_continued_at_their_revision(objects: ObjectStore) -> None:
    for name in ("c", "a", "b"):
        await objects.create(key(name), pod(name))
    await objects.create(key("x", "other"), pod("x", "other"))
    page = await objects.list(PODS + "default/", limit=2)
    assert [item.key for item in page.items] == [key("a"), key("b")]
    assert page.remaining == 1
    await objects.delete(key("c"))
    await objects.delete(key("a"))
    await objects.create(key("d"), pod("d"))
    rest = await objects.list(PODS + "default/", start=key("b") + "\0", revision=page.revision)
    assert [item.key for item in rest.items] == [key("c")]
    assert rest.revision == page.revision
    assert [item.key for item in (await objects.list(PODS)).items] == [key("b"), key("d"), key("x", "other")]


async def test_past_lists_come_from_the_store_once_the_window_has_moved_on(objects: ObjectStore) -> None:
    objects._cache.window = EventWindow(max_events=2)
    created = [await objects.create(key(str(i)), pod(str(i))) for i in range(6)]
    past = await objects.list(PODS, revision=created[1].revision)
    assert [item.key for item in past.items] == [key("0"), key("1")]
    assert past.items[0] is created[0]


async def test_reads_at_compacted_and_future_revisions_fail(objects: ObjectStore, store: MemoryStore) -> None:
    objects._cache.window = EventWindow(max_events=1)
    first = await objects.create(key("a"), pod("a"))
    for status in range(3):
        first = await objects.update(key("a"), pod("a") | {"status": status}, expected_revision=first.revision)
    await store.compact(first.revision)
    with pytest.raises(CompactedError):
        await objects.list(PODS, revision=2)
    with pytest.raises(CompactedError):
        await objects.get(key("a"), revision=2)
    with pytest.raises(FutureRevisionError):
        await objects.list(PODS, revision=100)


async def test_a_watch_from_a_lists_revision_sees_exactly_what_follows(objects: ObjectStore) -> None:
    first = await objects.create(key("a"), pod("a"))
    listed = await objects.list(PODS)
    await objects.create("/registry/secrets/default/s", pod("s"))
    second = await objects.update(key("a"), pod("a", app="x"), expected_revision=first.revision)
    subscription = objects.watch(PODS, start_revision=listed.revision)
    deleted = await objects.delete(key("a"))
    assert await read(subscription, 2) == [
        ("MODIFIED", key("a"), second.revision),
        ("DELETED", key("a"), deleted.revision),
    ]
    await objects.create("/registry/secrets/default/t", pod("t"))
    assert subscription.progress() == objects.revision
    subscription.close()


async def test_a_watch_older_than_the_window_reads_the_stores_history(objects: ObjectStore) -> None:
    objects._cache.window = EventWindow(max_events=2)
    created = [await objects.create(key(str(i)), pod(str(i))) for i in range(10)]
    subscription = objects.watch(PODS, start_revision=created[0].revision)
    assert await read(subscription, 9) == [("ADDED", stored.key, stored.revision) for stored in created[1:]]
    last = await objects.create(key("last"), pod("last"))
    assert await read(subscription, 1) == [("ADDED", last.key, last.revision)]


async def test_a_watch_older_than_the_compaction_fails(objects: ObjectStore, store: MemoryStore) -> None:
    objects._cache.window = EventWindow(max_events=1)
    for i in range(10):
        await objects.create(key(str(i)), pod(str(i)))
    await store.compact(8)
    with pytest.raises(CompactedError):
        await anext(objects.watch(PODS, start_revision=3))


async def test_a_reader_that_does_not_keep_up_is_cut(objects: ObjectStore) -> None:
    subscription = objects.watch(PODS, start_revision=None, buffer=2)
    for i in range(3):
        await objects.create(key(str(i)), pod(str(i)))
    with pytest.raises(Overrun):
        await anext(subscription)


async def test_a_watch_of_one_folder_does_not_see_its_neighbours(objects: ObjectStore) -> None:
    subscription = objects.watch(PODS + "default/", start_revision=None)
    one = objects.watch(key("b"), start_revision=None)
    await objects.create(key("a", "default2"), pod("a", "default2"))
    await objects.create(key("a"), pod("a"))
    await objects.create(key("b"), pod("b"))
    assert [seen[1] for seen in await read(subscription, 2)] == [key("a"), key("b")]
    assert [seen[1] for seen in await read(one, 1)] == [key("b")]


async def test_watches_resume_across_a_restart_of_the_object_store(objects: ObjectStore, store: MemoryStore) -> None:
    created = [await objects.create(key(str(i)), pod(str(i))) for i in range(5)]
    await store.compact(created[1].revision)
    deleted = await objects.delete(key("0"))
    restarted = ObjectStore(store, clock=FakeClock())
    await restarted.start()
    subscription = restarted.watch(PODS, start_revision=created[3].revision)
    expected = [("ADDED", key("4"), created[4].revision), ("DELETED", key("0"), deleted.revision)]
    assert await read(subscription, 2) == expected
    await restarted.close()


async def test_what_others_write_into_the_store_appears(objects: ObjectStore, store: MemoryStore) -> None:
    subscription = objects.watch(PODS, start_revision=None)
    value = b'{"apiVersion":"v1","spec":{"metadata":{}},"metadata":{"name":"a","resourceVersion":"77"},"kind":"Pod"}'
    await store.transact([Compare(key=key("a"), mod_revision=0)], [Put(key=key("a"), value=value)])
    found = await objects.get(key("a"))
    assert found is not None
    assert found.obj == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "a", "resourceVersion": "2"},
        "spec": {"metadata": {}},
    }
    assert await read(subscription, 1) == [("ADDED", key("a"), 2)]


async def test_what_is_no_object_is_left_out(objects: ObjectStore, store: MemoryStore) -> None:
    await store.transact([], [Put(key=key("a"), value=b"k8s\0protobuf")])
    assert await objects.get(key("a")) is None
    assert (await objects.list(PODS)).items == []
