"""A custom resource in several versions, converted by the strategy None."""

from __future__ import annotations

import msgspec

from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.meta.objects import Object
from tests.apiserver.extensions.builders import SCHEMA, WIDGETS, WIDGETS_V2, definition, version, widget
from tests.apiserver.extensions.conftest import Define

KEY = "/registry/example.com/widgets/default/a"


def v2(*, storage: bool, **more: object) -> Object:
    schema = msgspec.json.decode(msgspec.json.encode(SCHEMA))
    properties = schema["properties"]["spec"]["properties"]
    properties["shape"] = {"type": "string", "default": "round"}
    del properties["color"]
    return version("v2", storage=storage, schema=schema, **more)


async def test_an_object_is_stored_in_one_version_and_read_in_all(
    client: Client, server: APIServer, define: Define
) -> None:
    await define(definition(version(), v2(storage=False)))
    created = await client.create(WIDGETS_V2, widget(api_version="example.com/v2", spec={"size": 1, "shape": "flat"}))
    assert (created["apiVersion"], created["spec"]) == ("example.com/v2", {"size": 1})
    stored = server.objects.cached(KEY)
    assert stored is not None
    assert (stored.obj["apiVersion"], stored.obj["spec"]) == ("example.com/v1", {"size": 1})
    read = await client.get(WIDGETS, "a", namespace="default")
    assert (read["apiVersion"], read["spec"]) == ("example.com/v1", {"size": 1, "color": "green"})


async def test_watches_and_lists_are_in_the_version_of_their_path(client: Client, define: Define) -> None:
    await define(definition(version(), v2(storage=False)))
    watch = client.watch(WIDGETS_V2)
    await client.create(WIDGETS, widget())
    event = await anext(watch)
    assert (event.type, event.object["apiVersion"], event.object["spec"]) == ("ADDED", "example.com/v2", {"size": 3})
    listed = await client.list(WIDGETS_V2)
    assert [item["apiVersion"] for item in listed.items] == ["example.com/v2"]


async def test_an_update_that_changes_nothing_migrates_what_is_stored(
    client: Client, server: APIServer, define: Define
) -> None:
    await define(definition())
    await client.create(WIDGETS, widget())
    changed = await define(definition(version(storage=False), v2(storage=True)))
    assert changed["status"]["storedVersions"] == ["v1", "v2"]
    found = await client.get(WIDGETS, "a", namespace="default")
    await client.update(WIDGETS, found)
    stored = server.objects.cached(KEY)
    assert stored is not None
    assert stored.obj["apiVersion"] == "example.com/v2"


async def test_a_version_that_is_not_served_is_not_found(client: Client, define: Define) -> None:
    await define(definition(version(), {**v2(storage=False), "served": False}))
    assert (await client.request("GET", WIDGETS_V2.path("default"))).status == 404
    assert (await client.request("GET", "/apis/example.com/v2")).status == 404


async def test_a_deprecated_version_warns(client: Client, define: Define) -> None:
    await define(definition(version(deprecated=True), v2(storage=False)))
    answer = await client.request("GET", WIDGETS.path("default"))
    assert answer.headers["warning"] == '299 - "example.com/v1 Widget is deprecated; use example.com/v2 Widget"'
    assert "warning" not in (await client.request("GET", WIDGETS_V2.path("default"))).headers


async def test_the_preferred_version_is_the_most_stable(client: Client, define: Define) -> None:
    await define(definition(version("v1beta1"), v2(storage=False)))
    group = (await client.request("GET", "/apis/example.com")).content
    assert group["preferredVersion"]["version"] == "v2"
