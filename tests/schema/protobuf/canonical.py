"""Objects as Go would write them, generated from the tables: every field that JSON always has, others sometimes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from steersman.schema.protobuf import tables
from steersman.schema.protobuf.tables import Field

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": _TEXT,
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False).map(lambda x: int(x) if x.is_integer() else x),
    "bytes": st.binary(min_size=1, max_size=6).map(lambda data: base64.b64encode(data).decode()),
}
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=3,
)
_SECONDS = st.datetimes().map(lambda moment: f"{moment.replace(microsecond=0).isoformat()}Z")
_SPECIALS: dict[str, st.SearchStrategy[Any]] = {
    "resource.Quantity": st.sampled_from(["0", "500m", "1Gi", "12e6", "-3"]),
    "intstr.IntOrString": st.integers(-(2**31), 2**31 - 1) | _TEXT,
    "meta.v1.Time": _SECONDS,
    "meta.v1.MicroTime": st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='microseconds')}Z"),
    "meta.v1.FieldsV1": st.dictionaries(_TEXT, _JSON, min_size=1, max_size=2),
    "runtime.RawExtension": _JSON,
    "apiextensions.v1.JSON": _JSON,
}
_OR_LISTS = {
    "apiextensions.v1.JSONSchemaPropsOrArray": "apiextensions.v1.JSONSchemaProps",
    "apiextensions.v1.JSONSchemaPropsOrStringArray": "string",
}
MAX_DEPTH = 6


def objects(name: str, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a scalar or of the message called ``core.v1.Pod``."""
    if name in _SCALARS:
        return _SCALARS[name]
    if name in _SPECIALS:
        return _SPECIALS[name]
    if name == "apiextensions.v1.JSONSchemaPropsOrBool":
        return st.booleans() | objects("apiextensions.v1.JSONSchemaProps", depth + 1)
    if name in _OR_LISTS:
        several = st.lists(objects(_OR_LISTS[name], depth + 2), min_size=1, max_size=2)
        return several | objects("apiextensions.v1.JSONSchemaProps", depth + 2)
    message = tables.message(name)
    if message.element:
        return st.lists(objects(message.element, depth + 1), max_size=2)
    return st.composite(_object)(message.fields, depth)


def _object(draw: st.DrawFn, fields: Sequence[Field], depth: int) -> Any:
    found: dict[str, Any] = {}
    for field in fields:
        if field.is_inline:
            found |= draw(objects(field.type, depth))
        elif _is_needed(field) or (depth < MAX_DEPTH and draw(st.integers(0, 2)) == 0):
            value = draw(_values(field, depth))
            if value is not None:
                found[field.name] = value
    return found


def _is_needed(field: Field) -> bool:
    """JSON always has it, and its zero is not null."""
    if not field.is_always or field.shape or field.type == "bytes":
        return False
    if field.type in _SCALARS:
        return True
    if field.type in _SPECIALS:
        return field.type in ("resource.Quantity", "intstr.IntOrString")
    return not tables.message(field.type).element


def _values(field: Field, depth: int) -> st.SearchStrategy[Any]:
    values = objects(field.type, depth + 1)
    if field.shape == "list":
        return st.lists(values, min_size=1, max_size=2)
    if field.shape == "map":
        return st.dictionaries(_TEXT, values, min_size=1, max_size=2)
    if field.type in _SCALARS and field.type != "bytes" and not field.is_pointer and not field.is_always:
        return values.filter(bool)
    return values
