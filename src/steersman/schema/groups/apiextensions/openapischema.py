"""What of OpenAPI v3 a definition's schema may use, and rules of Kubernetes' extensions to it.

CEL rules are looked at as text only; ``celrules`` compiles them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from steersman.meta.errors import FieldError, forbidden, invalid, not_supported, required
from steersman.schema.customresources import fieldpaths
from steersman.schema.groups.apiextensions.structural import EMBEDDED, PRESERVE, Schema, properties_of
from steersman.schema.rules import Errors

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REFUSED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_OBJECT_FIELDS = frozenset({"metadata", "kind", "apiVersion"})
_LIST, _KEYS, _MAP = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_STRING_FORMATS = frozenset(
    [
        "bsonobjectid", "uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "uuid", "uuid3", "uuid4", "uuid5", "isbn",
        "isbn10", "isbn13", "creditcard", "ssn", "hexcolor", "rgbcolor", "byte", "password", "date", "duration", "datetime",
        "k8sshortname", "k8slongname",
    ]
)  # fmt: skip
_FORMATS = {"integer": ("int32", "int64"), "number": ("float", "double")}


class _Place(Struct, frozen=True):
    """Where in the schema we are."""

    no_defaults: str = ""
    """Why defaults are refused; empty: they are not."""
    in_metadata: bool = False


def openapi_errors(schema: Schema, path: str) -> list[FieldError]:
    errors: Errors = []
    _check(errors, schema, path, _Place(), is_root=True)
    return errors


def _check(errors: Errors, schema: Schema, path: str, place: _Place, *, is_root: bool = False) -> None:
    _check_vocabulary(errors, schema, path, place)
    properties, additional = properties_of(schema), schema.get("additionalProperties")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden(f"{path}.uniqueItems", detail))
    if additional is not None and additional is not True and properties:
        detail = "additionalProperties and properties are mutual exclusive"
        errors.append(forbidden(f"{path}.additionalProperties", detail))
    if isinstance(additional, Mapping):
        reason = "inside additionalProperties applying to object metadata" if place.in_metadata else place.no_defaults
        _check(errors, additional, f"{path}.additionalProperties", replace(place, no_defaults=reason))
    for name, part in properties.items():
        below = place
        if name in _OBJECT_FIELDS and (is_root or schema.get(EMBEDDED)):
            reason = f"in top-level {name}" if is_root else place.no_defaults
            below = _Place(no_defaults=reason, in_metadata=True)
        _check(errors, part, f"{path}.properties[{name}]", below)
    for part, at in _parts(schema, path):
        _check(errors, part, at, place)
    if schema.get(PRESERVE) is False:
        errors.append(invalid(f"{path}.{PRESERVE}", False, "must be true or undefined"))
    _check_map(errors, schema, path)
    _check_list(errors, schema, path)
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        _check_rule(errors, rule, schema, f"{path}.x-kubernetes-validations[{index}]")


def _parts(schema: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    if schema.get("not") is not None:
        yield schema["not"], f"{path}.not"
    for name in ("allOf", "oneOf", "anyOf"):
        for index, part in enumerate(schema.get(name) or ()):
            yield part, f"{path}.{name}[{index}]"
    for name, part in (schema.get("definitions") or {}).items():
        yield part, f"{path}.definitions[{name}]"
    if isinstance(schema.get("items"), Mapping):
        yield schema["items"], f"{path}.items"


def _check_vocabulary(errors: Errors, schema: Schema, path: str, place: _Place) -> None:
    kind = schema.get("type") or ""
    if kind and kind not in _TYPES:
        errors.append(not_supported(f"{path}.type", kind, _TYPES))
    if schema.get("default") is not None and place.no_defaults:
        errors.append(forbidden(f"{path}.default", f"must not be set {place.no_defaults}"))
    errors.extend(forbidden(f"{path}.{name}", f"{name} is not supported") for name in _REFUSED if _is_set(schema, name))
    if kind == "null":
        errors.append(forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative"))
    if isinstance(schema.get("items"), list):
        errors.append(forbidden(f"{path}.items", "items must be a schema object and not an array"))
    if place.in_metadata and schema.get(EMBEDDED):
        errors.append(forbidden(f"{path}.{EMBEDDED}", "must not be used inside of resource meta"))


def _is_set(schema: Schema, name: str) -> bool:
    value = schema.get(name)
    return bool(value) or (name in ("$ref", "additionalItems") and value is not None)


def _check_map(errors: Errors, schema: Schema, path: str) -> None:
    kind, of_map = schema.get("type") or "", schema.get(_MAP)
    if of_map is None:
        return
    if kind != "object":
        errors.append(_wrong_type(path, kind, f"must be object if {_MAP} is specified"))
    if of_map not in ("atomic", "granular"):
        errors.append(not_supported(f"{path}.{_MAP}", of_map, ("atomic", "granular")))


def _wrong_type(path: str, kind: str, detail: str) -> FieldError:
    return invalid(f"{path}.type", kind, detail) if kind else required(f"{path}.type", detail)


def _check_list(errors: Errors, schema: Schema, path: str) -> None:
    of_list, keys = schema.get(_LIST), schema.get(_KEYS) or []
    items: Mapping[str, Any] | None = schema.get("items")
    if of_list is not None and schema.get("type") != "array":
        errors.append(_wrong_type(path, schema.get("type") or "", f"must be array if {_LIST} is specified"))
    elif of_list == "set" and items is not None:
        _check_set_items(errors, items, path)
    if of_list not in (None, "atomic", "set", "map"):
        errors.append(not_supported(f"{path}.{_LIST}", of_list, ("atomic", "set", "map")))
    if keys and of_list != "map":
        detail = f"must be map if {_KEYS} is non-empty"
        at = f"{path}.{_LIST}"
        errors.append(required(at, detail) if of_list is None else invalid(at, of_list, detail))
    if of_list == "map":
        _check_list_map(errors, items, keys, path)
    if of_list in ("set", "map") and items is not None and items.get("nullable"):
        errors.append(forbidden(f"{path}.items.nullable", f"cannot be nullable when {_LIST} is {of_list}"))


def _check_set_items(errors: Errors, items: Schema, path: str) -> None:
    detail = f"must be atomic as item of a list with {_LIST}=set"
    if items.get("type") == "array" and items.get(_LIST) not in (None, "atomic"):
        errors.append(invalid(f"{path}.items.{_LIST}", items.get(_LIST), detail))
    if items.get("type") == "object" and items.get(_MAP) != "atomic":
        errors.append(invalid(f"{path}.items.{_MAP}", items.get(_LIST), detail))


def _check_list_map(errors: Errors, items: Schema | None, keys: list[str], path: str) -> None:
    if not keys:
        errors.append(required(f"{path}.{_KEYS}", f"must not be empty if {_LIST} is map"))
    if items is None:
        errors.append(required(f"{path}.items", f"must have a schema if {_LIST} is map"))
        return
    if items.get("type") != "object":
        detail = f"must be object if parent array's {_LIST} is map"
        errors.append(invalid(f"{path}.items.type", items.get("type") or "", detail))
        return
    properties = properties_of(items)
    for index, key in enumerate(keys):
        part, at = properties.get(key), f"{path}.items.properties[{key}]"
        if part is None:
            errors.append(invalid(f"{path}.{_KEYS}", keys, "entries must all be names of item properties"))
        elif part.get("type") in ("array", "object"):
            detail = f"must be a scalar type if parent array's {_LIST} is map"
            errors.append(invalid(f"{at}.type", items.get("type"), detail))
        if key in keys[:index]:
            errors.append(invalid(f"{path}.{_KEYS}", keys, "must not contain duplicate entries"))
        if part is None:
            continue
        if key not in (items.get("required") or ()) and part.get("default") is None:
            detail = f"this property is in {_KEYS}, so it must have a default or be a required property"
            errors.append(required(f"{at}.default", detail))
        if part.get("nullable"):
            errors.append(forbidden(f"{at}.nullable", f"this property is in {_KEYS}, so it cannot be nullable"))


def _check_rule(errors: Errors, rule: Mapping[str, Any], schema: Schema, path: str) -> None:
    text, message, place = (rule.get(name) or "" for name in ("rule", "message", "fieldPath"))
    expression = rule.get("messageExpression") or ""
    if not text.strip():
        errors.append(required(f"{path}.rule", "rule is not specified"))
    elif message and not message.strip():
        errors.append(invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif _has_breaks(message.strip()):
        errors.append(invalid(f"{path}.message", message, "must not contain line breaks"))
    elif _has_breaks(text.strip()) and not message.strip():
        errors.append(required(f"{path}.message", "message must be specified if rule contains line breaks"))
    if expression and not expression.strip():
        errors.append(required(f"{path}.messageExpression", "messageExpression must be non-empty if specified"))
    if rule.get("reason") is not None and rule["reason"] not in REASONS:
        errors.append(not_supported(f"{path}.reason", rule["reason"], REASONS))
    if place and not place.strip():
        errors.append(invalid(f"{path}.fieldPath", place, "must be non-empty if specified"))
    if _has_breaks(place):
        errors.append(invalid(f"{path}.fieldPath", place, "must not contain line breaks"))
    if place and not _is_path(place, schema):
        errors.append(invalid(f"{path}.fieldPath", place, "must be a valid path"))


def _is_path(path: str, schema: Schema) -> bool:
    try:
        fieldpaths.normalized(path, schema)
    except ValueError:
        return False
    return True


def _has_breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


def unrecognized_formats(schema: Schema) -> Iterator[str]:
    """Values of ``format`` that nothing is checked by."""
    found, kind = schema.get("format"), schema.get("type") or "string"
    if found:
        is_known = found.replace("-", "") in _STRING_FORMATS if kind == "string" else found in _FORMATS.get(kind, ())
        if not is_known:
            yield found
    additional = schema.get("additionalProperties")
    parts = [part for part, _ in _parts(schema, "")]
    for part in (*parts, *properties_of(schema).values(), *([additional] if isinstance(additional, Mapping) else ())):
        yield from unrecognized_formats(part)
