"""CEL rules of definitions, through the API: refused, warned about, costing only who uses them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.meta.errors import Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS
from tests.apiserver.extensions.builders import SCHEMA, WIDGETS, definition, version, widget
from tests.apiserver.extensions.conftest import Define

SPEC = SCHEMA["properties"]["spec"]


def _ruled(*rules: Object, spec: Object | None = None, **more: Any) -> Object:
    properties = {**SCHEMA["properties"], "spec": {**(spec or SPEC), "x-kubernetes-validations": list(rules)}}
    return definition(version(schema={"type": "object", "properties": properties}, **more))


SMALL = {"rule": "self.size < 5", "message": "must be small", "fieldPath": ".size", "reason": "FieldValueForbidden"}
FIXED = {"rule": "self.size == oldSelf.size", "messageExpression": "'size was %d'.format([oldSelf.size])"}


async def test_objects_that_break_a_rule_are_refused_with_the_rules_reason(client: Client, define: Define) -> None:
    await define(_ruled(SMALL))
    await client.create(WIDGETS, widget())
    with pytest.raises(Invalid) as error:
        await client.create(WIDGETS, widget("b", spec={"size": 5}))
    assert error.value.message == 'Widget.example.com "b" is invalid: spec.size: Forbidden: must be small'
    assert error.value.details["causes"] == [
        {"reason": "FieldValueForbidden", "message": "Forbidden: must be small", "field": "spec.size"}
    ]


async def test_transition_rules_bind_updates_and_patches(client: Client, define: Define) -> None:
    await define(_ruled(FIXED))
    made = await client.create(WIDGETS, widget())
    with pytest.raises(Invalid, match="spec: Invalid value: size was 3"):
        await client.update(WIDGETS, {**made, "spec": {"size": 2}})
    with pytest.raises(Invalid, match="spec: Invalid value: size was 3"):
        await client.patch(WIDGETS, "a", {"spec": {"size": 2}}, namespace="default")
    await client.update(WIDGETS, {**made, "spec": {"size": 3, "color": "red"}})


async def test_a_broken_rule_is_warned_about_where_nothing_of_it_changed(client: Client, define: Define) -> None:
    await define(definition())
    made = await client.create(WIDGETS, widget(spec={"size": 7}))
    await define(_ruled(SMALL))
    labelled = {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
    answer = await client.request("PUT", WIDGETS.path("default", "a"), body=msgspec.json.encode(labelled))
    assert answer.status == 200
    assert answer.headers["warning"] == '299 - "spec.size: Forbidden: must be small"'
    with pytest.raises(Invalid, match="must be small"):
        await client.patch(WIDGETS, "a", {"spec": {"color": "red"}}, namespace="default")


async def test_rules_are_kept_by_writers_of_status(client: Client, define: Define) -> None:
    schema = {**SCHEMA, "x-kubernetes-validations": [{"rule": "!has(self.status) || self.status.replicas < 3"}]}
    await define(definition(version(schema=schema, subresources={"status": {}})))
    made = await client.create(WIDGETS, widget())
    with pytest.raises(Invalid, match="<nil>: Invalid value: failed rule: !has"):
        await client.update(WIDGETS, {**made, "status": {"replicas": 3}}, subresource="status")
    await client.update(WIDGETS, {**made, "status": {"replicas": 2}}, subresource="status")


async def test_rules_are_not_run_on_objects_that_are_wrong_otherwise(client: Client, define: Define) -> None:
    await define(_ruled(SMALL))
    with pytest.raises(Invalid) as error:
        await client.create(WIDGETS, widget(spec={"color": "blue"}))
    assert "spec.size: Required value" in error.value.message
    assert "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid" in (
        error.value.message
    )


async def test_definitions_whose_rules_do_not_compile_are_refused(client: Client) -> None:
    with pytest.raises(Invalid, match="compilation failed: ERROR: <input>:1:5: undefined field 'nope'"):
        await client.create(CUSTOMRESOURCEDEFINITIONS, _ruled({"rule": "self.nope == 1"}))


async def test_a_rule_that_would_never_end_is_refused_at_once(client: Client, define: Define) -> None:
    numbers = {**SPEC, "properties": {**SPEC["properties"], "n": {"type": "array", "items": {"type": "integer"}}}}
    endless = "self.n.all(a, self.n.all(b, self.n.all(c, self.n.all(d, a + b + c + d >= 0))))"
    with pytest.raises(Invalid, match="estimated rule cost exceeds budget by factor of more than 100x"):
        await client.create(CUSTOMRESOURCEDEFINITIONS, _ruled({"rule": endless}, spec=numbers))


async def test_how_long_rules_take_is_measured(client: Client, server: APIServer, define: Define) -> None:
    await define(definition())
    await client.create(WIDGETS, widget())
    assert _count(server, "evaluation") == 0
    await define(_ruled(SMALL))
    for name in "bc":
        await client.create(WIDGETS, widget(name))
    assert (_count(server, "compilation"), _count(server, "evaluation")) == (1, 2)


def _count(server: APIServer, what: str) -> float | None:
    return server.metrics.registry.get_sample_value(f"apiserver_cel_{what}_duration_seconds_count")


async def test_others_are_served_while_a_rule_takes_long(client: Client, define: Define) -> None:
    numbers = {"type": "array", "items": {"type": "integer"}, "maxItems": 5}
    spec = {**SPEC, "properties": {**SPEC["properties"], "n": numbers}}
    rules = [{"rule": f"self.n.all(a, lists.range(40000).all(b, a + b + {i} >= 0))"} for i in range(2)]
    await define(_ruled(*rules, {"rule": "self.size < 5"}, spec=spec))
    with pytest.raises(Invalid, match=r"failed rule: self\.size < 5"):
        await client.create(WIDGETS, widget(spec={"size": 7, "n": [1]}))
    writes = [
        asyncio.create_task(client.create(WIDGETS, widget("b", spec={"size": 1, "n": [1]}))),
        asyncio.create_task(client.create(WIDGETS, widget("c", spec={"size": 1, "n": [1, 2]}))),
    ]
    answered = 0
    while not all(write.done() for write in writes):
        await client.list(WIDGETS)
        answered += 1
        await asyncio.sleep(0)
    assert [(await write)["spec"]["size"] for write in writes] == [1, 1]
    assert answered > 5
    with pytest.raises(Invalid, match=r"failed rule: self\.size < 5"):
        await client.patch(WIDGETS, "b", {"spec": {"size": 7}}, namespace="default")
