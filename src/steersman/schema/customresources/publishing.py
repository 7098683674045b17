"""OpenAPI definitions of custom resources, which ``kubectl explain`` and client-side validation read.

Held in the form of ``definitions.definition``: references as OpenAPI v2 writes them, keywords as v3 has them; ``v2_form``
leaves out what v2 and its readers cannot take.
Source: "Publish Validation Schema in OpenAPI" of the CustomResourceDefinition documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from steersman.schema import definitions
from steersman.schema.customresources.coercion import EMBEDDED, INT_OR_STRING, PRESERVE
from steersman.schema.definitions import DEFINITION_PREFIX, LIST_META, OBJECT_META, Definition

Schema = Mapping[str, Any]

_METADATA = (
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_LIST_METADATA = (
    "Standard list metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_SELECTABLE = "x-kubernetes-selectable-fields"
_INTEGER_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_JUNCTIONS = ("allOf", "oneOf", "anyOf", "not")


def definition_name(group: str, version: str, kind: str) -> str:
    """``com.example.stable.v1.CronTab`` of ``stable.example.com/v1``."""
    return f"{'.'.join(reversed(group.split('.')))}.{version}.{kind}"


def published(
    spec: Mapping[str, Any], version: Mapping[str, Any], *, kind: str, list_kind: str
) -> Mapping[str, Definition]:
    """The definitions of one version of a custom resource and of its list, by their names."""
    group, plural = spec["group"], spec["names"]["plural"]
    name, listed = (definition_name(group, version["name"], noun) for noun in (kind, list_kind))
    schema: Schema = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object", PRESERVE: True}
    selectable = [{"fieldPath": entry["jsonPath"].removeprefix(".")} for entry in version.get("selectableFields") or ()]
    extras: Definition = {_SELECTABLE: selectable} if selectable else {}
    return {
        name: {**_object_definition(schema), **_identity(group, version["name"], kind), **extras},
        listed: {
            **_list_definition(name, plural, kind, list_kind),
            **_identity(group, version["name"], list_kind),
            **extras,
        },
    }


def _identity(group: str, version: str, kind: str) -> Definition:
    return {"x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}]}


def _object_definition(schema: Schema) -> Definition:
    target = _with_embedded(schema)
    properties = {**target.get("properties", {}), "metadata": _reference(OBJECT_META, _METADATA), **_type_meta()}
    return {**target, "properties": dict(sorted(properties.items()))}


def _list_definition(name: str, plural: str, kind: str, list_kind: str) -> Definition:
    items = (
        f"List of {plural}. More info: "
        "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
    )
    return {
        "description": f"{list_kind} is a list of {kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            **_type_meta(),
            "items": {"description": items, "type": "array", "items": {"$ref": DEFINITION_PREFIX + name}},
            "metadata": _reference(LIST_META, _LIST_METADATA),
        },
    }


def _reference(name: str, description: str) -> Definition:
    return {"description": description, "$ref": DEFINITION_PREFIX + name}


@cache
def _type_meta() -> Mapping[str, Definition]:
    """``apiVersion`` and ``kind``, described as every kind describes them."""
    described = definitions.definition("io.k8s.api.core.v1.ConfigMap")["properties"]
    return {name: described[name] for name in ("apiVersion", "kind")}


def _with_embedded(schema: Schema) -> Definition:
    """A copy in which embedded objects have what all objects have, and integers or strings say so in standard words."""
    target: Definition = dict(schema)
    if schema.get(INT_OR_STRING):
        target.update(_integer_or_string(schema))
    if "properties" in schema:
        target["properties"] = {name: _with_embedded(part) for name, part in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            target[key] = _with_embedded(schema[key])
    if schema.get(EMBEDDED):
        metadata = _reference(OBJECT_META, _METADATA)
        target["properties"] = {**target.get("properties", {}), **_type_meta(), "metadata": metadata}
        needed = list(schema.get("required") or ())
        target["required"] = [*needed, *(name for name in ("kind", "apiVersion") if name not in needed)]
    return target


def _integer_or_string(schema: Schema) -> Definition:
    junctions = schema.get("allOf") or []
    if schema.get("anyOf") == _INTEGER_OR_STRING or (junctions and junctions[0].get("anyOf") == _INTEGER_OR_STRING):
        return {}
    if "anyOf" in schema:
        return {"allOf": [{"anyOf": _INTEGER_OR_STRING}, *junctions]}
    return {"anyOf": _INTEGER_OR_STRING}


def v2_form(definition: Definition) -> Definition:
    """A definition for the v2 document: a root that keeps unknown fields says nothing of any, or kubectl would refuse them."""
    if definition.get(PRESERVE):
        kept = ("x-kubernetes-group-version-kind", _SELECTABLE)
        return {"type": "object", **{key: definition[key] for key in kept if key in definition}}
    return _v2(definition)


def _v2(schema: Schema) -> Definition:
    target: Definition = {key: value for key, value in schema.items() if key not in (*_JUNCTIONS, "default")}
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    if "required" in target:
        added = ("kind", "apiVersion") if schema.get(EMBEDDED) and schema.get(PRESERVE) else ()
        target["required"] = [
            name for name in target["required"] if name not in added and not properties.get(name, {}).get("nullable")
        ]
        if not target["required"]:
            del target["required"]
    nullable, preserves = target.pop("nullable", False), schema.get(PRESERVE)
    if nullable or preserves:
        for key in ("items", "properties"):
            target.pop(key, None)
    if nullable or (preserves and target.get("type") == "object"):
        target.pop("type", None)
    if target.get("type") == "array" and "items" not in target:
        del target["type"]
    if "properties" in target:
        target["properties"] = {name: _v2(part) for name, part in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(target.get(key), Mapping):
            target[key] = _v2(target[key])
    return target
