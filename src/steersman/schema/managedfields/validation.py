"""What an applied configuration must be: of the declared types, without unknown fields and without duplicate elements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from steersman.meta.quoting import quoted
from steersman.schema.managedfields import fieldset
from steersman.schema.managedfields.typed import ANY, Type, UntypedElement


class NoJSON(Struct, frozen=True):
    """Stands for a value that JSON does not have, in configurations that are not read but computed."""

    printed: str
    syntax: str

    def __str__(self) -> str:
        return self.printed


def errors_of(value: Any, type_: Type) -> list[str]:
    """``.spec.foo: field not declared in schema`` and the like; empty for a valid configuration."""
    errors: list[str] = []
    _check(value, type_, "", errors)
    return errors


def text_of(errors: list[str]) -> str:
    """Several errors as upstream joins them."""
    return errors[0] if len(errors) == 1 else "\n  ".join(["errors:", *errors])


def _check(value: Any, type_: Type, path: str, errors: list[str]) -> None:
    if value is None:
        return
    problem = _type_problem(value, type_)
    if problem:
        errors.append(f"{path}: {problem}" if path else problem)
    elif type_.form == "leaf":
        _check_atomic(value, type_, path, errors)
    elif isinstance(value, dict):
        for key, child in value.items():
            found = ANY if type_.form == "any" else type_.child(key)
            if found is None:
                errors.append(f"{path}.{key}: field not declared in schema")
            else:
                _check(child, found, f"{path}.{key}", errors)
    elif isinstance(value, list) and type_.form in ("keyed", "set"):
        _check_list(value, type_, path, errors)


def _check_atomic(value: Any, type_: Type, path: str, errors: list[str]) -> None:
    """Owned as a whole, but made of what the schema says."""
    within = type_.within if isinstance(value, (dict, list)) else None
    if within is None:
        return
    if isinstance(value, dict):
        _check(value, within, path, errors)
        return
    for position, item in enumerate(value):
        _check(item, within, f"{path}[{position}]", errors)


def _check_list(items: list[Any], type_: Type, path: str, errors: list[str]) -> None:
    seen: set[str] = set()
    for position, item in enumerate(items):
        try:
            step = type_.step(item)
        except UntypedElement as error:
            errors.append(f"{path}: element {position}: {error}")
            return
        if step in seen:
            errors.append(f"{path}: duplicate entries for key {fieldset.step_text(step)}")
        seen.add(step)
        _check(item, type_.element or ANY, f"{path}{fieldset.step_text(step)}", errors)


def _type_problem(value: Any, type_: Type) -> str:
    expects = type_.expects
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if expects in ("integer", "number"):
        return "" if is_number else f"expected numeric (int or float), got {_go_kind(value)}"
    if expects == "string":
        return (
            "" if isinstance(value, str) else f"expected string, got &value.valueUnstructured{{Value:{_syntax(value)}}}"
        )
    if expects == "boolean":
        return "" if isinstance(value, bool) else f"expected boolean, got {_shown(value)}"
    if expects == "scalar":
        return "" if not isinstance(value, (dict, list)) else f"expected any scalar, got {_shown(value)}"
    if expects == "array":
        return "" if isinstance(value, list) else f"expected list, got {_shown(value)}"
    if expects == "object":
        return "" if isinstance(value, dict) else f"expected map, got {_shown(value)}"
    return ""


def _go_kind(value: Any) -> str:
    names: Mapping[type, str] = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
    return names.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    return f"&{{{_printed(value)}}}"


def _printed(value: Any) -> str:
    """As Go's ``%v`` prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_printed(item)}' for key, item in sorted(value.items()))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_printed, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "<nil>", True: "true", False: "false"}[value]
    return str(value)


def _syntax(value: Any) -> str:
    """As Go's ``%#v`` prints it."""
    if isinstance(value, dict):
        return f"map[string]interface {{}}{{{', '.join(f'{quoted(key)}:{_syntax(item)}' for key, item in sorted(value.items()))}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_syntax, value))}}}"
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "interface {}(nil)"
    return value.syntax if isinstance(value, NoJSON) else _printed(value)
