"""A definition's life: accepted, served, changed, deleted with its instances."""

from __future__ import annotations

import random

import msgspec
import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import APIError, Forbidden, Invalid, NotFound
from steersman.meta.objects import Object, condition, is_true
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.conftest import CONFIG
from tests.apiserver.extensions.builders import SCHEMA, WIDGETS, definition, version, widget
from tests.apiserver.extensions.conftest import Define, Eventually

NAME = "widgets.example.com"


async def paths(client: Client, path: str) -> Object:
    found: Object = (await client.request("GET", path)).content
    return found


async def test_a_definition_is_served_before_it_is_called_established(client: Client, server: APIServer) -> None:
    watch = client.watch(CUSTOMRESOURCEDEFINITIONS)
    await client.create(CUSTOMRESOURCEDEFINITIONS, definition())
    async for event in watch:
        if is_true(event.object, "Established"):
            break
    assert (await client.create(WIDGETS, widget()))["spec"]["color"] == "green"


async def test_names_and_conditions_are_written(define: Define) -> None:
    found = await define(definition(shortNames=["w"], categories=["all"]))
    assert found["status"]["acceptedNames"] == {
        "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList",
        "shortNames": ["w"], "categories": ["all"],
    }  # fmt: skip
    assert [entry["type"] for entry in found["status"]["conditions"]] == ["NamesAccepted", "Established"]
    assert found["status"]["storedVersions"] == ["v1"]


async def test_discovery_lists_it(client: Client, define: Define) -> None:
    await define(definition(version(subresources={"status": {}}), shortNames=["w"], categories=["all"]))
    groups = await paths(client, "/apis")
    assert {"groupVersion": "example.com/v1", "version": "v1"} in [
        entry for group in groups["groups"] for entry in group["versions"]
    ]
    resources = (await paths(client, "/apis/example.com/v1"))["resources"]
    assert [entry["name"] for entry in resources] == ["widgets", "widgets/status"]
    assert (resources[0]["shortNames"], resources[0]["categories"]) == (["w"], ["all"])
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    aggregated = (await client.request("GET", "/apis", headers=accept)).content
    assert aggregated is None or "example.com" in {item["metadata"]["name"] for item in aggregated["items"]}


async def test_openapi_describes_it(client: Client, define: Define) -> None:
    await define(definition())
    v3 = await client.request("GET", "/openapi/v3/apis/example.com/v1")
    assert b'"com.example.v1.Widget"' in v3.body
    assert b'"com.example.v1.WidgetList"' in v3.body
    v2 = await client.request("GET", "/openapi/v2")
    assert b"/apis/example.com/v1/namespaces/{namespace}/widgets/{name}" in v2.body


async def test_a_changed_schema_changes_the_hash_by_which_its_document_is_cached(
    client: Client, define: Define, until: Eventually
) -> None:
    async def urls() -> dict[str, str]:
        index = msgspec.json.decode((await client.request("GET", "/openapi/v3")).body)["paths"]
        return {path: entry["serverRelativeURL"] for path, entry in index.items()}

    await define(definition())
    before = await urls()
    schema = msgspec.json.decode(msgspec.json.encode(SCHEMA))
    schema["properties"]["spec"]["properties"]["color"]["description"] = "of the paint"
    await define(definition(version(schema=schema)))

    async def is_changed() -> bool:
        return await urls() != before

    await until(is_changed)
    after = await urls()
    assert {path for path in before if before[path] != after[path]} == {"apis/example.com/v1"}
    path, _, digest = before["apis/example.com/v1"].partition("?hash=")
    moved = await client.request("GET", path, query={"hash": digest})
    assert (moved.status, moved.headers["location"]) == (301, after["apis/example.com/v1"])


async def test_a_name_that_is_taken_is_accepted_when_it_is_free(
    client: Client, define: Define, until: Eventually
) -> None:
    await define(definition())
    await client.create(CUSTOMRESOURCEDEFINITIONS, definition(plural="gadgets", singular="widget", kind="Gadget"))

    async def reason() -> str:
        found = await client.get(CUSTOMRESOURCEDEFINITIONS, "gadgets.example.com")
        return str((condition(found, "NamesAccepted") or {}).get("reason", ""))

    assert await until(reason) == "SingularConflict"
    await client.delete(CUSTOMRESOURCEDEFINITIONS, NAME)

    async def is_accepted() -> bool:
        return await reason() == "NoConflicts"

    await until(is_accepted)


async def test_a_changed_schema_is_that_of_the_next_write(client: Client, define: Define, until: Eventually) -> None:
    await define(definition())
    properties = {**SCHEMA["properties"]["spec"]["properties"], "shape": {"type": "string", "default": "round"}}
    schema = {**SCHEMA, "properties": {"spec": {**SCHEMA["properties"]["spec"], "properties": properties}}}
    await client.create(WIDGETS, widget())
    await define(definition(version(schema=schema)))

    async def has_default() -> bool:
        found = await client.get(WIDGETS, "a", namespace="default")
        return bool(found["spec"].get("shape") == "round")

    await until(has_default)
    assert [item["spec"]["shape"] for item in (await client.list(WIDGETS)).items] == ["round"]


