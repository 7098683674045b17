"""What mutating admission policies return: ``Object{spec: Object.spec{replicas: 3}}`` and lists of ``JSONPatch{op: …}``."""

from __future__ import annotations

import base64

from steersman.cel import types
from steersman.cel.conversions import duration_to_string, timestamp_to_string
from steersman.cel.costs import traversal
from steersman.cel.declarations import Library, function, overload
from steersman.cel.effort import METER
from steersman.cel.errors import EvaluationError
from steersman.cel.types import DYN, STRING, Type
from steersman.cel.values import (
    Duration,
    ObjectValue,
    OptionalValue,
    Timestamp,
    Value,
    from_map_key,
    shown,
    type_of,
)

JSON_PATCH_TYPE = types.object_of("JSONPatch")
OBJECT_TYPE = types.object_of("Object")
_NO_TYPE = types.object_of("")
"""Of a field that patches do not have: upstream says so by this type, which nothing is of."""
_PATCH_FIELDS: dict[str, Type] = {"op": STRING, "path": STRING, "from": STRING, "value": DYN}


def object_type(name: str) -> Type | None:
    """For ``Environment``: the types that can be constructed."""
    if name == "JSONPatch":
        return JSON_PATCH_TYPE
    return types.object_of(name) if name == "Object" or name.startswith("Object.") else None


def field_type(type_name: str, field: str) -> Type | None:
    """For ``Environment``: fields of objects are of any name and type."""
    if type_name == "JSONPatch":
        return _PATCH_FIELDS.get(field, _NO_TYPE)
    return DYN if object_type(type_name) is not None else None


def misnamed_types(value: Value, path: tuple[str, ...] = ("Object",)) -> list[str]:
    """What is wrong with the names of nested types: that of the object at ``spec.template`` is ``Object.spec.template``."""
    if isinstance(value, list | dict):
        METER.spend(1 + len(value))
    if isinstance(value, ObjectValue):
        expected = ".".join(path)
        errors = []
        if value.type_name != expected:
            errors.append(
                f'unexpected type name "{value.type_name}", expected "{expected}", '
                "which matches field name path from root Object type"
            )
        for name, item in value.fields.items():
            errors.extend(misnamed_types(item, (*path, name)))
        return errors
    parts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return [error for part in parts for error in misnamed_types(part, path)]


def to_json(value: Value) -> Value:
    """A value as it goes into an object or a patch. Raises ``EvaluationError`` for what JSON cannot hold."""
    if isinstance(value, list | dict):
        METER.spend(1 + len(value))
    match value:
        case None | bool() | str() | float():
            return value
        case int():
            return int(value)
        case list():
            return [to_json(item) for item in value]
        case ObjectValue():
            return {name: to_json(item) for name, item in value.fields.items()}
        case dict():
            result = {}
            for key, item in value.items():
                name = from_map_key(key)
                if not isinstance(name, str):
                    raise EvaluationError(f'map key "{shown(name)}" is of type {type_of(name).name}, not string')
                result[name] = to_json(item)
            return result
        case bytes():
            return base64.b64encode(value).decode()
        case Timestamp():
            return timestamp_to_string(value)
        case Duration():
            return duration_to_string(value)
        case OptionalValue() if value.present:
            return to_json(value.value)
    raise EvaluationError(f"{type_of(value).name} cannot be converted to JSON")


def _escape_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


LIBRARY = Library(
    name="kubernetes.jsonpatch",
    functions=(
        function(
            "jsonpatch.escapeKey",
            overload(
                "string_jsonpatch_escapeKey_string",
                STRING,
                to=STRING,
                do=_escape_key,
                cost=traversal(keeps_size=True),
            ),
        ),
    ),
    types=(JSON_PATCH_TYPE, OBJECT_TYPE),
)
