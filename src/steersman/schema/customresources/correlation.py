"""Which value of the old object a value of the new one was: the same key of an object, the same keys in a list of type ``map``.

What is below a list of another type can be told from nothing. By "validation ratcheting" (KEP-4008) what has not changed is
forgiven, and what cannot be told from an old value is forgiven when the nearest value around it that can be has not changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.schema.customresources.values import same

Schema = Mapping[str, Any]
ABSENT: Any = object()


class Correlation:
    """A value beside its old one."""

    __slots__ = ("_is_unchanged", "_known", "_old", "_schema", "_value")

    def __init__(self, value: Any, old: Any, schema: Schema) -> None:
        self._value = value
        self._old = old
        self._schema = schema
        self._known: Mapping[Any, Any] | None = None
        self._is_unchanged: bool | None = None

    def key(self, name: str) -> Correlation | None:
        """Of the value's field; None if it was not there, or is not."""
        if not isinstance(self._value, dict) or not isinstance(self._old, dict):
            return None
        schema = part_of(self._schema, name)
        if schema is None or name not in self._value or name not in self._old:
            return None
        return Correlation(self._value[name], self._old[name], schema)

    def index(self, index: int) -> Correlation | None:
        """Of an element of the value; None if no old one has its keys."""
        if not isinstance(self._value, list) or not isinstance(self._old, list):
            return None
        items = self._schema.get("items")
        if not isinstance(items, Mapping) or index >= len(self._value):
            return None
        if self._known is None:
            self._known = keyed(self._old, list_keys(self._schema))
        value = self._value[index]
        old = self._known.get(composite_key(value, list_keys(self._schema)))
        return None if old is None else Correlation(value, old, items)

    @property
    def is_unchanged(self) -> bool:
        if self._is_unchanged is None:
            self._is_unchanged = self._compare()
        return self._is_unchanged

    def _compare(self) -> bool:
        value, old = self._value, self._old
        if same(value, old):
            return True
        if isinstance(value, dict) and isinstance(old, dict):
            return len(value) == len(old) and all(_is_unchanged(self.key(name)) for name in value)
        if isinstance(value, list) and isinstance(old, list) and list_keys(self._schema):
            return len(value) == len(old) and all(_is_unchanged(self.index(index)) for index in range(len(value)))
        return False


def _is_unchanged(child: Correlation | None) -> bool:
    return child is not None and child.is_unchanged


def part_of(schema: Schema, name: str) -> Schema | None:
    """The schema of a field."""
    found = (schema.get("properties") or {}).get(name)
    if found is None:
        values = schema.get("additionalProperties")
        found = values if isinstance(values, Mapping) else None
    return found


def list_keys(schema: Schema) -> Sequence[str]:
    """Of a list of type ``map``; empty for any other schema."""
    if schema.get("type") != "array" or schema.get("x-kubernetes-list-type") != "map":
        return ()
    keys: Sequence[str] = schema.get("x-kubernetes-list-map-keys") or ()
    return keys


def composite_key(item: Any, keys: Sequence[str]) -> tuple[tuple[type, Any], ...] | None:
    """What tells an element of a list from others; None if it lacks one of its keys."""
    if not isinstance(item, dict):
        return None
    found = []
    for key in keys:
        value = item.get(key, ABSENT)
        if not isinstance(value, str | bool | int | float):
            return None
        found.append((type(value), value))
    return tuple(found)


def keyed(items: Any, keys: Sequence[str]) -> Mapping[Any, Any]:
    """Elements by their keys; of several with the same, the first."""
    found: dict[Any, Any] = {}
    if not keys or not isinstance(items, list):
        return found
    for item in items:
        key = composite_key(item, keys)
        if key is not None:
            found.setdefault(key, item)
    return found
