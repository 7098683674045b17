"""Keywords about values that have no parts, and about types: ``type``, ``format``, ``enum``, lengths, patterns, bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import re2

from steersman.meta.errors import FieldError, invalid, not_supported, too_long
from steersman.schema.customresources.findings import Check, Finding, Path, render, report, report_nowhere
from steersman.schema.customresources.formats import FORMATS, normalized
from steersman.schema.customresources.values import INT64_MAX, INT64_MIN, go_number, is_integral, quoted, same

Schema = Mapping[str, Any]
_INT32 = (-(2**31), 2**31 - 1)
_FLOAT32_MAX = 3.4028234663852886e38
CLASSES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_NAMES: Mapping[type, tuple[str, str]] = {
    str: ("string", ""),
    int: ("integer", "int64"),
    float: ("number", "float64"),
    bool: ("boolean", ""),
    list: ("array", ""),
    dict: ("object", ""),
}
"""The JSON type of a value, and the format that go-openapi infers from its Go type."""


def types_of(schema: Schema) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    kind = schema.get("type")
    return (kind,) if kind else ()


def known_format(schema: Schema) -> str:
    """The format, where the type has it; others are ignored."""
    name: str = schema.get("format") or ""
    if not name or schema.get("x-kubernetes-int-or-string"):
        return name if normalized(name) in FORMATS else ""
    kind = schema.get("type") or ""
    if kind in ("", "string"):
        return name if normalized(name) in FORMATS else ""
    if kind == "integer":
        return name if name in ("int32", "int64") else ""
    if kind == "number":
        return name if name in ("float", "double") else ""
    return ""


TypeCheck = Callable[[Any, Path, list[Finding]], int]


def type_check(types: tuple[str, ...], format_name: str, *, nullable: bool) -> TypeCheck:
    """For values that are not plainly of the right type."""
    expected = ",".join(types)
    is_numeric = "number" in types or "integer" in types

    def report(wanted: str, got: str, path: Path, found: list[Finding]) -> int:
        name = render(path)
        message = f"{name} in body must be of type {wanted}: {quoted(got)}"
        found.append(Finding(message, FieldError("FieldValueTypeInvalid", name, message, got)))
        return 0

    def check_type(value: Any, path: Path, found: list[Finding]) -> int:
        if value is None:
            return report(expected, "null", path, found) if types and not nullable else 1
        json_type, go_format = _NAMES[value.__class__]
        is_right = json_type in types or (json_type == "integer" and "number" in types)
        if json_type == "number" and "integer" in types and is_integral(value):
            is_right = True
        is_text = json_type in ("string", "array")
        if format_name and not is_text and not is_right and go_format != format_name:
            return report(format_name, go_format, path, found)
        if format_name and json_type == "string" and not is_numeric:
            return 1
        return 1 if is_right else report(expected, json_type, path, found)

    return check_type


def enum_check(schema: Schema) -> Callable[[Any, Path, list[Finding]], None] | None:
    allowed: Sequence[Any] = schema.get("enum") or ()
    if not allowed:
        return None
    shown = [value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in allowed]
    texts = frozenset(value for value in allowed if isinstance(value, str))
    listed = " ".join(shown)

    def check_enum(value: Any, path: Path, found: list[Finding]) -> None:
        if value.__class__ is str:
            if value in texts:
                return
        elif value is not None and any(same(value, entry) for entry in allowed):
            return
        name = render(path)
        found.append(Finding(f"{name} in body should be one of [{listed}]", not_supported(name, value, shown)))

    return check_enum


def string_check(schema: Schema) -> Check | None:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    pattern: str = schema.get("pattern") or ""
    search = _searcher(pattern) if pattern else None
    format_name = known_format(schema)
    is_format = FORMATS.get(normalized(format_name))
    if longest is None and shortest is None and not pattern and is_format is None:
        return lambda value, old, path, found: 1

    def check_string(value: Any, old: Any, path: Path, found: list[Finding]) -> int:
        if longest is not None and len(value) > longest:
            name = render(path)
            found.append(
                Finding(f"{name} in body should be at most {longest} chars long", too_long(name, int(longest)))
            )
        elif shortest is not None and len(value) < shortest:
            report(found, path, value, f"should be at least {shortest} chars long")
        elif search is not None and not search(value):
            report(found, path, value, f"should match '{pattern}'")
        if is_format is None:
            return 1
        if not is_format(value):
            name = render(path)
            message = f"{name} in body must be of type {format_name}: {quoted(value)}"
            found.append(Finding(message, FieldError("FieldValueTypeInvalid", name, message, value)))
        return 2

    return check_string


@lru_cache(maxsize=4096)
def pattern_error(pattern: str) -> str:
    """What is wrong with a regular expression; empty where nothing is."""
    try:
        _pattern(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        what, _, where = text.partition(": ")
        return f"error parsing regexp: {_IN_GO.get(what, what)}: `{where}`"
    return ""


_IN_GO: Mapping[str, str] = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "trailing \\": "trailing backslash at end of expression",
}
"""What RE2 says of malformed expressions, and what Go's RE2 says."""


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _searcher(pattern: str) -> Callable[[str], bool]:
    """Raises ``re2.error``: definitions with malformed patterns are refused."""
    search = _pattern(pattern).search
    return lambda text: search(text) is not None


