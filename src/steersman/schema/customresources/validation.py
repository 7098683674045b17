"""Validation of values against an OpenAPI v3 schema, compiled once into closures.

Messages, their fields and which of several alternatives' errors are told are those of kube-openapi's validator, which
apiextensions uses. Errors about ``oneOf`` and the like have the field ``<nil>`` there, and so they have here.

On an update errors about values that have not changed are forgiven ("validation ratcheting", KEP-4008): a value is compared
with its old one where that is known, that is below objects by key and below lists of type ``map`` by their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import msgspec
import re2

from steersman.meta.errors import FieldError, invalid, not_supported, required, too_long
from steersman.schema.customresources.formats import FORMATS, normalized
from steersman.schema.customresources.values import INT64_MAX, INT64_MIN, go_number, is_integral, quoted, same
from steersman.schema.rules import too_many

Schema = Mapping[str, Any]
Path = tuple[Any, ...]
"""Where a value is: () for the root, else (path of the parent, step), so that a step costs one tuple."""
NOWHERE = "<nil>"
"""The field of errors that upstream tells without one."""
UNCORRELATED: Any = object()
"""There is no old value to compare with."""

_INT32 = (-(2**31), 2**31 - 1)
_FLOAT32_MAX = 3.4028234663852886e38
_CLASSES: Mapping[str, tuple[type, ...]] = {
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


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``text`` tells findings apart: the same one is told once."""

    text: str
    error: FieldError
    """Its field is relative to the validated value; ``NOWHERE`` for none."""


Check = Callable[[Any, Any, Path, list[Finding]], int]
"""(value, old value, path, found) -> how many checks matched, by which the best of several failed alternatives is chosen."""


class Validator:
    """A compiled schema. ``compiled`` gives the one of a schema."""

    __slots__ = ("_check",)

    def __init__(self, schema: Schema) -> None:
        self._check = _node(schema)

    def errors(self, value: Any, *, field: str = "") -> list[FieldError]:
        """What is wrong with a new value, which is at ``field``."""
        found: list[Finding] = []
        self._check(value, UNCORRELATED, (), found)
        return _field_errors(found, field) if found else []

    def update_errors(self, value: Any, old: Any, *, field: str = "") -> list[FieldError]:
        """What is wrong with a value and was not in ``old`` already."""
        found: list[Finding] = []
        self._check(value, UNCORRELATED, (), found)
        if not found:
            return []
        found.clear()
        _child(self._check, value, old, (), found)
        return _field_errors(found, field)


def compiled(schema: Schema) -> Validator:
    """The validator of a schema; the same for schemas of the same content."""
    return _compiled(msgspec.json.encode(schema))


@lru_cache(maxsize=512)
def _compiled(content: bytes) -> Validator:
    return Validator(msgspec.json.decode(content))


def _field_errors(found: list[Finding], field: str) -> list[FieldError]:
    return [
        replace(finding.error, field=_below(field, finding.error.field))
        for finding in {finding.text: finding for finding in reversed(found)}.values()
    ][::-1]


def _below(field: str, name: str) -> str:
    if name in ("", NOWHERE):
        return field or NOWHERE
    return f"{field}.{name}" if field else name


def render(path: Path) -> str:
    """``spec.containers[0].image``."""
    steps: list[Any] = []
    while path:
        path, step = path
        steps.append(step)
    text = ""
    for step in reversed(steps):
        text = f"{text}[{step}]" if isinstance(step, int) else f"{text}.{step}" if text else step
    return text


def _report(found: list[Finding], path: Path, value: Any, text: str) -> None:
    """``<path> in body <text>`` about a value."""
    name = render(path)
    message = f"{name} in body {text}"
    found.append(Finding(message, invalid(name, value, message)))


def _report_nowhere(found: list[Finding], text: str) -> None:
    found.append(Finding(text, invalid(NOWHERE, "", text)))


def _child(check: Check, value: Any, old: Any, path: Path, found: list[Finding]) -> int:
    """Check a part of a value; what has not changed is forgiven."""
    before = len(found)
    count = check(value, old, path, found)
    if len(found) > before and old is not UNCORRELATED and same(value, old):
        del found[before:]
    return count


