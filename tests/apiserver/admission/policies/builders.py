"""Admission policies and bindings for tests."""

from __future__ import annotations

from typing import Any

from steersman.client.api import Client
from steersman.meta.objects import Object
from steersman.meta.resources import (
    MUTATINGADMISSIONPOLICIES,
    MUTATINGADMISSIONPOLICYBINDINGS,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
    Resource,
)


def rule(resource: str = "configmaps", group: str = "", version: str = "v1", *operations: str, **more: Any) -> Object:
    return {
        "operations": list(operations or ("CREATE", "UPDATE")),
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": [resource],
        **more,
    }


def _object(resource: Resource, name: str, spec: Object) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def validating(*validations: Object | str, name: str = "p", rules: list[Object] | None = None, **spec: Any) -> Object:
    """A string is a validation's expression."""
    listed = [{"expression": entry} if isinstance(entry, str) else entry for entry in validations]
    constraints = {"resourceRules": rules or [rule()], **spec.pop("constraints", {})}
    made = {"matchConstraints": constraints, **({"validations": listed} if listed else {}), **spec}
    return _object(VALIDATINGADMISSIONPOLICIES, name, made)


def validating_binding(name: str = "b", policy: str = "p", actions: tuple[str, ...] = ("Deny",), **spec: Any) -> Object:
    made = {"policyName": policy, "validationActions": list(actions), **spec}
    return _object(VALIDATINGADMISSIONPOLICYBINDINGS, name, made)


def applying(expression: str) -> Object:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patching(expression: str) -> Object:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def mutating(*mutations: Object, name: str = "p", rules: list[Object] | None = None, **spec: Any) -> Object:
    constraints = {"resourceRules": rules or [rule()], **spec.pop("constraints", {})}
    made = {"matchConstraints": constraints, "mutations": list(mutations), "reinvocationPolicy": "Never", **spec}
    return _object(MUTATINGADMISSIONPOLICIES, name, made)


def mutating_binding(name: str = "b", policy: str = "p", **spec: Any) -> Object:
    return _object(MUTATINGADMISSIONPOLICYBINDINGS, name, {"policyName": policy, **spec})


async def enforce(client: Client, *objects: Object) -> None:
    """Create policies and bindings; a policy alone is bound to everything by ``b``."""
    resources = {
        resource.kind: resource
        for resource in (
            VALIDATINGADMISSIONPOLICIES,
            VALIDATINGADMISSIONPOLICYBINDINGS,
            MUTATINGADMISSIONPOLICIES,
            MUTATINGADMISSIONPOLICYBINDINGS,
        )
    }
    listed = list(objects)
    if len(listed) == 1:
        is_mutating = listed[0]["kind"] == MUTATINGADMISSIONPOLICIES.kind
        listed.append(mutating_binding() if is_mutating else validating_binding())
    for obj in listed:
        await client.create(resources[obj["kind"]], obj)
