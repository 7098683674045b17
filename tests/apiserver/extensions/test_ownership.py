"""Server-side apply to custom resources whose definition changes between two applies."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.client.api import APPLY_PATCH, Client
from steersman.meta.errors import Conflict
from steersman.meta.objects import Object
from tests.apiserver.extensions.builders import WIDGETS, definition, version
from tests.apiserver.extensions.conftest import Define


def widgets(list_type: str) -> Object:
    ports: Object = {
        "type": "array",
        "x-kubernetes-list-type": list_type,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
        },
    }
    if list_type == "map":
        ports["x-kubernetes-list-map-keys"] = ["name"]
    spec = {"type": "object", "properties": {"ports": ports}}
    return definition(version(schema={"type": "object", "properties": {"spec": spec}}))


async def apply(client: Client, manager: str, *ports: Object, force: bool = False) -> Object:
    config = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "a"},
        "spec": {"ports": list(ports)},
    }
    return await client.patch(
        WIDGETS, "a", config, namespace="default", patch_type=APPLY_PATCH, field_manager=manager, force=force
    )


def spec_fields(obj: Object) -> dict[str, Any]:
    return {
        entry["manager"]: entry["fieldsV1"]["f:spec"]["f:ports"]
        for entry in obj["metadata"]["managedFields"]
        if "f:spec" in entry["fieldsV1"]
    }


async def test_owners_of_elements_own_the_list_once_it_is_atomic(client: Client, define: Define) -> None:
    await define(widgets("map"))
    await apply(client, "one", {"name": "http", "port": 80})
    await apply(client, "two", {"name": "https", "port": 443})
    await define(widgets("atomic"))
    labelled = await client.patch(WIDGETS, "a", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
    assert spec_fields(labelled) == {"one": {}, "two": {}}
    with pytest.raises(Conflict, match=r'conflict with "two".*: \.spec\.ports'):
        await apply(client, "one", {"name": "http", "port": 8080})
    forced = await apply(client, "one", {"name": "http", "port": 8080}, force=True)
    assert forced["spec"]["ports"] == [{"name": "http", "port": 8080}]
    assert spec_fields(forced) == {"one": {}}


async def test_the_owner_of_an_atomic_list_keeps_it_once_it_has_elements(client: Client, define: Define) -> None:
    await define(widgets("atomic"))
    await apply(client, "one", {"name": "http", "port": 80})
    await define(widgets("map"))
    second = await apply(client, "two", {"name": "https", "port": 443})
    assert second["spec"]["ports"] == [{"name": "http", "port": 80}, {"name": "https", "port": 443}]
    assert spec_fields(second)["one"] == {}
    assert spec_fields(second)["two"] == {'k:{"name":"https"}': {".": {}, "f:name": {}, "f:port": {}}}
