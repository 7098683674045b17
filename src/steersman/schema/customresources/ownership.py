"""Schemas of custom resources as managed fields see them: what is one field, and how elements of lists are told apart.

Source: "Merge strategy" of the server-side apply documentation: lists are atomic and maps granular unless the schema says
otherwise; what a schema says nothing of is owned as its value has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from steersman.schema import definitions
from steersman.schema.customresources.coercion import EMBEDDED, PRESERVE
from steersman.schema.managedfields.typed import ABSENT, ANY, Type, atomic_list, atomic_map, type_of

Schema = Mapping[str, Any]
_INT_OR_STRING = Type("leaf")
_SCALARS: Mapping[str, Type] = {name: Type("leaf", expects=name) for name in ("string", "integer", "number", "boolean")}


def compiled(schema: Schema) -> Type:
    """The type of a whole object; the same for schemas of the same content."""
    return _compiled(msgspec.json.encode(schema))


@lru_cache(maxsize=512)
def _compiled(content: bytes) -> Type:
    schema = msgspec.json.decode(content)
    return _struct({**schema, EMBEDDED: True}, is_open=not schema or bool(schema.get(PRESERVE)))


def _type(schema: Schema) -> Type:
    if schema.get("x-kubernetes-int-or-string"):
        return _INT_OR_STRING
    kind = schema.get("type")
    if kind == "array":
        return _list(schema)
    if kind == "object" or (kind is None and schema.get("properties")):
        if schema.get("x-kubernetes-map-type") == "atomic":
            return atomic_map(lambda: _type({**schema, "x-kubernetes-map-type": "granular"}))
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping) and not schema.get("properties"):
            return Type("map", expects="object", element=_type(values))
        if schema.get("properties") or schema.get(EMBEDDED):
            return _struct(schema, is_open=bool(schema.get(PRESERVE)))
        return ANY
    return _SCALARS.get(str(kind), ANY)


def _struct(schema: Schema, *, is_open: bool) -> Type:
    """``is_open``: fields that the schema does not name are kept, and owned as they are."""
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    own: Mapping[str, Type] = {}
    if schema.get(EMBEDDED):
        own = {
            "apiVersion": _SCALARS["string"],
            "kind": _SCALARS["string"],
            "metadata": type_of(definitions.OBJECT_META),
        }

    def field_type(name: str) -> Type | None:
        if name in own:
            return own[name]
        return _type(properties[name]) if name in properties else None

    return Type("struct", expects="object", field_type=field_type, element=ANY if is_open else None)


def _list(schema: Schema) -> Type:
    list_type, items = schema.get("x-kubernetes-list-type"), schema.get("items") or {}
    if list_type == "set":
        return Type("set", expects="array", element=_type(items))
    if list_type != "map":
        return atomic_list(lambda: _type(items))
    properties: Mapping[str, Schema] = items.get("properties") or {}
    keys = tuple(
        (name, properties.get(name, {}).get("default", ABSENT))
        for name in schema.get("x-kubernetes-list-map-keys") or ()
    )
    return Type("keyed", expects="array", element=_type(items), keys=keys)