def _node(schema: Schema, keys: Sequence[str] = ()) -> Check:
    """The check of a schema. ``keys`` are those of the list of type map that ``schema`` says more about (in ``allOf``)."""
    if schema.get("x-kubernetes-list-type") == "map":
        keys = schema.get("x-kubernetes-list-map-keys") or ()
    types = _types(schema)
    check_type = _type_check(types, _known_format(schema), nullable=bool(schema.get("nullable")))
    accepted = frozenset(cls for name in types for cls in _CLASSES.get(name, ()))
    is_typed = bool(types or _known_format(schema))
    junctions = _junctions(schema, keys)
    enum = _enum(schema)
    by_class: dict[type, Check] = {}
    for cls, check in (
        (str, _string(schema)),
        (int, _number(schema)),
        (list, _array(schema, keys)),
        (dict, _object(schema)),
    ):
        if check is not None:
            by_class[cls] = check
            if cls is int:
                by_class[float] = check
    own_check = by_class.get

    def check_node(value: Any, old: Any, path: Path, found: list[Finding]) -> int:
        cls = value.__class__
        if value is None:
            count = check_type(value, path, found)
            if enum is not None:
                enum(value, path, found)
            return count
        if cls is int and not INT64_MIN <= value <= INT64_MAX:
            value, cls = float(value), float
        count = 4
        if is_typed:
            count += 2 if cls in accepted else 1 + check_type(value, path, found)
        if junctions is not None:
            count += junctions(value, old, path, found)
        check = own_check(cls)
        if check is not None:
            count += check(value, old, path, found)
        if enum is not None:
            enum(value, path, found)
        return count

    return check_node


def _types(schema: Schema) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    kind = schema.get("type")
    return (kind,) if kind else ()


def _known_format(schema: Schema) -> str:
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


def _type_check(types: tuple[str, ...], format_name: str, *, nullable: bool) -> TypeCheck:
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


def _enum(schema: Schema) -> Callable[[Any, Path, list[Finding]], None] | None:
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


def _junctions(schema: Schema, keys: Sequence[str]) -> Check | None:
    """``anyOf``, ``oneOf``, ``allOf`` and ``not``."""
    any_of, one_of, all_of = (
        [_node(part, keys) for part in schema.get(name) or ()] for name in ("anyOf", "oneOf", "allOf")
    )
    negated = _node(schema["not"], keys) if schema.get("not") is not None else None
    if not (any_of or one_of or all_of or negated):
        return None

    def check_junctions(value: Any, old: Any, path: Path, found: list[Finding]) -> int:
        count = 0
        if any_of:
            count += _check_any(any_of, value, old, path, found)
        if one_of:
            count += _check_one(one_of, value, old, path, found)
        if all_of:
            count += _check_all(all_of, value, old, path, found)
        if negated is not None:
            failures: list[Finding] = []
            negated(value, old, path, failures)
            if not failures:
                _report_nowhere(found, f"{quoted(render(path))} must not validate the schema (not)")
        return count

    return check_junctions


def _check_any(parts: list[Check], value: Any, old: Any, path: Path, found: list[Finding]) -> int:
    best: list[Finding] = []
    best_count = -1
    for part in parts:
        failures: list[Finding] = []
        count = part(value, old, path, failures)
        if not failures:
            return count
        if count > best_count:
            best, best_count = failures, count
    _report_nowhere(found, f"{quoted(render(path))} must validate at least one schema (anyOf)")
    found.extend(best)
    return best_count


def _check_one(parts: list[Check], value: Any, old: Any, path: Path, found: list[Finding]) -> int:
    best: list[Finding] = []
    best_count, first_count, valid = -1, 0, 0
    for part in parts:
        failures: list[Finding] = []
        count = part(value, old, path, failures)
        if not failures:
            first_count = first_count if valid else count
            valid += 1
        elif not valid and count > best_count:
            best, best_count = failures, count
    if valid == 1:
        return first_count
    how_many = f"Found {valid} valid alternatives" if valid else "Found none valid"
    _report_nowhere(found, f"{quoted(render(path))} must validate one and only one schema (oneOf). {how_many}")
    if valid:
        return 0
    found.extend(best)
    return best_count


def _check_all(parts: list[Check], value: Any, old: Any, path: Path, found: list[Finding]) -> int:
    count, valid = 0, 0
    for part in parts:
        before = len(found)
        count += part(value, old, path, found)
        valid += len(found) == before
    if valid != len(parts):
        none = "" if valid else ". None validated"
        _report_nowhere(found, f"{quoted(render(path))} must validate all the schemas (allOf){none}")
    return count


def _string(schema: Schema) -> Check | None:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    pattern: str = schema.get("pattern") or ""
    search = _searcher(pattern) if pattern else None
    format_name = _known_format(schema)
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
            _report(found, path, value, f"should be at least {shortest} chars long")
        elif search is not None and not search(value):
            _report(found, path, value, f"should match '{pattern}'")
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


