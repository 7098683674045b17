"""What Go makes of absent and of zero fields when it writes an object: some are left out, some are always there.

Upstream reads every body into Go's types and writes it from there. A field that is no pointer and may be left out is not
written while it is empty; one that may not is written though nobody set it. Which is which comes from the struct tags, which
``protobuf/tables`` has as facts; the definitions say it of lists and maps only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from msgspec import Struct

from steersman.schema import definitions
from steersman.schema.protobuf import tables
from steersman.schema.protobuf.tables import Field

_SCALARS: Mapping[str, Any] = {
    "string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0, "double": 0,
    "resource.Quantity": "0", "intstr.IntOrString": 0,
}  # fmt: skip
_FORGETS = "managedFields"
"""Sent as an empty list, it asks the server to forget them."""


class ZeroValues(Struct, frozen=True, kw_only=True):
    """Of one structure."""

    omitted: Mapping[str, Any]
    """Fields that are left out while they have this value."""
    written: Sequence[tuple[str, Callable[[], Any]]] = ()
    """Fields that are always there, with what makes the value they have when nobody set them."""
    null: frozenset[str] = frozenset()
    """Lists, maps, pointers, times and bytes that are always there, null when nobody set them."""


@cache
def of_definition(name: str) -> ZeroValues:
    """Of the structure of a definition. Raises ``definitions.UnknownDefinition``."""
    message = ".".join(name.rsplit(".", 3)[-3:])
    if not tables.exists(message) or tables.message(message).element:
        return ZeroValues(omitted=_by_definition(definitions.definition(name)))
    omitted: dict[str, Any] = {}
    written: list[tuple[str, Callable[[], Any]]] = []
    null: set[str] = set()
    for field in _fields(message):
        if field.name == _FORGETS or (field.is_pointer and not field.is_always):
            continue
        if field.is_always:
            zero = _written(field)
            if zero is not None:
                written.append((field.name, zero))
            else:
                null.add(field.name)
        elif field.shape:
            omitted[field.name] = {} if field.shape == "map" else []
        elif field.type in _SCALARS:
            omitted[field.name] = _SCALARS[field.type]
    return ZeroValues(omitted=omitted, written=written, null=frozenset(null))


def _fields(message: str) -> Iterator[Field]:
    for field in tables.message(message).fields:
        if field.is_inline:
            yield from _fields(field.type)
        else:
            yield field


def _written(field: Field) -> Callable[[], Any] | None:
    """What makes the zero value of a field that is always there; None where that is null."""
    if field.shape or field.is_pointer or field.type == "bytes":
        return None
    if field.type in _SCALARS:
        scalar = _SCALARS[field.type]
        return lambda: scalar
    if not tables.exists(field.type) or tables.message(field.type).element:
        return None
    return lambda: {name: zero() for name, zero in _zeros_of(field.type)}


@cache
def _zeros_of(message: str) -> Sequence[tuple[str, Callable[[], Any]]]:
    zeros = ((field.name, _written(field)) for field in _fields(message) if field.is_always)
    return [(name, _null if zero is None else zero) for name, zero in zeros]


def _null() -> None:
    return None


def _by_definition(schema: definitions.Definition) -> dict[str, Any]:
    """Of structures without protobuf: optional lists and maps are left out while they are empty."""
    required = schema.get("required", ())
    empty: dict[str, Any] = {}
    for field, field_schema in schema["properties"].items():
        if field in required or field == _FORGETS:
            continue
        if field_schema.get("type") == "array":
            empty[field] = []
        elif "additionalProperties" in field_schema:
            empty[field] = {}
    return empty
