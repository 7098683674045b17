"""The scale subresource of custom resources: which of their fields are a Scale's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.meta.errors import FieldError, invalid
from steersman.meta.objects import Object
from steersman.schema.customresources.values import INT64_MAX, INT64_MIN, go_number

INT32_MAX = 2**31 - 1


class AccessorError(ValueError):
    """A value on the way is not what the path takes it for."""


class ScalePaths(Struct, frozen=True, kw_only=True):
    """``subresources.scale`` of a version: paths with a leading dot; ``selector`` empty where there is none."""

    spec_replicas: str
    status_replicas: str
    selector: str = ""

    @classmethod
    def of(cls, scale: Mapping[str, Any]) -> ScalePaths:
        return cls(
            spec_replicas=scale["specReplicasPath"],
            status_replicas=scale["statusReplicasPath"],
            selector=scale.get("labelSelectorPath") or "",
        )

    def spec_errors(self, obj: Object) -> list[FieldError]:
        return _replicas_errors(obj, self.spec_replicas)

    def status_errors(self, obj: Object) -> list[FieldError]:
        errors = _replicas_errors(obj, self.status_replicas)
        if self.selector:
            try:
                text_at(obj, self.selector)
            except AccessorError as error:
                errors.append(invalid(self.selector, "", str(error)))
        return errors


def _replicas_errors(obj: Object, path: str) -> list[FieldError]:
    try:
        replicas = integer_at(obj, path) or 0
    except AccessorError as error:
        return [invalid(path, 0, str(error))]
    if replicas < 0:
        return [invalid(path, replicas, "should be a non-negative integer")]
    if replicas > INT32_MAX:
        return [invalid(path, replicas, f"should be less than or equal to {INT32_MAX}")]
    return []


def integer_at(obj: Object, path: str) -> int | None:
    """None where nothing is there. Raises ``AccessorError``."""
    value = _value_at(obj, _steps(path))
    if value is _ABSENT:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and INT64_MIN <= value <= INT64_MAX:
        return value
    raise AccessorError(_mismatch(path, value, "int64"))


def text_at(obj: Object, path: str) -> str:
    """Empty where nothing is there. Raises ``AccessorError``."""
    value = _value_at(obj, _steps(path))
    if value is _ABSENT:
        return ""
    if isinstance(value, str):
        return value
    raise AccessorError(_mismatch(path, value, "string"))


def with_integer(obj: Object, path: str, number: int) -> Object:
    """A copy of ``obj`` with ``number`` at ``path``. Raises ``AccessorError`` where something is in the way."""
    return _with_value(obj, _steps(path), (), number)


def _with_value(obj: Object, steps: Sequence[str], done: tuple[str, ...], number: int) -> Object:
    step, *rest = steps
    if not rest:
        return {**obj, step: number}
    child = obj.get(step, {})
    if not isinstance(child, dict):
        place = ".".join((*done, step))
        raise AccessorError(f"value cannot be set because .{place} is not a map[string]interface{{}}")
    return {**obj, step: _with_value(child, rest, (*done, step), number)}


_ABSENT: Any = object()


def _steps(path: str) -> list[str]:
    return path.removeprefix(".").split(".")


def _value_at(obj: Object, steps: Sequence[str]) -> Any:
    value: Any = obj
    for position, step in enumerate(steps):
        if value is None:
            return _ABSENT
        if not isinstance(value, dict):
            raise AccessorError(_mismatch("." + ".".join(steps[:position]), value, "map[string]interface{}"))
        if step not in value:
            return _ABSENT
        value = value[step]
    return value


def _mismatch(path: str, value: Any, expected: str) -> str:
    return f"{path} accessor error: {_shown(value)} is of the type {_go_type(value)}, expected {expected}"


def _shown(value: Any) -> str:
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return go_number(value)
        case _:
            return str(value)


def _go_type(value: Any) -> str:
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int64"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"
