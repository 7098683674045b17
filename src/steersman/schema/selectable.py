"""Values for field selectors: the field of an object as the text that a selector compares with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steersman.meta.objects import Object


def _value_at(obj: Object, path: tuple[str, ...]) -> Any:
    value: Any = obj
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            return None
    return value


def text_at(*path: str) -> Callable[[Object], str]:
    """A string, empty where the field is absent."""
    return lambda obj: str(_value_at(obj, path) or "")


def flag_at(*path: str) -> Callable[[Object], str]:
    """A boolean, ``false`` where the field is absent."""
    return lambda obj: "true" if _value_at(obj, path) else "false"


def count_at(*path: str) -> Callable[[Object], str]:
    """An integer, ``0`` where the field is absent."""
    return lambda obj: str(_value_at(obj, path) or 0)
