"""Reading collections: pages, selectors, versions."""

from __future__ import annotations

import base64
import json

import pytest

from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.meta.errors import BadRequest, Expired, Invalid, Timeout
from steersman.meta.resources import CONFIGMAPS, PODS
from tests.apiserver.builders import config_map, pod


async def _create(client: Client, *names: str) -> None:
    for name in names:
        await client.create(CONFIGMAPS, config_map(name, labels={"name": name}))


def _names(items: object) -> list[str]:
    return [item["metadata"]["name"] for item in items]  # type: ignore[attr-defined]


async def test_pages_are_of_one_state(client: Client) -> None:
    await _create(client, "a", "b", "c", "d")
    first = await client.list(CONFIGMAPS, namespace="default", limit=2)
    assert (_names(first.items), first.remaining) == (["a", "b"], 2)
    await client.delete(CONFIGMAPS, "c", namespace="default")
    await _create(client, "e")
    second = await client.list(CONFIGMAPS, namespace="default", limit=2, continue_token=first.continue_token)
    assert (_names(second.items), second.continue_token) == (["c", "d"], "")
    assert second.resource_version == first.resource_version


async def test_a_limit_has_no_effect_on_what_any_version_answers(client: Client) -> None:
    await _create(client, "a", "b", "c")
    for match in ("", "NotOlderThan"):
        found = await client.list(
            CONFIGMAPS, namespace="default", limit=2, resource_version="0", resource_version_match=match
        )
        assert (_names(found.items), found.continue_token) == (["a", "b", "c"], "")
    newer = await client.list(
        CONFIGMAPS, namespace="default", limit=2, resource_version="1", resource_version_match="NotOlderThan"
    )
    assert _names(newer.items) == ["a", "b"]


async def test_a_compacted_continuation_offers_an_inconsistent_one(client: Client, server: APIServer) -> None:
    await _create(client, "a", "b", "c")
    first = await client.list(CONFIGMAPS, namespace="default", limit=1)
    await client.delete(CONFIGMAPS, "b", namespace="default")
    await _create(client, "d")
    token = json.loads(base64.urlsafe_b64decode(first.continue_token + "=="))
    token["rv"] = 1
    old = base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
    await server._store.compact(server.objects.revision)
    server.objects._cache.window.reset(server.objects.revision)
    answer = await client.request("GET", "/api/v1/namespaces/default/configmaps", query={"continue": old, "limit": "5"})
    assert (answer.status, answer.content["reason"]) == (410, "Expired")
    again = answer.content["metadata"]["continue"]
    rest = await client.list(CONFIGMAPS, namespace="default", continue_token=again)
    assert _names(rest.items) == ["c", "d"]


@pytest.mark.parametrize("token", ["x", "e30", "eyJ2IjoieCJ9"])
async def test_a_continuation_that_is_none_is_refused(client: Client, token: str) -> None:
    with pytest.raises(BadRequest, match="continue key is not valid"):
        await client.list(CONFIGMAPS, continue_token=token)


async def test_a_continuation_cannot_leave_its_collection(client: Client) -> None:
    raw = {"v": "meta.k8s.io/v1", "rv": 5, "start": "../secrets/default/a"}
    token = base64.urlsafe_b64encode(json.dumps(raw).encode()).decode().rstrip("=")
    with pytest.raises(BadRequest, match="continue key is not valid"):
        await client.list(CONFIGMAPS, continue_token=token)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("name=a", ["a"]),
        ("name!=a", ["b", "c"]),
        ("name in (a,c)", ["a", "c"]),
        ("name notin (a,c)", ["b"]),
        ("!name", []),
        ("name", ["a", "b", "c"]),
    ],
)
async def test_label_selectors(client: Client, selector: str, expected: list[str]) -> None:
    await _create(client, "a", "b", "c")
    assert _names((await client.list(CONFIGMAPS, namespace="default", label_selector=selector)).items) == expected


async def test_selected_pages_know_no_remaining_count(client: Client) -> None:
    await _create(client, "a", "b", "c")
    page = await client.list(CONFIGMAPS, namespace="default", label_selector="name", limit=1)
    assert (_names(page.items), page.remaining) == (["a"], None)
    page = await client.list(
        CONFIGMAPS, namespace="default", label_selector="name", limit=5, continue_token=page.continue_token
    )
    assert _names(page.items) == ["b", "c"]


async def test_field_selectors(client: Client) -> None:
    await client.create(PODS, pod("a", node="one"))
    await client.create(PODS, pod("b", node="two"))
    assert _names((await client.list(PODS, field_selector="spec.nodeName=one")).items) == ["a"]
    assert _names((await client.list(PODS, field_selector="spec.nodeName!=one")).items) == ["b"]
    assert _names((await client.list(PODS, field_selector="metadata.name=b", namespace="default")).items) == ["b"]
    with pytest.raises(BadRequest, match=r"field label not supported: spec\.foo"):
        await client.list(PODS, field_selector="spec.foo=1")


async def test_a_malformed_selector_is_refused(client: Client) -> None:
    with pytest.raises(BadRequest):
        await client.list(PODS, label_selector="a in (b")


async def test_versions(client: Client) -> None:
    await _create(client, "a")
    before = await client.list(CONFIGMAPS, namespace="default")
    await _create(client, "b")
    exact = await client.list(
        CONFIGMAPS, namespace="default", resource_version=before.resource_version, resource_version_match="Exact"
    )
    assert (_names(exact.items), exact.resource_version) == (["a"], before.resource_version)
    newer = await client.list(
        CONFIGMAPS, namespace="default", resource_version=before.resource_version, resource_version_match="NotOlderThan"
    )
    assert _names(newer.items) == ["a", "b"]
    with pytest.raises(Timeout, match="Too large resource version: 99999"):
        await client.list(CONFIGMAPS, resource_version="99999")


async def test_a_compacted_version_is_expired(client: Client, server: APIServer) -> None:
    await _create(client, "a", "b")
    await server._store.compact(server.objects.revision)
    server.objects._cache.window.reset(server.objects.revision)
    with pytest.raises(Expired, match="The resourceVersion for the provided list is too old"):
        await client.list(CONFIGMAPS, resource_version="2", resource_version_match="Exact")


async def test_a_match_needs_a_version(client: Client) -> None:
    with pytest.raises(Invalid, match="resourceVersionMatch is forbidden unless resourceVersion is provided"):
        await client.list(CONFIGMAPS, resource_version_match="Exact")


async def test_as_a_table(client: Client) -> None:
    await client.create(PODS, pod())
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = (await client.request("GET", "/api/v1/pods", headers={"accept": accept})).content
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]][:3] == ["Name", "Ready", "Status"]
    assert table["rows"][0]["cells"][0] == "a"
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_as_metadata_only(client: Client) -> None:
    await client.create(PODS, pod())
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    found = (await client.request("GET", "/api/v1/pods", headers={"accept": accept})).content
    assert found["kind"] == "PartialObjectMetadataList"
    assert set(found["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_what_nobody_can_produce_is_not_acceptable(client: Client) -> None:
    answer = await client.request("GET", "/api/v1/pods", headers={"accept": "text/xml"})
    assert (answer.status, answer.content["reason"]) == (406, "NotAcceptable")
