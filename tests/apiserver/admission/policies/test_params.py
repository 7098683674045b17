"""Parameters of policies: found by name or labels, in whose namespace, and what happens where there are none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steersman.client.api import Client
from steersman.meta.errors import Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, NAMESPACES, SECRETS, VALIDATINGADMISSIONPOLICYBINDINGS
from tests.apiserver.admission.policies.builders import enforce, rule, validating, validating_binding
from tests.apiserver.builders import config_map
from tests.apiserver.extensions.builders import WIDGETS, definition, widget
from tests.apiserver.extensions.conftest import Define, define, until

__all__ = ["define", "until"]

CONFIG_MAP_KIND = {"apiVersion": "v1", "kind": "ConfigMap"}


def _policy(expression: str = "params == null || object.type == params.data.key", **more: Any) -> Object:
    return validating(expression, rules=[rule("secrets")], **{"paramKind": CONFIG_MAP_KIND, **more})


def _binding(not_found: str = "Deny", **reference: Any) -> Object:
    return validating_binding(paramRef={"parameterNotFoundAction": not_found, **reference})


def _secret(name: str = "a", namespace: str = "default", kind: str = "other") -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind}


async def _namespace(client: Client, name: str) -> None:
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


async def test_a_parameter_is_looked_for_where_the_request_is_unless_the_binding_says_where(client: Client) -> None:
    await _namespace(client, "elsewhere")
    await client.create(CONFIGMAPS, config_map("rules", "default"))
    await enforce(client, _policy(), _binding(name="rules"))
    with pytest.raises(Invalid, match="failed expression: params == null"):
        await client.create(SECRETS, _secret())
    await client.create(SECRETS, _secret(kind="value"))
    with pytest.raises(Invalid, match="failed to configure binding: no params found for policy binding with `Deny`"):
        await client.create(SECRETS, _secret(namespace="elsewhere", kind="value"))
    await client.patch(
        VALIDATINGADMISSIONPOLICYBINDINGS, "b", {"spec": {"paramRef": {"namespace": "default", "name": "rules"}}}
    )
    await client.create(SECRETS, _secret(namespace="elsewhere", kind="value"))


async def test_where_parameters_may_be_missing_the_policy_does_not_apply(client: Client) -> None:
    await enforce(client, _policy("false"), _binding(name="none", not_found="Allow"))
    await client.create(SECRETS, _secret())


async def test_each_parameter_that_labels_select_is_asked(client: Client) -> None:
    labels = {"rules": "yes"}
    await client.create(CONFIGMAPS, {**config_map("one", labels=labels), "data": {"key": "x"}})
    await client.create(CONFIGMAPS, {**config_map("two", labels=labels), "data": {"key": "y"}})
    await client.create(CONFIGMAPS, config_map("unlabelled"))
    await enforce(client, _policy("object.type != params.data.key"), _binding(selector={"matchLabels": labels}))
    for kind in ("x", "y"):
        with pytest.raises(Invalid):
            await client.create(SECRETS, _secret(kind=kind))
    await client.create(SECRETS, _secret(kind="value"))
    await client.delete(CONFIGMAPS, "two", namespace="default")
    await client.create(SECRETS, _secret("b", kind="y"))


async def test_a_binding_without_a_reference_has_no_parameters(client: Client) -> None:
    await enforce(client, _policy("params == null"), validating_binding())
    await client.create(SECRETS, _secret())


async def test_a_parameter_in_a_namespace_cannot_be_found_for_what_is_in_none(client: Client) -> None:
    policy = _policy("true", constraints={"resourceRules": [rule("persistentvolumes")]})
    await enforce(client, policy, _binding(name="rules"))
    volume: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "v"},
        "spec": {"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
    }
    answer = await client.request("POST", "/api/v1/persistentvolumes", body=msgspec.json.encode(volume))
    assert answer.status == 422
    text = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
    assert text in answer.content["message"]


async def test_cluster_scoped_parameters_have_no_namespace(client: Client) -> None:
    kind = {"apiVersion": "v1", "kind": "Namespace"}
    policy = _policy("object.type == params.metadata.name", paramKind=kind)
    await enforce(client, policy, _binding(name="default"))
    await client.create(SECRETS, _secret(kind="default"))
    await client.patch(VALIDATINGADMISSIONPOLICYBINDINGS, "b", {"spec": {"paramRef": {"namespace": "default"}}})
    with pytest.raises(Invalid, match=r"paramRef.namespace must not be provided for a cluster-scoped `paramKind`"):
        await client.create(SECRETS, _secret("b", kind="default"))


async def test_custom_resources_are_parameters_as_soon_as_they_are_served(client: Client, define: Define) -> None:
    kind = {"apiVersion": "example.com/v1", "kind": "Widget"}
    policy = _policy("object.type == params.spec.color", paramKind=kind)
    await enforce(client, policy, _binding(name="a"))
    with pytest.raises(Invalid) as error:
        await client.create(SECRETS, _secret())
    assert error.value.message == (
        "secrets \"a\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find "
        "resource referenced by paramKind: 'example.com/v1, Kind=Widget'"
    )
    await define(definition())
    await client.create(WIDGETS, widget())
    await client.create(SECRETS, _secret(kind="green"))


async def test_misconfiguration_is_ignored_where_failures_are(client: Client) -> None:
    policy = _policy("false", paramKind={"apiVersion": "a.b/v1", "kind": "None"}, failurePolicy="Ignore")
    await enforce(client, policy, _binding(name="a"))
    await client.create(SECRETS, _secret())
