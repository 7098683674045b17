"""MutatingAdmissionPolicy: what becomes of objects, in which order, and how failures are told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.meta.errors import APIError, Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, DEPLOYMENTS, PODS
from tests.apiserver.admission.policies.builders import (
    applying,
    enforce,
    mutating,
    mutating_binding,
    patching,
    rule,
)
from tests.apiserver.builders import config_map, deployment, pod
from tests.apiserver.extensions.builders import WIDGETS, definition, widget
from tests.apiserver.extensions.conftest import Define, define, until

__all__ = ["define", "until"]

DEPLOYED = [rule("deployments", "apps")]
PODS_RULE = [rule("pods")]


async def test_an_apply_configuration_is_merged_into_the_object(client: Client) -> None:
    text = 'Object{metadata: Object.metadata{annotations: {"by": "policy"}}, spec: Object.spec{replicas: 7}}'
    await enforce(client, mutating(applying(text), rules=DEPLOYED))
    made = await client.create(DEPLOYMENTS, deployment(annotations={"own": "kept"}))
    assert made["spec"]["replicas"] == 7
    assert made["metadata"]["annotations"] == {"own": "kept", "by": "policy"}


async def test_lists_with_keys_are_merged_by_their_keys_and_filled_with_defaults(client: Client) -> None:
    text = """Object{spec: Object.spec{
        containers: [Object.spec.containers{name: "main", env: [Object.spec.containers.env{name: "A", value: "b"}]}],
        initContainers: object.spec.containers.map(c, Object.spec.initContainers{name: "init-" + c.name, image: c.image})
    }}"""
    await enforce(client, mutating(applying(text), rules=PODS_RULE))
    made = await client.create(PODS, pod())
    (container,) = made["spec"]["containers"]
    assert (container["image"], container["env"]) == ("image", [{"name": "A", "value": "b"}])
    (init,) = made["spec"]["initContainers"]
    assert (init["name"], init["imagePullPolicy"]) == ("init-main", "Always")


async def test_a_json_patch_is_applied(client: Client) -> None:
    text = """[
        JSONPatch{op: "test", path: "/data/key", value: "value"},
        JSONPatch{op: "add", path: "/data/" + jsonpatch.escapeKey("added"), value: "x"},
        JSONPatch{op: "add", path: "/metadata/labels", value: {"a": "b"}},
        JSONPatch{op: "move", from: "/data/key", path: "/data/moved"}
    ]"""
    await enforce(client, mutating(patching(text)))
    made = await client.create(CONFIGMAPS, config_map())
    assert made["data"] == {"moved": "value", "added": "x"}
    assert made["metadata"]["labels"] == {"a": "b"}
    other = await client.create(CONFIGMAPS, {**config_map("b"), "data": {"key": "else"}})
    assert other["data"] == {"key": "else"}


async def test_objects_can_be_values_of_a_patch(client: Client) -> None:
    text = """[JSONPatch{op: "add", path: "/spec/tolerations",
        value: [Object.spec.tolerations{key: "k", operator: "Exists", tolerationSeconds: 3, effect: "NoExecute"}]}]"""
    await enforce(client, mutating(patching(text), rules=PODS_RULE))
    made = await client.create(PODS, pod())
    first = {"key": "k", "operator": "Exists", "tolerationSeconds": 3, "effect": "NoExecute"}
    assert made["spec"]["tolerations"][0] == first


async def test_mutations_see_what_earlier_ones_did_and_variables_what_there_is_then(client: Client) -> None:
    double = "Object{data: Object.data{n: variables.n + variables.n}}"
    policy = mutating(applying(double), applying(double), variables=[{"name": "n", "expression": "object.data.n"}])
    await enforce(client, policy)
    made = await client.create(CONFIGMAPS, {**config_map(), "data": {"n": "a"}})
    assert made["data"]["n"] == "aaaa"


async def test_policies_run_in_the_order_of_their_names_and_conditions_count(client: Client) -> None:
    def appending(name: str, **more: Any) -> Object:
        return mutating(applying(f'Object{{data: Object.data{{n: object.data.n + "{name}"}}}}'), name=name, **more)

    skipped = [{"name": "c", "expression": "object.data.n == 'never'"}]
    await enforce(
        client,
        appending("p2"),
        appending("p1"),
        appending("p0", matchConditions=skipped),
        *(mutating_binding(f"b{index}", f"p{index}") for index in range(3)),
    )
    made = await client.create(CONFIGMAPS, {**config_map(), "data": {"n": ""}})
    assert made["data"]["n"] == "p1p2"


async def test_a_policy_is_asked_again_where_it_wants_and_another_one_changed_the_object(client: Client) -> None:
    def once(name: str, after: str, policy: str) -> Object:
        text = f'Object{{data: Object.data{{{name}: has(object.data.{after}) ? "after" : "before"}}}}'
        return mutating(applying(text), name=name, reinvocationPolicy=policy)

    await enforce(
        client,
        once("a", "z", "IfNeeded"),
        once("b", "z", "Never"),
        once("z", "a", "Never"),
        *(mutating_binding(name, name) for name in "abz"),
    )
    made = await client.create(CONFIGMAPS, config_map())
    assert made["data"] == {"key": "value", "a": "after", "b": "before", "z": "after"}


async def test_parameters_and_bindings_apply_as_for_validation(client: Client) -> None:
    await client.create(CONFIGMAPS, {**config_map("rules"), "data": {"team": "blue"}})
    policy = mutating(
        applying('Object{metadata: Object.metadata{labels: {"team": params.data.team}}}'),
        rules=PODS_RULE,
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )
    reference = {"name": "rules", "parameterNotFoundAction": "Deny"}
    await enforce(client, policy, mutating_binding(paramRef=reference))
    assert (await client.create(PODS, pod()))["metadata"]["labels"] == {"team": "blue"}


async def test_custom_resources_are_mutated_by_their_schema(client: Client, define: Define) -> None:
    await define(definition())
    rules = [rule("widgets", "example.com")]
    await enforce(client, mutating(applying("Object{spec: Object.spec{size: object.spec.size + 1}}"), rules=rules))
    assert (await client.create(WIDGETS, widget()))["spec"] == {"size": 4, "color": "green"}


FAILED = "policy 'p' with binding 'b' denied request: "
FAILURES: list[tuple[Object, str]] = [
    (applying("Object{data: Object.data{n: object.nope}}"), "expression 'Object{data: Object.data{n: object.nope}}' resulted in error: no such key: nope"),
    (applying("Object{data: Object.wrong{n: '1'}}"), 'type mismatch: unexpected type name "Object.wrong", expected "Object.data", which matches field name path from root Object type'),
    (applying("Object{nope: 1}"), "error applying patch: failed to convert patch object to typed object: .nope: field not declared in schema"),
    (applying("Object{data: Object.data{n: 1}}"), "error applying patch: failed to convert patch object to typed object: .data.n: expected string, got &value.valueUnstructured{Value:1}"),
    (patching('[JSONPatch{op: "remove", path: "/data/nope"}]'), "JSON Patch: error in remove for path: '/data/nope': Unable to remove nonexistent key: nope: missing value"),
    (applying("Object{data: Object.data{n: lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, true))) ? 'a' : 'b'}}"), "resulted in error: operation cancelled: actual cost limit exceeded"),
]  # fmt: skip


@pytest.mark.parametrize(("mutation", "message"), FAILURES)
async def test_a_mutation_that_fails_refuses_the_request(client: Client, mutation: Object, message: str) -> None:
    await enforce(client, mutating(mutation))
    answer = await client.request("POST", CONFIGMAPS.path("default"), body=msgspec.json.encode(config_map()))
    status = answer.content
    assert (answer.status, status["code"], status["reason"]) == (403, 403, "Invalid")
    assert status["message"].startswith(FAILED)
    assert status["message"].endswith(message)
    assert status["details"]["causes"] == [{"message": status["message"]}]


async def test_what_is_owned_as_a_whole_cannot_be_mutated_in_part(client: Client) -> None:
    text = 'Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{nodeSelector: {"a": "b"}}}}}'
    await enforce(client, mutating(applying(text), rules=DEPLOYED))
    with pytest.raises(
        APIError, match=r"may not mutate atomic arrays, maps or structs: \.spec\.template\.spec\.nodeSelector"
    ):
        await client.create(DEPLOYMENTS, deployment())


async def test_unknown_fields_in_a_patch_are_refused_whatever_the_failure_policy(client: Client) -> None:
    policy = mutating(patching('[JSONPatch{op: "add", path: "/nope", value: 1}]'), failurePolicy="Ignore")
    await enforce(client, policy)
    with pytest.raises(APIError, match='strict decoding error: unknown field "nope"') as error:
        await client.create(CONFIGMAPS, config_map())
    assert error.value.http_code == 500


async def test_failures_are_ignored_where_the_policy_says_so(client: Client) -> None:
    policy = mutating(
        applying("Object{data: Object.data{n: object.nope}}"),
        applying("Object{data: Object.data{m: 'set'}}"),
        failurePolicy="Ignore",
    )
    await enforce(client, policy)
    assert (await client.create(CONFIGMAPS, config_map()))["data"] == {"key": "value", "m": "set"}


async def test_the_result_is_validated(client: Client) -> None:
    await enforce(client, mutating(applying("Object{spec: Object.spec{replicas: -1}}"), rules=DEPLOYED))
    with pytest.raises(Invalid, match=r"spec.replicas: Invalid value: -1: must be greater than or equal to 0"):
        await client.create(DEPLOYMENTS, deployment())


async def test_deletions_are_not_mutated_and_updates_are(client: Client) -> None:
    policy = mutating(
        applying("Object{data: Object.data{seen: request.operation}}"),
        rules=[rule("configmaps", "", "v1", "*")],
    )
    await enforce(client, policy)
    made = await client.create(CONFIGMAPS, config_map())
    assert made["data"]["seen"] == "CREATE"
    changed = await client.patch(CONFIGMAPS, "a", {"data": {"key": "x"}}, namespace="default")
    assert changed["data"]["seen"] == "UPDATE"
    await client.delete(CONFIGMAPS, "a", namespace="default")


async def test_mutations_are_counted(client: Client, server: APIServer) -> None:
    await enforce(client, mutating(applying("Object{data: Object.data{m: 'set'}}")))
    await client.create(CONFIGMAPS, config_map())
    labels = {"policy": "p", "policy_binding": "b", "error_type": "no_error"}
    name = "apiserver_mutating_admission_policy_check_total"
    assert server.metrics.registry.get_sample_value(name, labels) == 1