async def test_a_watch_ends_when_its_definition_changes(client: Client, define: Define) -> None:
    await define(definition())
    watch = client.watch(WIDGETS)
    await client.create(WIDGETS, widget())
    assert (await anext(watch)).type == "ADDED"
    await define(definition(version(deprecated=True)))
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_instances_go_with_their_definition(
    client: Client, server: APIServer, define: Define, until: Eventually
) -> None:
    await define(definition())
    for name in ("a", "b"):
        await client.create(WIDGETS, widget(name))
    marked = await client.delete(CUSTOMRESOURCEDEFINITIONS, NAME)
    assert marked["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert is_true(marked, "Terminating")

    async def is_gone() -> bool:
        try:
            await client.get(CUSTOMRESOURCEDEFINITIONS, NAME)
        except NotFound:
            return True
        return False

    await until(is_gone)
    assert server.objects.cached_list("/registry/example.com/").items == []
    with pytest.raises(APIError) as error:
        await client.list(WIDGETS)
    assert error.value.http_code == 404


async def test_a_definition_waits_for_instances_with_finalizers(
    client: Client, define: Define, until: Eventually
) -> None:
    await define(definition())
    await client.create(WIDGETS, {**widget(), "metadata": {"name": "a", "namespace": "default", "finalizers": ["x/y"]}})
    await client.delete(CUSTOMRESOURCEDEFINITIONS, NAME)

    async def waits() -> bool:
        crd = await client.get(CUSTOMRESOURCEDEFINITIONS, NAME)
        return bool((condition(crd, "Terminating") or {})["reason"] == "InstanceDeletionInProgress")

    await until(waits)
    with pytest.raises(Forbidden) as error:
        await client.create(WIDGETS, widget("b"))
    assert error.value.message == (
        'widgets.example.com "b" is forbidden: create not allowed while custom resource definition is terminating'
    )
    listed = (await paths(client, "/apis/example.com/v1"))["resources"][0]
    assert listed["verbs"] == ["delete", "deletecollection", "get", "list", "watch"]
    await client.patch(WIDGETS, "a", {"metadata": {"finalizers": None}}, namespace="default")

    async def is_gone() -> bool:
        return (await client.request("GET", "/apis/example.com/v1")).status == 404

    await until(is_gone)


async def test_definitions_are_served_again_after_a_restart(clock: FakeClock) -> None:
    store = MemoryStore(clock=clock)
    for run in range(2):
        server = APIServer(store=store, clock=clock, config=CONFIG, rng=random.Random(run))
        await server.start()
        client = Client(InProcessTransport(server.handle))
        if not run:
            await client.create(CUSTOMRESOURCEDEFINITIONS, definition())
            await clock.settle()
        await client.create(WIDGETS, widget(f"of-run-{run}"))
        await server.close()


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (1, '.default: Invalid value: "integer":  in body must be of type object: "integer"'),
        ({"size": "x"}, '.default.size: Invalid value: "string": size in body must be of type integer: "string"'),
        ({"size": 1, "foo": 1}, '.default: Invalid value: {"size":1,"foo":1}: must not have unknown fields'),
    ],
)
async def test_a_default_that_the_schema_refuses_is_refused(client: Client, default: object, text: str) -> None:
    schema = {**SCHEMA, "properties": {"spec": {**SCHEMA["properties"]["spec"], "default": default}}}
    with pytest.raises(Invalid) as error:
        await client.create(CUSTOMRESOURCEDEFINITIONS, definition(version(schema=schema)))
    assert text in error.value.message


async def test_the_generation_counts_changes_of_the_spec_and_not_the_deletion(client: Client, define: Define) -> None:
    async def patched(patch: Object) -> int:
        found = await client.patch(CUSTOMRESOURCEDEFINITIONS, NAME, patch)
        return int(found["metadata"]["generation"])

    await define(definition())
    await client.create(
        WIDGETS, widget(metadata={"name": "a", "namespace": "default", "finalizers": ["example.com/x"]})
    )
    assert await patched({"metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}}}) == 1
    assert await patched({"spec": {"names": {"shortNames": ["w"]}}}) == 2
    await client.delete(CUSTOMRESOURCEDEFINITIONS, NAME)
    await client.delete(WIDGETS, "a", namespace="default")
    instance = await client.get(WIDGETS, "a", namespace="default")
    assert instance["metadata"]["generation"] == 2
    deleting = await client.get(CUSTOMRESOURCEDEFINITIONS, NAME)
    assert (deleting["metadata"]["generation"], bool(deleting["metadata"]["deletionTimestamp"])) == (2, True)
