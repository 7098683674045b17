"""Watching collections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.client.api import Client, WatchEvent
from steersman.meta.errors import Expired, Invalid
from steersman.meta.objects import with_metadata
from steersman.meta.resources import CONFIGMAPS
from tests.apiserver.builders import config_map


async def _take(events: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    found = []
    async with asyncio.timeout(5):
        async for event in events:
            found.append((event.type, event.object["metadata"].get("name", "")))
            if len(found) == count:
                break
    return found


async def test_changes_come_in_order(client: Client) -> None:
    start = (await client.list(CONFIGMAPS)).resource_version
    async with aclosing(client.watch(CONFIGMAPS, resource_version=start)) as events:
        created = await client.create(CONFIGMAPS, config_map())
        await client.update(CONFIGMAPS, {**created, "data": {"a": "b"}})
        await client.delete(CONFIGMAPS, "a", namespace="default")
        assert await _take(events, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_watch_resumes_after_its_version(client: Client) -> None:
    first = await client.create(CONFIGMAPS, config_map("a"))
    await client.create(CONFIGMAPS, config_map("b"))
    version = first["metadata"]["resourceVersion"]
    async with aclosing(client.watch(CONFIGMAPS, resource_version=version)) as events:
        assert await _take(events, 1) == [("ADDED", "b")]


async def test_without_a_version_what_exists_comes_first(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    async with aclosing(client.watch(CONFIGMAPS, namespace="default")) as events:
        await client.create(CONFIGMAPS, config_map("b"))
        assert await _take(events, 2) == [("ADDED", "a"), ("ADDED", "b")]


async def test_streaming_lists_end_with_a_bookmark(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    async with aclosing(client.watch(CONFIGMAPS, namespace="default", send_initial_events=True)) as events:
        first = await anext(events)
        bookmark = await anext(events)
        assert (first.type, bookmark.type) == ("ADDED", "BOOKMARK")
        assert bookmark.object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        listed = await client.list(CONFIGMAPS)
        assert bookmark.object["metadata"]["resourceVersion"] == listed.resource_version


async def test_objects_enter_and_leave_a_selection(client: Client) -> None:
    start = (await client.list(CONFIGMAPS)).resource_version
    watch = client.watch(CONFIGMAPS, resource_version=start, label_selector="in=yes")
    async with aclosing(watch) as events:
        created = await client.create(CONFIGMAPS, config_map())
        inside = await client.update(CONFIGMAPS, with_metadata(created, labels={"in": "yes"}))
        changed = await client.update(CONFIGMAPS, {**inside, "data": {"x": "y"}})
        outside = await client.update(CONFIGMAPS, with_metadata(changed, labels={"in": "no"}))
        await client.delete(CONFIGMAPS, "a", namespace="default")
        added, modified, deleted = [await anext(events) for _ in range(3)]
        assert (added.type, modified.type, deleted.type) == ("ADDED", "MODIFIED", "DELETED")
        assert deleted.object["metadata"]["labels"] == {"in": "yes"}
        assert deleted.object["metadata"]["resourceVersion"] == outside["metadata"]["resourceVersion"]


async def test_one_object_is_watched_by_name(client: Client) -> None:
    start = (await client.list(CONFIGMAPS)).resource_version
    watch = client.watch(CONFIGMAPS, namespace="default", resource_version=start, field_selector="metadata.name=b")
    async with aclosing(watch) as events:
        for name in ("a", "b", "bc"):
            await client.create(CONFIGMAPS, config_map(name))
        await client.delete(CONFIGMAPS, "b", namespace="default")
        assert await _take(events, 2) == [("ADDED", "b"), ("DELETED", "b")]


async def test_a_version_that_is_gone_is_told_as_an_event(client: Client, server: APIServer) -> None:
    await client.create(CONFIGMAPS, config_map())
    await client.delete(CONFIGMAPS, "a", namespace="default")
    await server._store.compact(server.objects.revision)
    server.objects._cache.window.reset(server.objects.revision)
    with pytest.raises(Expired, match="too old resource version"):
        await _take(client.watch(CONFIGMAPS, resource_version="1"), 1)


async def test_bookmarks_come_while_nothing_happens(client: Client, clock: FakeClock) -> None:
    start = (await client.list(CONFIGMAPS)).resource_version
    async with aclosing(client.watch(CONFIGMAPS, namespace="default", resource_version=start)) as events:
        waiting = asyncio.ensure_future(anext(events))
        await clock.settle()
        await client.create(CONFIGMAPS, config_map("x", namespace="kube-public"))
        await clock.advance(61)
        bookmark: Any = await asyncio.wait_for(waiting, 5)
        assert bookmark.type == "BOOKMARK"
        assert int(bookmark.object["metadata"]["resourceVersion"]) > int(start)


async def test_a_watch_ends_at_its_timeout(client: Client, clock: FakeClock) -> None:
    start = (await client.list(CONFIGMAPS)).resource_version
    events = client.watch(CONFIGMAPS, resource_version=start, timeout_s=5)
    waiting = asyncio.ensure_future(_take(events, 1))
    await clock.settle()
    await clock.advance(7)
    assert await asyncio.wait_for(waiting, 5) == []


async def test_initial_events_need_their_match(client: Client) -> None:
    answer = await client.request("GET", "/api/v1/configmaps", query={"watch": "1", "sendInitialEvents": "true"})
    assert answer.status == Invalid.code
    assert "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan" in answer.content["message"]


async def test_tables_name_their_columns_once(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    await client.create(CONFIGMAPS, config_map("b"))
    answer = await client.request(
        "GET",
        "/api/v1/namespaces/default/configmaps",
        query={"watch": "1"},
        headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
    )
    assert answer.watch is not None
    first, second = await anext(answer.watch)
    assert first.object["kind"] == second.object["kind"] == "Table"
    assert first.object["columnDefinitions"]
    assert second.object["columnDefinitions"] is None
    await answer.watch.aclose()  # type: ignore[attr-defined]
