"""Bringing custom resources into the structure that their schema gives them: pruning, nulls, embedded objects, defaults.

Each schema is compiled once into closures that return what they are given where nothing changes, and copies along the
changed paths otherwise, so that stored objects can be read through them.
Source: "Field pruning", "Defaulting" and "Defaulting and Nullable" of the CustomResourceDefinition documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from steersman.meta.errors import BadRequest, invalid
from steersman.schema import definitions
from steersman.schema.structural import compiled as compiled_definition

Schema = Mapping[str, Any]
Unknown = list[str] | None
"""Takes the paths of pruned fields, relative to the value."""
Coerce = Callable[[Any, Unknown], Any]
Default = Callable[[Any], Any]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
_CONTAINERS = frozenset({dict, list})
_OBJECT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_EMPTY: Schema = {}


class Coercion:
    """A schema of a whole object, compiled. ``compiled`` gives the one of a schema."""

    __slots__ = ("_coerce", "_default")

    def __init__(self, schema: Schema) -> None:
        self._coerce = part_coercer({**schema, EMBEDDED: True})
        self._default = _defaulter(schema)

    def coerced(self, obj: Any, unknown: Unknown = None) -> Any:
        """``obj`` without the fields that the schema does not have and without nulls where there may be none.

        Raises ``BadRequest`` where ``metadata`` or an embedded object is malformed.
        """
        return self._coerce(obj, unknown)

    def defaulted(self, obj: Any) -> Any:
        """``obj`` with the schema's defaults."""
        return obj if self._default is None else self._default(obj)


def compiled(schema: Schema) -> Coercion:
    """The coercion of a schema; the same for schemas of the same content."""
    return _compiled(msgspec.json.encode(schema))


@lru_cache(maxsize=512)
def _compiled(content: bytes) -> Coercion:
    return Coercion(msgspec.json.decode(content))


def part_coercer(schema: Schema) -> Coerce:
    """Coerces values of a part of a schema. Raises ``BadRequest`` as ``Coercion.coerced`` does."""
    coerce = _coercer(schema)

    def coerce_part(value: Any, unknown: Unknown) -> Any:
        try:
            return coerce(value, unknown)
        except _Malformed as error:
            raise BadRequest(error.message()) from None

    return coerce_part


