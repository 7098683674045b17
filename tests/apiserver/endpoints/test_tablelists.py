"""Large lists as Tables: sent in pieces, and word for word what a small one says."""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest

from steersman.apiserver.component import APIServer
from steersman.apiserver.tablelists import ROWS_AT_ONCE
from steersman.client.api import Client
from steersman.meta.resources import CONFIGMAPS, PODS
from steersman.meta.wire import Request
from tests.apiserver.builders import config_map, pod

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
COUNT = ROWS_AT_ONCE + 7
RUNNING = {
    "phase": "Running",
    "podIPs": [{"ip": "10.0.0.1"}],
    "conditions": [{"type": "Ready", "status": "True"}],
    "initContainerStatuses": [{"name": "init", "restartCount": 1, "state": {"terminated": {"exitCode": 0}}}],
    "containerStatuses": [
        {"name": "main", "ready": True, "restartCount": 2, "state": {"running": {}},
         "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2025-01-01T00:00:00Z"}}},
    ],
}  # fmt: skip
ENDED = {"phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 3}}}]}


async def sent(server: APIServer, path: str, accept: str = TABLE, **query: str) -> tuple[bytes, dict[str, str], int]:
    """(body, headers, pieces) as a client outside of this process gets them."""
    request = Request(
        method="GET", path=path, headers={"accept": accept, **({"accept-encoding": query.pop("encoding")} if "encoding" in query else {})},
        query={name: [value] for name, value in query.items()},
    )  # fmt: skip
    answer = await server.handle(request)
    assert answer.status == 200, answer.body
    if answer.stream is None:
        return answer.body, dict(answer.headers), 1
    pieces = [piece async for piece in answer.stream]
    return b"".join(pieces), dict(answer.headers), len(pieces)


@pytest.fixture
async def pods(client: Client) -> None:
    for number in range(COUNT):
        made = await client.create(PODS, pod(f"p{number:03}"))
        status = (RUNNING, ENDED, {})[number % 3]
        if status:
            await client.update(PODS, {**made, "status": {**made["status"], **status}}, subresource="status")


@pytest.mark.parametrize("include", ["None", "Metadata", "Object"])
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_streamed_table_says_what_one_that_is_not_says(
    client: Client, server: APIServer, pods: None, include: str, version: str
) -> None:
    accept, path = TABLE.replace("v1", version, 1), "/api/v1/pods"
    body, headers, pieces = await sent(server, path, accept, includeObject=include)
    whole = await client.request("GET", path, headers={"accept": accept}, query={"includeObject": include})
    assert pieces > 2
    assert headers["content-type"] == "application/json"
    assert msgspec.json.decode(body) == whole.content
    assert len(whole.content["rows"]) == COUNT


async def test_what_cells_show_does_not_depend_on_whether_the_object_is_decoded(server: APIServer, pods: None) -> None:
    prefix = "/registry/pods/"
    decoded, _, _ = await sent(server, "/api/v1/pods")
    window = server.objects._cache.decoded
    for stored in server.objects.cached_list(prefix).items:
        stored._obj = None
    window._recent.clear()
    fresh, _, _ = await sent(server, "/api/v1/pods")
    assert fresh == decoded
    assert all(stored.at_hand is None for stored in server.objects.cached_list(prefix).items), "none is kept for it"


async def test_pods_that_have_ended_are_marked(server: APIServer, pods: None) -> None:
    body, _, _ = await sent(server, "/api/v1/pods")
    conditions = [row.get("conditions") for row in msgspec.json.decode(body)["rows"][:3]]
    failed = {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}
    assert conditions == [None, [failed], None]


async def test_tables_of_other_kinds_are_streamed_too_and_compressed(client: Client, server: APIServer) -> None:
    for number in range(COUNT):
        await client.create(CONFIGMAPS, config_map(name=f"c{number}"))
    path = "/api/v1/namespaces/default/configmaps"
    body, headers, _ = await sent(server, path, encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    whole = await client.request("GET", path, headers={"accept": TABLE})
    assert msgspec.json.decode(gzip.decompress(body)) == whole.content


async def test_a_stored_object_of_an_odd_shape_is_shown_all_the_same(client: Client, server: APIServer) -> None:
    odd: dict[str, Any] = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "odd", "namespace": "default"},
        "spec": {"nodeName": 7},
    }
    await server.objects.create("/registry/pods/default/odd", odd)
    for number in range(COUNT):
        await client.create(PODS, pod(f"p{number:03}"))
    body, _, _ = await sent(server, "/api/v1/pods")
    assert msgspec.json.decode(body)["rows"][0]["cells"][6] == "7"
