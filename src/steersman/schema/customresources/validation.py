"""Validation of values against an OpenAPI v3 schema, compiled once into closures.

Messages, their fields and which of several alternatives' errors are told are those of kube-openapi's validator, which
apiextensions uses. Errors about ``oneOf`` and the like have the field ``<nil>`` there, and so they have here.

On an update errors about values that have not changed are forgiven ("validation ratcheting", KEP-4008): a value is compared
with its old one where that is known, that is below objects by key and below lists of type ``map`` by their keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from steersman.meta.errors import FieldError, invalid, required
from steersman.schema.customresources.findings import (
    NOWHERE,
    UNCORRELATED,
    Check,
    Finding,
    Path,
    render,
    report,
    report_nowhere,
)
from steersman.schema.customresources.scalars import (
    CLASSES,
    enum_check,
    known_format,
    number_check,
    string_check,
    type_check,
    types_of,
)
from steersman.schema.customresources.values import INT64_MAX, INT64_MIN, quoted, same
from steersman.schema.rules import too_many

Schema = Mapping[str, Any]


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
    types = types_of(schema)
    check_type = type_check(types, known_format(schema), nullable=bool(schema.get("nullable")))
    accepted = frozenset(cls for name in types for cls in CLASSES.get(name, ()))
    is_typed = bool(types or known_format(schema))
    junctions = _junctions(schema, keys)
    enum = enum_check(schema)
    by_class: dict[type, Check] = {}
    for cls, check in (
        (str, string_check(schema)),
        (int, number_check(schema)),
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
                report_nowhere(found, f"{quoted(render(path))} must not validate the schema (not)")
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
    report_nowhere(found, f"{quoted(render(path))} must validate at least one schema (anyOf)")
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
    report_nowhere(found, f"{quoted(render(path))} must validate one and only one schema (oneOf). {how_many}")
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
        report_nowhere(found, f"{quoted(render(path))} must validate all the schemas (allOf){none}")
    return count


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
            report(found, path, len(value), f"should have at least {least} items")
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
            report(found, path, len(value), f"should have at least {least} properties")
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