def number_check(schema: Schema) -> Check | None:
    factor, highest, lowest = schema.get("multipleOf"), schema.get("maximum"), schema.get("minimum")
    excludes_highest, excludes_lowest = schema.get("exclusiveMaximum"), schema.get("exclusiveMinimum")
    types = types_of(schema)
    kind = types[0] if len(types) == 1 and types[0] in ("integer", "number") else ""
    format_name = known_format(schema) if kind else ""
    has_range = kind == "integer" or format_name == "float"
    if not has_range and factor is None and highest is None and lowest is None:
        return lambda value, old, path, found: 2

    def check_range(value: float, what: str, path: Path, found: list[Finding]) -> bool:
        """Tells of a number that the type cannot hold."""
        if not has_range or _is_in_range(value, kind, format_name):
            return True
        of_format = f"with format {format_name}" if format_name else "(default format)"
        report_nowhere(found, f"{what} value must be of type {kind} {of_format} in {render(path)}")
        return False

    def check_number(value: Any, old: Any, path: Path, found: list[Finding]) -> int:
        check_range(value, "Checked", path, found)
        if factor is not None:
            is_native = check_range(factor, "MultipleOf", path, found) and value.__class__ is int
            number = int(factor) if is_native else float(factor)
            if number <= 0:
                name = render(path)
                message = f"factor MultipleOf declared for {name} must be positive: {go_number(number)}"
                found.append(Finding(message, invalid(name, number, message)))
            elif value % number if is_native else not _is_multiple(value, number):
                report(found, path, value, f"should be a multiple of {go_number(number)}")
        if highest is not None:
            is_native = check_range(highest, "Maximum boundary", path, found) and value.__class__ is int
            number = int(highest) if is_native else float(highest)
            if value > number or (excludes_highest and value == number):
                relation = "less than" if excludes_highest else "less than or equal to"
                report(found, path, value, f"should be {relation} {go_number(number)}")
        if lowest is not None:
            is_native = check_range(lowest, "Minimum boundary", path, found) and value.__class__ is int
            number = int(lowest) if is_native else float(lowest)
            if value < number or (excludes_lowest and value == number):
                relation = "greater than" if excludes_lowest else "greater than or equal to"
                report(found, path, value, f"should be {relation} {go_number(number)}")
        return 2

    return check_number


def _is_in_range(value: float, kind: str, format_name: str) -> bool:
    if kind == "integer":
        if isinstance(value, float) and not value.is_integer():
            return False
        low, high = _INT32 if format_name == "int32" else (INT64_MIN, INT64_MAX)
        return low <= value <= high
    return abs(value) <= _FLOAT32_MAX


def _is_multiple(value: float, factor: float) -> bool:
    return is_integral(1 / factor * value if factor < 1 else value / factor)