def private_copy(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if value.__class__ is dict:
        return {key: private_copy(child) for key, child in value.items()}
    if value.__class__ is list:
        return [private_copy(child) for child in value]
    return value


def _drops_null(schema: Schema | None) -> bool:
    """A null is as good as nothing: it may not be one, and no default takes its place."""
    return schema is not None and not schema.get("nullable") and schema.get("default") is None


def _coercer(schema: Schema | None) -> Coerce:
    """Prunes values of ``schema``; None: nothing is known of them, so that objects lose all their fields."""
    if schema is None:
        return _emptied
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    items = schema.get("items")
    preserves, embedded = bool(schema.get(PRESERVE)), bool(schema.get(EMBEDDED))
    known = {name: (_coercer(part), _drops_null(part)) for name, part in properties.items()}
    if embedded:
        known |= {name: (_embedded_field(name), False) for name in _OBJECT_FIELDS}
    other: tuple[Coerce, bool] | None = None
    if additional is not None:
        part = additional if isinstance(additional, Mapping) else None
        other = (_coercer(part), _drops_null(part))
    elif preserves:
        other = (_unchanged, False)
    if isinstance(items, Mapping):
        coerce_item = _coercer({**items, PRESERVE: True}) if preserves else _coercer(items)
    else:
        coerce_item = _unchanged if preserves else _emptied
    part_of = known.get

    def coerce(value: Any, unknown: Unknown) -> Any:
        cls = value.__class__
        if cls is list:
            return _coerced_list(coerce_item, value, unknown)
        if cls is not dict:
            return value
        changed: dict[str, Any] | None = None
        for key, child in value.items():
            part = part_of(key, other)
            if part is None:
                if unknown is not None:
                    unknown.append(key)
                changed = value.copy() if changed is None else changed
                del changed[key]
                continue
            if child is None:
                if part[1]:
                    changed = value.copy() if changed is None else changed
                    del changed[key]
                continue
            if child.__class__ not in _CONTAINERS and not (embedded and key in _OBJECT_FIELDS):
                continue
            before = len(unknown) if unknown is not None else 0
            try:
                coerced = part[0](child, unknown)
            except _Malformed as error:
                raise error.within(key) from None
            if unknown and len(unknown) != before:
                unknown[before:] = [_below(key, path) for path in unknown[before:]]
            if coerced is not child:
                changed = value.copy() if changed is None else changed
                changed[key] = coerced
        return value if changed is None else changed

    return coerce


def _coerced_list(coerce_item: Coerce, value: list[Any], unknown: Unknown) -> list[Any]:
    changed: list[Any] | None = None
    for index, item in enumerate(value):
        if item.__class__ not in _CONTAINERS:
            continue
        before = len(unknown) if unknown is not None else 0
        try:
            coerced = coerce_item(item, unknown)
        except _Malformed as error:
            raise error.within(index) from None
        if unknown and len(unknown) != before:
            unknown[before:] = [_below(f"[{index}]", path) for path in unknown[before:]]
        if coerced is not item:
            changed = value.copy() if changed is None else changed
            changed[index] = coerced
    return value if changed is None else changed


def _below(parent: str, path: str) -> str:
    return f"{parent}{path}" if path.startswith("[") else f"{parent}.{path}"


def _unchanged(value: Any, unknown: Unknown) -> Any:
    return value


def _emptied(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is dict:
        if not value:
            return value
        if unknown is not None:
            unknown.extend(value)
        return {}
    if value.__class__ is list:
        return _coerced_list(_emptied, value, unknown)
    return value


class _Malformed(Exception):
    """A part of an embedded object is not what it has to be."""

    def __init__(self, value: Any, why: str) -> None:
        super().__init__(why)
        self._value = value
        self._why = why
        self._path = ""

    def within(self, step: str | int) -> _Malformed:
        own = f"[{step}]" if isinstance(step, int) else step
        self._path = _below(own, self._path) if self._path else own
        return self

    def message(self) -> str:
        if self._path in _OBJECT_FIELDS:
            return self._why
        return str(invalid(self._path, self._value, self._why))


def _embedded_field(name: str) -> Coerce:
    """``apiVersion``, ``kind`` or ``metadata`` of an object."""
    if name == "metadata":
        structure = compiled_definition(definitions.OBJECT_META)

        def coerce_metadata(value: Any, unknown: Unknown) -> Any:
            try:
                return structure.decode(value, unknown)
            except BadRequest as error:
                raise _Malformed(value, error.message) from error

        return coerce_metadata

    def coerce_name(value: Any, unknown: Unknown) -> Any:
        if not isinstance(value, str):
            raise _Malformed(value, "must be a string")
        return value

    return coerce_name


def _defaulter(schema: Schema | None) -> Default | None:
    """Fills in defaults; None where the schema has none."""
    if schema is None:
        return None
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    additional, items = schema.get("additionalProperties"), schema.get("items")
    fills = {
        name: (_default_value(part), not part.get("nullable"))
        for name, part in properties.items()
        if part.get("default") is not None
    }
    parts = {name: found for name, part in properties.items() if (found := _defaulter(part)) is not None}
    values = additional if isinstance(additional, Mapping) else None
    fill_value = _default_value(values) if values is not None and not values.get("nullable") else None
    default_value = _defaulter(values)
    item = items if isinstance(items, Mapping) else None
    fill_item = _default_value(item) if item is not None and not item.get("nullable") else None
    default_item = _defaulter(item)
    has_others = default_value is not None or fill_value is not None
    has_items = default_item is not None or fill_item is not None
    if not (fills or parts or has_others or has_items):
        return None

    def default_others(value: Mapping[str, Any], changed: dict[str, Any] | None) -> dict[str, Any] | None:
        for key, child in value.items():
            if key in properties:
                continue
            new = _defaulted(child, fill_value, default_value)
            if new is not child:
                changed = dict(value) if changed is None else changed
                changed[key] = new
        return changed

    def default(value: Any) -> Any:
        cls = value.__class__
        if cls is list:
            return _defaulted_list(value, fill_item, default_item) if has_items else value
        if cls is not dict:
            return value
        changed: dict[str, Any] | None = None
        for name, (fill, replaces_null) in fills.items():
            if name not in value or (replaces_null and value[name] is None):
                changed = value.copy() if changed is None else changed
                changed[name] = private_copy(fill)
        for name, default_part in parts.items():
            current = value if changed is None else changed
            if name in current:
                child = current[name]
                new = default_part(child)
                if new is not child:
                    changed = value.copy() if changed is None else changed
                    changed[name] = new
        if has_others:
            changed = default_others(value, changed)
        return value if changed is None else changed

    return default


def _defaulted(value: Any, fill: Any, default: Default | None) -> Any:
    if value is None and fill is not None:
        value = private_copy(fill)
    return value if default is None else default(value)


def _defaulted_list(value: list[Any], fill: Any, default: Default | None) -> list[Any]:
    changed: list[Any] | None = None
    for index, item in enumerate(value):
        new = _defaulted(item, fill, default)
        if new is not item:
            changed = value.copy() if changed is None else changed
            changed[index] = new
    return value if changed is None else changed


def _default_value(schema: Schema) -> Any:
    """The default as it is filled in: without fields that the schema does not have."""
    default = schema.get("default")
    if default.__class__ in _CONTAINERS:
        return _coercer(schema)(default, None)
    return default
