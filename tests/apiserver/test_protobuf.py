"""Requests, responses and watches in protobuf, through the whole server."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from steersman.apiserver.component import APIServer
from steersman.apiserver.negotiation import Representation
from steersman.apiserver.protobuf import ITEMS_AT_ONCE
from steersman.apiserver.served import Served
from steersman.apiserver.watching import PlainFrames, ShapedFrames
from steersman.client.api import Client
from steersman.meta.errors import Expired
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, DEPLOYMENTS, PODS
from steersman.meta.wire import Peer, Request, Response, WatchFrame
from steersman.schema.groups import REGISTRY
from steersman.schema.openapi_protobuf import ACCEPTED_MEDIA_TYPES, MEDIA_TYPE
from steersman.schema.protobuf.decoding import decode
from steersman.schema.protobuf.envelope import decode_object, encode_object
from tests.apiserver.builders import config_map, deployment, pod

PROTOBUF = "application/vnd.kubernetes.protobuf"
BOTH = f"{PROTOBUF},application/json"
MAPS = "/api/v1/namespaces/default/configmaps"
ADMIN = Peer(user="admin", groups=("system:masters",))


async def send(
    server: APIServer, method: str, path: str, body: Object | bytes = b"", *, accept: str = BOTH, **query: str
) -> Response:
    data = body if isinstance(body, bytes) else encode_object(body)
    request = Request(
        method=method,
        path=path,
        query={name: [value] for name, value in query.items()},
        headers={"accept": accept, "content-type": PROTOBUF},
        body=data,
        peer=ADMIN,
    )
    return await server.handle(request)


async def body_of(response: Response) -> Object:
    assert response.headers["content-type"] == PROTOBUF
    body = response.body
    if response.stream is not None:
        body = b"".join([piece async for piece in response.stream])
    return decode_object(body)


async def test_an_object_is_created_and_returned(server: APIServer, client: Client) -> None:
    response = await send(server, "POST", MAPS, config_map())
    assert response.status == 201
    created = await body_of(response)
    assert created["data"] == {"key": "value"}
    assert created["metadata"]["resourceVersion"]
    stored = await client.get(CONFIGMAPS, "a", namespace="default")
    assert stored["data"] == {"key": "value"}
    assert stored["metadata"]["uid"] == created["metadata"]["uid"]


async def test_both_forms_of_a_request_store_the_same(server: APIServer, client: Client) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    assert (await send(server, "POST", path, deployment("a", replicas=0))).status == 201
    await client.create(DEPLOYMENTS, deployment("b", replicas=0))
    a, b = [await client.get(DEPLOYMENTS, name, namespace="default") for name in "ab"]
    assert a["spec"]["replicas"] == 0
    b["spec"]["selector"], b["spec"]["template"]["metadata"] = a["spec"]["selector"], a["spec"]["template"]["metadata"]
    assert a["spec"] == b["spec"]


async def test_get_and_update(server: APIServer, client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    found = await body_of(await send(server, "GET", f"{MAPS}/a"))
    response = await send(server, "PUT", f"{MAPS}/a", {**found, "data": {"key": "other"}})
    assert (await body_of(response))["data"] == {"key": "other"}
    again = await body_of(await send(server, "GET", f"{MAPS}/a"))
    assert again["data"] == {"key": "other"}


async def test_json_is_sent_where_the_client_prefers_it(server: APIServer) -> None:
    response = await send(server, "POST", MAPS, config_map(), accept=f"application/json,{PROTOBUF}")
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("count", [0, 2, ITEMS_AT_ONCE + 3])
async def test_lists(server: APIServer, client: Client, count: int) -> None:
    names = [f"m{number:03}" for number in range(count)]
    for name in names:
        await client.create(CONFIGMAPS, config_map(name))
    found = await body_of(await send(server, "GET", MAPS))
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMapList")
    assert [item["metadata"]["name"] for item in found.get("items", ())] == names
    assert found["metadata"]["resourceVersion"] == (await client.list(CONFIGMAPS)).resource_version


async def test_every_kind_is_listed(server: APIServer) -> None:
    for kind in REGISTRY:
        resource = kind.resource
        if "list" not in kind.verbs:
            continue
        root = f"/apis/{resource.group}" if resource.group else "/api"
        found = await body_of(await send(server, "GET", f"{root}/{resource.version}/{resource.plural}"))
        assert (found["apiVersion"], found["kind"]) == (resource.api_version, f"{resource.kind}List")


async def test_a_kind_that_is_stored_as_another_is_converted(server: APIServer, client: Client) -> None:
    event = {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
        "eventTime": "2026-01-02T03:04:05.000006Z", "reportingController": "example.com/c", "reportingInstance": "i",
        "action": "Act", "reason": "Because", "type": "Normal", "note": "words",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
    }  # fmt: skip
    path = "/namespaces/default/events"
    created = await body_of(await send(server, "POST", f"/apis/events.k8s.io/v1{path}", event))
    assert (created["note"], created["eventTime"]) == ("words", "2026-01-02T03:04:05.000006Z")
    (core,) = (await body_of(await send(server, "GET", f"/api/v1{path}")))["items"]
    assert (core["message"], core["involvedObject"]["name"]) == ("words", "p")
    (listed,) = (await body_of(await send(server, "GET", f"/apis/events.k8s.io/v1{path}")))["items"]
    assert listed == {key: value for key, value in created.items() if key not in ("apiVersion", "kind")}


async def test_pages(server: APIServer, client: Client) -> None:
    for name in "abc":
        await client.create(CONFIGMAPS, config_map(name))
    first = await body_of(await send(server, "GET", MAPS, limit="2"))
    assert first["metadata"]["remainingItemCount"] == 1
    rest = await body_of(await send(server, "GET", MAPS, **{"continue": first["metadata"]["continue"]}))
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]


async def test_delete_options(server: APIServer, client: Client) -> None:
    created = await client.create(CONFIGMAPS, config_map())
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "other"}}
    refused = await body_of(await send(server, "DELETE", f"{MAPS}/a", options))
    assert (refused["kind"], refused["reason"], refused["code"]) == ("Status", "Conflict", 409)
    options["preconditions"] = {"uid": created["metadata"]["uid"]}
    done = await body_of(await send(server, "DELETE", f"{MAPS}/a", options))
    assert (done["kind"], done["status"]) == ("Status", "Success")


async def test_subresources(server: APIServer, client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment(replicas=2))
    path = "/apis/apps/v1/namespaces/default/deployments/a/scale"
    scale = await body_of(await send(server, "GET", path))
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    scaled = await body_of(await send(server, "PUT", path, {**scale, "spec": {}}))
    assert scaled["spec"] == {}
    assert (await client.get(DEPLOYMENTS, "a", namespace="default"))["spec"]["replicas"] == 0
    await client.create(PODS, pod("p"))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "default"}}
    evicted = await body_of(await send(server, "POST", "/api/v1/namespaces/default/pods/p/eviction", eviction))
    assert evicted["status"] == "Success"


async def test_reviews(server: APIServer) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    response = await send(server, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    assert (await body_of(response))["status"]["allowed"] is True


async def test_failures_come_in_the_form_that_is_asked_for(server: APIServer) -> None:
    response = await send(server, "GET", f"{MAPS}/missing")
    status = await body_of(response)
    assert (response.status, status["code"]) == (404, 404)
    assert status["details"] == {"name": "missing", "kind": "configmaps"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be"),
        (b"k8s\x00\xff", "the object provided is unrecognized (must be of type ConfigMap): unexpected EOF"),
        (
            b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x02\x0a\x09",
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: unexpected EOF',
        ),
        (b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Foo", 'no kind "Foo" is registered for version "v1"'),
    ],
)
async def test_malformed_bodies_are_bad_requests(server: APIServer, body: bytes, message: str) -> None:
    response = await send(server, "POST", MAPS, body)
    assert response.status == 400
    assert message in (await body_of(response))["message"]


async def test_another_kind_is_a_bad_request(server: APIServer) -> None:
    response = await send(server, "POST", MAPS, pod())
    assert response.status == 400
    assert "cannot be handled as a ConfigMap" in (await body_of(response))["message"]


async def test_quantities_are_checked(server: APIServer) -> None:
    sent = pod()
    sent["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "much"}}
    response = await send(server, "POST", "/api/v1/namespaces/default/pods", sent)
    assert response.status == 400


async def test_a_table_has_no_protobuf_form(server: APIServer) -> None:
    table = "as=Table;v=v1;g=meta.k8s.io"
    response = await send(server, "GET", MAPS, accept=f"{PROTOBUF};{table}")
    assert response.status == 406
    response = await send(server, "GET", MAPS, accept=f"{PROTOBUF};{table},application/json;{table}")
    assert (response.status, response.headers["content-type"]) == (200, "application/json")


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_metadata_only(server: APIServer, client: Client, version: str) -> None:
    await client.create(CONFIGMAPS, config_map())
    shape = f"v={version};g=meta.k8s.io"
    found = await body_of(await send(server, "GET", MAPS, accept=f"{PROTOBUF};as=PartialObjectMetadataList;{shape}"))
    assert (found["kind"], found["apiVersion"]) == ("PartialObjectMetadataList", f"meta.k8s.io/{version}")
    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]
    one = await body_of(await send(server, "GET", f"{MAPS}/a", accept=f"{PROTOBUF};as=PartialObjectMetadata;{shape}"))
    assert one["metadata"]["name"] == "a"
    assert "data" not in one


@pytest.mark.parametrize("path", ["/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1"])
async def test_discovery(server: APIServer, path: str) -> None:
    assert (await body_of(await send(server, "GET", path)))["kind"].startswith("API")


def test_a_server_without_such_clients_does_not_load_it() -> None:
    program = "import sys, steersman.apiserver.component; print([n for n in sys.modules if 'schema.protobuf.' in n])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert run.stdout.strip() == "['steersman.schema.protobuf.tables']"


async def test_what_is_no_object_stays_json(server: APIServer) -> None:
    response = await send(server, "GET", "/version", accept="*/*")
    assert response.headers["content-type"] == "application/json"
    response = await send(server, "GET", "/version")
    assert response.headers["content-type"] == "application/json"


async def test_patches_are_no_protobuf(server: APIServer, client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    assert (await send(server, "PATCH", f"{MAPS}/a", config_map())).status == 415


@pytest.mark.parametrize("accept", ACCEPTED_MEDIA_TYPES)
async def test_openapi_is_sent_with_a_valid_media_type(server: APIServer, accept: str) -> None:
    response = await send(server, "GET", "/openapi/v2", accept=accept)
    assert response.headers["content-type"] == MEDIA_TYPE


async def frames_of(watch: AsyncIterator[list[WatchFrame]] | None, count: int) -> Sequence[tuple[str, Object]]:
    assert watch is not None
    found: list[tuple[str, Object]] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found += [parsed(frame.data) for frame in await anext(watch)]
    return found


def parsed(data: bytes) -> tuple[str, Any]:
    """One frame, as a client reads it."""
    (size,) = struct.unpack(">I", data[:4])
    assert size == len(data) - 4
    event = decode("meta.v1.WatchEvent", data[4:])
    return event["type"], event["object"]


async def test_watches(server: APIServer, client: Client) -> None:
    await client.create(CONFIGMAPS, config_map("old"))
    response = await send(server, "GET", MAPS, watch="1")
    assert response.headers["content-type"] == f"{PROTOBUF};stream=watch"
    created = await client.create(CONFIGMAPS, config_map())
    await client.update(CONFIGMAPS, {**created, "data": {"key": "other"}})
    await client.delete(CONFIGMAPS, "a", namespace="default")
    found = await frames_of(response.watch, 4)
    assert [(kind, obj["metadata"]["name"]) for kind, obj in found] == [
        ("ADDED", "old"), ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"),
    ]  # fmt: skip
    assert found[2][1]["data"] == {"key": "other"}
    assert found[0][1]["kind"] == "ConfigMap"


async def test_streaming_lists_end_with_a_bookmark(server: APIServer) -> None:
    response = await send(
        server, "GET", MAPS,
        watch="1", sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true",
    )  # fmt: skip
    ((kind, obj),) = await frames_of(response.watch, 1)
    assert (kind, obj["kind"]) == ("BOOKMARK", "ConfigMap")
    assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_watches_share_their_frames(server: APIServer, client: Client) -> None:
    shape = "as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    for accept in (BOTH, f"{PROTOBUF};{shape}"):
        watches = [(await send(server, "GET", MAPS, watch="1", accept=accept)).watch for _ in range(2)]
        created = await client.create(CONFIGMAPS, config_map())
        first, second = [(await anext(watch))[0] for watch in watches if watch is not None]
        assert first is second
        kind, obj = parsed(first.data)
        assert (kind, obj["metadata"]["uid"]) == ("ADDED", created["metadata"]["uid"])
        await client.delete(CONFIGMAPS, "a", namespace="default")


def test_a_watch_that_fails_ends_with_a_status() -> None:
    for form in (Representation(PROTOBUF), Representation(PROTOBUF, "PartialObjectMetadata")):
        served = Served(REGISTRY[0])
        makers = (PlainFrames(served, form, decoded=False), ShapedFrames(served, form, lambda obj, first: obj))
        for maker in makers:
            kind, obj = parsed(maker.failed(Expired("too old resource version: 1 (2)")).data)
            assert (kind, obj["kind"], obj["code"]) == ("ERROR", "Status", 410)
