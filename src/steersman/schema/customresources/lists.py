"""Lists that are sets or maps (``x-kubernetes-list-type``): no element, or no key, occurs twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from steersman.meta.errors import FieldError, duplicate, invalid

Schema = Mapping[str, Any]
Errors = list[FieldError]
Check = Callable[[Any, str, Errors], None]
"""(value, path, errors)."""


def list_errors(schema: Schema, obj: Any) -> Errors:
    """What is wrong with the sets and maps of an object."""
    check = _compiled(msgspec.json.encode(schema))
    errors: Errors = []
    if check is not None:
        check(obj, "", errors)
    return errors


@lru_cache(maxsize=512)
def _compiled(content: bytes) -> Check | None:
    return _check(msgspec.json.decode(content))


def _check(schema: Schema) -> Check | None:
    """None where there is nothing to check below."""
    parts = {
        name: found for name, part in (schema.get("properties") or {}).items() if (found := _check(part)) is not None
    }
    additional, items = schema.get("additionalProperties"), schema.get("items")
    check_value = _check(additional) if isinstance(additional, Mapping) else None
    check_item = _check(items) if isinstance(items, Mapping) else None
    list_type = schema.get("x-kubernetes-list-type")
    keys: Sequence[str] = schema.get("x-kubernetes-list-map-keys") or ()
    checks_list = list_type in ("set", "map")
    if not (parts or check_value or check_item or checks_list):
        return None

    def check(value: Any, path: str, errors: Errors) -> None:
        if value.__class__ is dict:
            for key, child in value.items():
                if key in parts:
                    parts[key](child, f"{path}.{key}" if path else key, errors)
                elif check_value is not None:
                    check_value(child, f"{path}[{key}]", errors)
        elif value.__class__ is list:
            if list_type == "set":
                errors.extend(duplicate(f"{path}[{index}]", value[index]) for index in _repeated(value))
            elif list_type == "map":
                _check_map(value, keys, path, errors)
            if check_item is not None:
                for index, item in enumerate(value):
                    check_item(item, f"{path}[{index}]", errors)

    return check


def _repeated(values: Sequence[Any]) -> list[int]:
    """Positions at which a value is met for the second time; a third one is not told."""
    times: dict[bytes, int] = {}
    repeated: list[int] = []
    for index, value in enumerate(values):
        content = msgspec.json.encode(value, order="sorted")
        times[content] = times.get(content, 0) + 1
        if times[content] == 2:
            repeated.append(index)
    return repeated


def _check_map(values: Sequence[Any], keys: Sequence[str], path: str, errors: Errors) -> None:
    for index, value in enumerate(values):
        if value is not None and not isinstance(value, dict):
            errors.append(invalid(f"{path}[{index}]", value, "must be an object for an array of list-type map"))
            return
    if len(values) < 2:
        return
    found = [{key: value[key] for key in keys if key in value} if value else {} for value in values]
    errors.extend(duplicate(f"{path}[{index}]", found[index]) for index in _repeated(found))
