"""Requests for custom resources: what is refused, what is changed, what is answered."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from steersman.client.api import JSON_PATCH, STRATEGIC_MERGE_PATCH, Client
from steersman.meta.errors import BadRequest, Conflict, Invalid, UnsupportedMediaType
from steersman.meta.objects import Object
from steersman.meta.wire import Response
from tests.apiserver.extensions.builders import SCHEMA, WIDGETS, definition, version, widget
from tests.apiserver.extensions.conftest import Define

STATUS: Object = {"status": {}}
SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


async def post(client: Client, obj: Object, **query: str) -> Response:
    return await client.request(
        "POST",
        WIDGETS.path("default"),
        query=query,
        headers={"content-type": "application/json"},
        body=msgspec.json.encode(obj),
    )


def content(response: Response) -> Any:
    return response.content if response.content is not None else msgspec.json.decode(response.body)


# -- writing


async def test_a_bad_object_is_refused_with_all_that_is_wrong(client: Client, define: Define) -> None:
    await define(definition())
    with pytest.raises(Invalid) as error:
        await client.create(WIDGETS, widget(spec={"size": 0, "color": "blue"}))
    assert error.value.message == (
        'Widget.example.com "a" is invalid: [spec.size: Invalid value: 0: spec.size in body should be greater than or equal '
        'to 1, spec.color: Unsupported value: "blue": supported values: "green", "red"]'
    )
    assert [cause["field"] for cause in error.value.details["causes"]] == ["spec.size", "spec.color"]


async def test_unknown_fields_are_pruned_warned_of_or_refused(client: Client, define: Define) -> None:
    await define(definition())
    unknown = widget(spec={"size": 1, "foo": 1})
    ignored = await post(client, {**unknown, "metadata": {"name": "a"}}, fieldValidation="Ignore")
    assert content(ignored)["spec"] == {"size": 1, "color": "green"}
    warned = await post(client, {**unknown, "metadata": {"name": "b"}}, fieldValidation="Warn")
    assert warned.headers["warning"] == '299 - "unknown field \\"spec.foo\\""'
    refused = await post(client, {**unknown, "metadata": {"name": "c"}}, fieldValidation="Strict")
    assert (refused.status, content(refused)["message"]) == (
        400,
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.foo"',
    )


async def test_another_kind_is_refused(client: Client, define: Define) -> None:
    await define(definition())
    refused = await post(client, {**widget(), "kind": "Gadget"})
    assert (refused.status, content(refused)["message"]) == (
        422,
        'Widget.example.com "a" is invalid: kind: Invalid value: "Gadget": must be Widget',
    )
    other = await post(client, {**widget(), "apiVersion": "example.com/v9"})
    assert content(other)["message"] == (
        "the API version in the data (example.com/v9) does not match the expected API version (example.com/v1)"
    )


async def test_an_update_needs_the_version(client: Client, define: Define) -> None:
    await define(definition())
    created = await client.create(WIDGETS, widget())
    with pytest.raises(Invalid, match=r"metadata.resourceVersion: Invalid value: 0: must be specified for an update"):
        await client.update(WIDGETS, widget())
    changed = await client.update(WIDGETS, {**created, "spec": {"size": 4}})
    with pytest.raises(Conflict):
        await client.update(WIDGETS, created)
    assert (changed["metadata"]["generation"], changed["spec"]) == (2, {"size": 4, "color": "green"})


async def test_an_update_that_changes_nothing_writes_nothing(client: Client, define: Define) -> None:
    await define(definition())
    created = await client.create(WIDGETS, widget())
    again = await client.update(WIDGETS, created)
    assert again["metadata"] == created["metadata"]


async def test_what_was_wrong_already_may_stay(client: Client, define: Define) -> None:
    await define(definition())
    await client.create(WIDGETS, widget())
    stricter = msgspec.json.decode(msgspec.json.encode(SCHEMA))
    stricter["properties"]["spec"]["properties"]["size"]["minimum"] = 10
    await define(definition(version(schema=stricter)))
    patched = await client.patch(WIDGETS, "a", {"spec": {"color": "red"}}, namespace="default")
    assert patched["spec"] == {"size": 3, "color": "red"}
    with pytest.raises(Invalid, match=r"spec.size in body should be greater than or equal to 10"):
        await client.patch(WIDGETS, "a", {"spec": {"size": 4}}, namespace="default")


async def test_patches(client: Client, define: Define) -> None:
    await define(definition())
    await client.create(WIDGETS, widget())
    merged = await client.patch(WIDGETS, "a", {"spec": {"size": 4}}, namespace="default")
    assert merged["spec"]["size"] == 4
    operations: Any = [{"op": "replace", "path": "/spec/color", "value": "red"}]
    patched = await client.patch(WIDGETS, "a", operations, namespace="default", patch_type=JSON_PATCH)
    assert patched["spec"]["color"] == "red"
    with pytest.raises(UnsupportedMediaType) as error:
        await client.patch(WIDGETS, "a", {}, namespace="default", patch_type=STRATEGIC_MERGE_PATCH)
    assert error.value.http_code == 415


async def test_applying_owns_fields_by_the_schema(client: Client, define: Define) -> None:
    listed = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "ports": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                        },
                    }
                },
            }
        },
    }
    await define(definition(version(schema=listed)))
    for manager, port in (("one", {"name": "a", "port": 1}), ("two", {"name": "b", "port": 2})):
        applied = await client.patch(
            WIDGETS,
            "a",
            widget(spec={"ports": [port]}),
            namespace="default",
            patch_type="application/apply-patch+yaml",
            field_manager=manager,
        )
    assert applied["spec"]["ports"] == [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    with pytest.raises(Conflict, match=r'\.spec\.ports\[name="a"\]\.port'):
        await client.patch(
            WIDGETS,
            "a",
            widget(spec={"ports": [{"name": "a", "port": 9}]}),
            namespace="default",
            patch_type="application/apply-patch+yaml",
            field_manager="two",
        )


# -- subresources


async def test_status_is_written_apart(client: Client, define: Define) -> None:
    await define(definition(version(subresources=STATUS)))
    created = await client.create(WIDGETS, widget(status={"phase": "x"}))
    assert "status" not in created
    changed = {**created, "spec": {"size": 9}, "status": {"phase": "Running"}}
    labelled = {**changed, "metadata": {**created["metadata"], "labels": {"a": "b"}}}
    written = await client.update(WIDGETS, labelled, subresource="status")
    assert (written["status"], written["spec"]) == ({"phase": "Running"}, created["spec"])
    assert written["metadata"]["generation"] == 1
    assert "labels" not in written["metadata"]
    with pytest.raises(
        Invalid, match=r"status.phase: Invalid value: \"integer\": phase in body must be of type string"
    ):
        await client.patch(WIDGETS, "a", {"status": {"phase": 1}}, namespace="default", subresource="status")


async def test_without_the_subresource_status_is_a_field_like_others(client: Client, define: Define) -> None:
    await define(definition())
    created = await client.create(WIDGETS, widget(status={"phase": "x"}))
    assert created["status"] == {"phase": "x"}
    patched = await client.patch(WIDGETS, "a", {"status": {"phase": "y"}}, namespace="default")
    assert (patched["status"]["phase"], patched["metadata"]["generation"]) == ("y", 2)


async def test_scale(client: Client, define: Define) -> None:
    await define(definition(version(subresources={**STATUS, "scale": SCALE})))
    await client.create(WIDGETS, widget(spec={"size": 1, "replicas": 2}))
    status = {"status": {"replicas": 1, "selector": "a=b"}}
    await client.patch(WIDGETS, "a", status, namespace="default", subresource="status")
    scale = await client.get(WIDGETS, "a", namespace="default", subresource="scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 2},
        {"replicas": 1, "selector": "a=b"},
    )
    scaled = await client.update(WIDGETS, {**scale, "spec": {"replicas": 5}}, subresource="scale")
    assert scaled["spec"] == {"replicas": 5}
    found = await client.get(WIDGETS, "a", namespace="default")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (5, 2)


async def test_scale_without_replicas(client: Client, define: Define) -> None:
    await define(definition(version(subresources={"scale": SCALE})))
    await client.create(WIDGETS, widget())
    answer = await client.request("GET", WIDGETS.path("default", "a", "scale"))
    assert answer.status == 500
    assert 'the spec replicas field ".spec.replicas" does not exist' in content(answer)["message"]
    with pytest.raises(BadRequest, match="cannot be empty"):
        await client.patch(WIDGETS, "a", {}, namespace="default", subresource="scale")
    patch = {"spec": {"replicas": 3}}
    assert (await client.patch(WIDGETS, "a", patch, namespace="default", subresource="scale"))["spec"] == {
        "replicas": 3
    }


async def test_replicas_are_checked(client: Client, define: Define) -> None:
    await define(definition(version(subresources={"scale": SCALE})))
    with pytest.raises(Invalid, match=r"\.spec\.replicas: Invalid value: -1: should be a non-negative integer"):
        await client.create(WIDGETS, widget(spec={"size": 1, "replicas": -1}))


# -- reading


async def test_tables_have_the_definitions_columns(client: Client, define: Define) -> None:
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}]
    await define(definition(version(additionalPrinterColumns=columns)))
    await client.create(WIDGETS, widget())
    table = content(await client.request("GET", WIDGETS.path("default"), headers=TABLE))
    assert [(column["name"], column["priority"]) for column in table["columnDefinitions"]] == [("Name", 0), ("Size", 1)]
    assert table["rows"][0]["cells"] == ["a", 3]


async def test_selectable_fields_select(client: Client, define: Define) -> None:
    await define(definition(version(selectableFields=[{"jsonPath": ".spec.color"}])))
    await client.create(WIDGETS, widget("a"))
    await client.create(WIDGETS, widget("b", spec={"size": 1, "color": "red"}))
    found = await client.list(WIDGETS, namespace="default", field_selector="spec.color=red")
    assert [item["metadata"]["name"] for item in found.items] == ["b"]
    with pytest.raises(BadRequest, match=r"field label not supported: spec\.size"):
        await client.list(WIDGETS, namespace="default", field_selector="spec.size=1")


async def test_the_list_is_of_the_kind_that_the_definition_names(client: Client, define: Define) -> None:
    await define(definition(listKind="Widgets"))
    assert content(await client.request("GET", WIDGETS.path("default")))["kind"] == "Widgets"


async def test_embedded_objects_are_checked(client: Client, define: Define) -> None:
    embedded = {
        "type": "object",
        "properties": {
            "t": {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "x-kubernetes-preserve-unknown-fields": True,
            }
        },
    }
    await define(definition(version(schema=embedded)))
    bad = {"kind": "Pod", "metadata": {"labels": {"-": "x"}}}
    with pytest.raises(Invalid) as error:
        await client.create(WIDGETS, {**widget(), "t": bad})
    assert [cause["field"] for cause in error.value.details["causes"]] == ["t.apiVersion", "t.metadata.labels"]


async def test_deleting_a_collection(client: Client, define: Define) -> None:
    await define(definition())
    for name in ("a", "b"):
        await client.create(WIDGETS, widget(name))
    await client.delete_collection(WIDGETS, namespace="default")
    assert not (await client.list(WIDGETS, namespace="default")).items


async def test_an_unqualified_finalizer_is_put_up_with(client: Client, define: Define) -> None:
    await define(definition())
    obj = {**widget(), "metadata": {"name": "a", "namespace": "default", "finalizers": ["mine.example.com"]}}
    assert (await client.create(WIDGETS, obj))["metadata"]["finalizers"] == ["mine.example.com"]


async def test_bodies_name_their_kind(client: Client, define: Define) -> None:
    """Paths say it of built-in kinds; of custom ones they do not."""
    await define(definition())
    path = WIDGETS.path("default")
    for body, missing in (({}, "Kind"), ({"kind": "Widget"}, "apiVersion"), ({"apiVersion": "example.com/v1"}, "Kind")):
        sent = json.dumps({**body, "metadata": {"name": "a"}})
        answer = await client.request("POST", path, headers={"content-type": "application/json"}, body=sent.encode())
        assert answer.status == 400
        assert answer.content["message"].startswith(
            f"the object provided is unrecognized (must be of type Widget): Object '{missing}' is missing in '{sent}' ("
        )


async def test_subresources_that_a_kind_does_not_have_are_not_found(client: Client, define: Define) -> None:
    await define(definition())
    answer = await client.request("GET", f"{WIDGETS.path('default', 'a')}/nonsense")
    assert (answer.status, answer.content["message"]) == (404, 'widgets.example.com "a" not found')
