"""The client: what its verbs make of answers and of the lines of a watch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest

from steersman.client.api import Client, WatchEvent
from steersman.client.transport import Unreachable
from steersman.meta.errors import AlreadyExists, Expired
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, PODS
from steersman.meta.wire import Request, Response

POD: Object = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "a", "managedFields": [{"manager": "me"}], "labels": {"managedFields": "kept"}},
    "spec": {"managedFields": 1},
}
EXPIRED: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
                   "reason": "Expired", "message": "too old"}  # fmt: skip


class Canned:
    """A transport that answers each watch with these bytes, in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def send(self, request: Request) -> Response:
        return Response(status=201, body=b"no JSON at all")

    async def open(self, request: Request) -> Response:
        return Response(status=200, stream=self._stream())

    async def close(self) -> None: ...

    async def _stream(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def line(type: str, obj: Object) -> bytes:
    return msgspec.json.encode({"type": type, "object": obj}) + b"\n"


async def watched(*pieces: bytes, slim: bool) -> list[WatchEvent]:
    async with aclosing(Client(Canned(*pieces)).watch(PODS, slim=slim)) as events:
        return [event async for event in events]


@pytest.mark.parametrize("slim", [False, True])
async def test_a_watch_that_is_slim_leaves_out_managed_fields_and_nothing_else(slim: bool) -> None:
    (event,) = await watched(line("ADDED", POD), slim=slim)
    metadata = {name: value for name, value in POD["metadata"].items() if not slim or name != "managedFields"}
    assert event == WatchEvent(type="ADDED", object={**POD, "metadata": metadata})
    assert list(event.object) == list(POD), "the order of the fields is the server's"


@pytest.mark.parametrize("slim", [False, True])
async def test_lines_may_be_cut_anywhere_and_blank_ones_do_not_count(slim: bool) -> None:
    whole = line("ADDED", POD) + b"\n" + line("DELETED", POD)
    pieces = [whole[start : start + 7] for start in range(0, len(whole), 7)]
    assert [event.type for event in await watched(*pieces, slim=slim)] == ["ADDED", "DELETED"]


@pytest.mark.parametrize("slim", [False, True])
async def test_an_error_in_a_watch_is_raised_and_garbage_is_a_broken_connection(slim: bool) -> None:
    with pytest.raises(Expired):
        await watched(line("ERROR", EXPIRED), slim=slim)
    with pytest.raises(Unreachable):
        await watched(b'{"type": "ADDED", "obj\n', slim=slim)


async def test_what_is_submitted_is_created_and_failures_are_told_but_the_answer_is_not_read(client: Client) -> None:
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
    await client.submit(CONFIGMAPS, wanted)
    assert (await client.get(CONFIGMAPS, "a", namespace="default"))["metadata"]["uid"]
    with pytest.raises(AlreadyExists):
        await client.submit(CONFIGMAPS, wanted)
    await Client(Canned()).submit(CONFIGMAPS, wanted)
