"""Informers: what they hold is always some state of the server, and handlers hear of every difference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.component import APIServer
from steersman.client.api import Client, encode
from steersman.client.informer import Change, Informer, Informers
from steersman.client.inprocess import InProcessTransport
from steersman.meta import objects
from steersman.meta.errors import APIError, BadRequest, Expired, InternalError
from steersman.meta.resources import CONFIGMAPS, SECRETS
from steersman.meta.wire import Request, Response
from tests.apiserver.builders import config_map
from tests.client.lossy import LossyTransport


@pytest.fixture
def line(server: APIServer) -> LossyTransport:
    return LossyTransport(InProcessTransport(server.handle))


class Watched:
    """An informer with the changes it told."""

    def __init__(self, line: LossyTransport, clock: FakeClock) -> None:
        self.informer = Informer(
            Client(line),
            CONFIGMAPS,
            clock=clock,
            namespace="default",
            indexers={"value": lambda obj: [obj["data"]["key"]]},
        )
        self.heard: list[tuple[str, str]] = []
        self.informer.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        self.heard.append((change.type, objects.name(change.object)))

    @property
    def names(self) -> list[str]:
        return sorted(objects.name(obj) for obj in self.informer.list())


@pytest.fixture
async def watched(line: LossyTransport, clock: FakeClock) -> AsyncIterator[Watched]:
    watched = Watched(line, clock)
    async with TaskGroup("test") as group:
        group.spawn(watched.informer.run(), name="informer")
        yield watched


def answering(
    matches: Callable[[Request], bool], response: Callable[[], Response]
) -> Callable[[Request], Response | None]:
    return lambda request: response() if matches(request) else None


def failure(error: Expired | BadRequest) -> Response:
    return Response(status=error.code, content=error.status())


def is_watch(request: Request) -> bool:
    return request.query.get("watch") == ["true"]


async def until(clock: FakeClock, holds: Callable[[], bool]) -> None:
    for _ in range(200):
        await clock.settle()
        if holds():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not come to hold")


async def test_what_is_there_and_what_changes(watched: Watched, client: Client, clock: FakeClock) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    await until(clock, lambda: watched.informer.synced and watched.names == ["a"])
    created = await client.create(CONFIGMAPS, config_map("b"))
    await client.update(CONFIGMAPS, {**created, "data": {"key": "other"}})
    await client.delete(CONFIGMAPS, "a", namespace="default")
    await until(clock, lambda: watched.names == ["b"])
    assert watched.heard == [("added", "a"), ("added", "b"), ("updated", "b"), ("deleted", "a")]
    assert [objects.name(obj) for obj in watched.informer.by_index("value", "other")] == ["b"]
    assert watched.informer.by_index("value", "value") == []
    found = watched.informer.get("default/b")
    assert found is not None
    assert found["kind"] == "ConfigMap"


async def test_late_subscribers_and_indexes_see_what_is_cached(
    watched: Watched, client: Client, clock: FakeClock
) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    await until(clock, lambda: watched.names == ["a"])
    heard: list[str] = []
    watched.informer.subscribe(lambda change: heard.append(change.type))
    watched.informer.add_indexer("initial", lambda obj: [objects.name(obj)[0]])
    assert heard == ["added"]
    assert len(watched.informer.by_index("initial", "a")) == 1


async def test_changes_missed_while_the_line_was_cut_are_told_as_differences(
    line: LossyTransport, client: Client, clock: FakeClock
) -> None:
    for name in ("stays", "goes", "changes"):
        await client.create(CONFIGMAPS, config_map(name))
    watched = Watched(line, clock)
    run = asyncio.ensure_future(watched.informer.run())
    await until(clock, lambda: len(watched.names) == 3)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    watched.heard.clear()
    await client.delete(CONFIGMAPS, "goes", namespace="default")
    await client.create(CONFIGMAPS, config_map("comes"))
    await client.patch(CONFIGMAPS, "changes", {"data": {"key": "x"}}, namespace="default")
    expired = 0

    def too_old(request: Request) -> Response | None:
        nonlocal expired
        if is_watch(request) and request.query.get("resourceVersion") and not expired:
            expired += 1
            return failure(Expired("too old resource version"))
        return None

    line.intercept = too_old
    run = asyncio.ensure_future(watched.informer.run())
    await clock.advance(1)
    await until(clock, lambda: "comes" in watched.names)
    assert expired == 1
    assert watched.names == ["changes", "comes", "stays"]
    assert sorted(watched.heard) == [("added", "comes"), ("deleted", "goes"), ("updated", "changes")]
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


def failing_stream(error: APIError) -> Response:
    """200, and then an event that says what is wrong, as kube-apiserver does on an etcd without progress requests."""

    async def lines() -> AsyncIterator[bytes]:
        yield encode({"type": "ERROR", "object": error.status()}) + b"\n"

    return Response(stream=lines())


@pytest.mark.parametrize(
    "answer",
    [
        lambda: failure(BadRequest("sendInitialEvents is forbidden")),
        lambda: failing_stream(InternalError("the required storage feature RequestWatchProgress is disabled")),
    ],
    ids=["refused", "ended"],
)
async def test_a_server_without_streaming_lists_is_listed(
    line: LossyTransport, client: Client, clock: FakeClock, answer: Callable[[], Response]
) -> None:
    for number in range(3):
        await client.create(CONFIGMAPS, config_map(f"a{number}"))
    line.intercept = answering(lambda request: "sendInitialEvents" in request.query, answer)
    watched = Watched(line, clock)
    async with TaskGroup("test") as group:
        group.spawn(watched.informer.run(), name="informer")
        await until(clock, lambda: watched.informer.synced)
        assert watched.names == ["a0", "a1", "a2"]
        assert watched.informer.list()[0]["kind"] == "ConfigMap"
        await client.create(CONFIGMAPS, config_map("b"))
        await until(clock, lambda: "b" in watched.names)


async def test_a_server_that_is_away_is_asked_again_ever_less_often(line: LossyTransport, clock: FakeClock) -> None:
    line.broken = True
    watched = Watched(line, clock)
    async with TaskGroup("test") as group:
        group.spawn(watched.informer.run(), name="informer")
        await clock.advance(60)
        assert 5 <= len(line.requests) <= 10
        assert not watched.informer.synced
        line.broken = False
        await clock.advance(45)
        await until(clock, lambda: watched.informer.synced)


async def test_a_server_that_always_says_expired_is_not_asked_in_a_tight_loop(
    line: LossyTransport, clock: FakeClock
) -> None:
    line.intercept = answering(is_watch, lambda: failure(Expired("too old")))
    watched = Watched(line, clock)
    async with TaskGroup("test") as group:
        group.spawn(watched.informer.run(), name="informer")
        await clock.advance(10)
        assert len(line.requests) < 20


async def test_shared_informers_are_made_once_for_each_selection(client: Client, clock: FakeClock) -> None:
    shared = Informers(client, clock=clock)
    first = shared.of(CONFIGMAPS)
    assert shared.of(CONFIGMAPS) is first
    assert shared.of(CONFIGMAPS, namespace="default") is not first
    async with TaskGroup("test") as group:
        group.spawn(shared.run(), name="informers")
        await until(clock, lambda: shared.synced)
        late = shared.of(SECRETS)
        await until(clock, lambda: late.synced)
        shared.drop(CONFIGMAPS)
        assert shared.of(CONFIGMAPS) is not first


async def test_where_metadata_is_enough_nothing_else_is_kept(client: Client, clock: FakeClock) -> None:
    await client.create(CONFIGMAPS, {**config_map("a"), "data": {"large": "x" * 1000}})
    shared = Informers(client, clock=clock)
    sparse = shared.of(CONFIGMAPS, namespace="default", metadata_only=True)
    assert shared.of(CONFIGMAPS, namespace="default", metadata_only=True) is sparse
    whole = shared.of(CONFIGMAPS, namespace="default")
    assert whole is not sparse
    assert shared.of(CONFIGMAPS, namespace="default", metadata_only=True) is whole
    async with TaskGroup("test") as group:
        group.spawn(shared.run(), name="informers")
        await until(clock, lambda: shared.synced)
        (found,) = sparse.list()
        assert "data" not in found
        assert found["metadata"]["uid"]
        assert "data" in whole.list()[0]
        await client.create(CONFIGMAPS, config_map("b"))
        await until(clock, lambda: len(sparse) == 2)