def _number(schema: Schema) -> Check | None:
    factor, highest, lowest = schema.get("multipleOf"), schema.get("maximum"), schema.get("minimum")
    excludes_highest, excludes_lowest = schema.get("exclusiveMaximum"), schema.get("exclusiveMinimum")
    types = _types(schema)
    kind = types[0] if len(types) == 1 and types[0] in ("integer", "number") else ""
    format_name = _known_format(schema) if kind else ""
    has_range = kind == "integer" or format_name == "float"
    if not has_range and factor is None and highest is None and lowest is None:
        return lambda value, old, path, found: 2

    def check_range(value: float, what: str, path: Path, found: list[Finding]) -> bool:
        """Tells of a number that the type cannot hold."""
        if not has_range or _is_in_range(value, kind, format_name):
            return True
        of_format = f"with format {format_name}" if format_name else "(default format)"
        _report_nowhere(found, f"{what} value must be of type {kind} {of_format} in {render(path)}")
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
                _report(found, path, value, f"should be a multiple of {go_number(number)}")
        if highest is not None:
            is_native = check_range(highest, "Maximum boundary", path, found) and value.__class__ is int
            number = int(highest) if is_native else float(highest)
            if value > number or (excludes_highest and value == number):
                relation = "less than" if excludes_highest else "less than or equal to"
                _report(found, path, value, f"should be {relation} {go_number(number)}")
        if lowest is not None:
            is_native = check_range(lowest, "Minimum boundary", path, found) and value.__class__ is int
            number = int(lowest) if is_native else float(lowest)
            if value < number or (excludes_lowest and value == number):
                relation = "greater than" if excludes_lowest else "greater than or equal to"
                _report(found, path, value, f"should be {relation} {go_number(number)}")
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


def _array(schema: Schema, keys: Sequence[str]) -> Check | None:
    most, least = schema.get("maxItems"), schema.get("minItems")
    items = schema.get("items")
    check_item = _node(items) if isinstance(items, Mapping) else None

    def check_array(value: Any, old: Any, path: Path, found: list[Finding]) -> int:
        count = 2
        if check_item is not None:
            if old is UNCORRELATED or not keys:
                for index, item in enumerate(value):
                    count += check_item(item, UNCORRELATED, (path, index), found)
            else:
                known = _by_keys(old, keys)
                for index, item in enumerate(value):
                    old_item = known.get(_keys_of(item, keys), UNCORRELATED)
                    count += _child(check_item, item, old_item, (path, index), found)
        if least is not None and len(value) < least:
            _report(found, path, len(value), f"should have at least {least} items")
        if most is not None and len(value) > most:
            name = render(path)
            text = f"{name} in body should have at most {most} items"
            found.append(Finding(text, too_many(name, len(value), int(most))))
        return count

    return check_array


def _keys_of(item: Any, keys: Sequence[str]) -> bytes:
    if not isinstance(item, dict):
        return b""
    return msgspec.json.encode([item.get(key) for key in keys])


def _by_keys(old: Any, keys: Sequence[str]) -> Mapping[bytes, Any]:
    if not isinstance(old, list):
        return {}
    return {_keys_of(item, keys): item for item in old if isinstance(item, dict)}


def _object(schema: Schema) -> Check | None:
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    checks = {name: _node(part) for name, part in (schema.get("properties") or {}).items()}
    needed: Sequence[str] = schema.get("required") or ()
    additional = schema.get("additionalProperties")
    check_additional = _node(additional) if isinstance(additional, Mapping) else None
    is_closed = additional is False
    if not (checks or needed or check_additional or is_closed or most is not None or least is not None):
        return lambda value, old, path, found: 1
    check_of = checks.get

    def check_size(value: Any, path: Path, found: list[Finding]) -> None:
        if least is not None and len(value) < least:
            _report(found, path, len(value), f"should have at least {least} properties")
        if most is not None and len(value) > most:
            name = render(path)
            text = f"{name} in body should have at most {most} properties"
            found.append(Finding(text, too_many(name, len(value), int(most))))

    def check_object(value: Any, old: Any, path: Path, found: list[Finding]) -> int:
        count = 1
        if least is not None or most is not None:
            check_size(value, path, found)
        olds = old if isinstance(old, dict) else None
        for key, child in value.items():
            check = check_of(key, check_additional)
            if check is None:
                if is_closed:
                    name = render(path)
                    message = f"{name}.{key} in body is a forbidden property"
                    found.append(Finding(message, invalid(name, key, message)))
                continue
            if olds is None or (not path and key in ("apiVersion", "kind")):
                count += check(child, UNCORRELATED, (path, key), found)
            else:
                count += _child(check, child, olds.get(key, UNCORRELATED), (path, key), found)
        for key in needed:
            if key not in value:
                name = render((path, key))
                found.append(Finding(f"{name} in body is required", required(name)))
        return count

    return check_object
