"""Structural schemas: every value has one type, known without looking into what ``anyOf`` and the like say about it.

Source: "Specifying a structural schema" in the Kubernetes documentation. A schema is the JSON of ``openAPIV3Schema``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from steersman.meta.errors import FieldError, forbidden, invalid, required
from steersman.schema.customresources.scalars import pattern_error
from steersman.schema.rules import Errors

Schema = Mapping[str, Any]
Level = Literal["root", "item", "field"]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
_MISSING_TYPE: Mapping[Level, str] = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_JUNCTIONS = ("anyOf", "allOf", "oneOf")
_NOT_NESTED = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    PRESERVE: "must be false to be structural",
    EMBEDDED: "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
"""Fields that say what a value is, which only the structure itself may."""
_DEFINED = ("additionalProperties", "default", "x-kubernetes-list-type", "x-kubernetes-map-type")
"""Those of them that are refused empty as well."""
_UNSUPPORTED = {
    "id": "id",
    "$schema": "schema",
    "$ref": "$ref",
    "patternProperties": "patternProperties",
    "dependencies": "dependencies",
    "additionalItems": "additionalItems",
    "definitions": "definitions",
}
"""Fields that no structure has, and what upstream calls them."""


def unsupported_field(schema: Schema) -> str:
    """Why a schema cannot be a structure at all; empty where it can."""
    for name, told in _UNSUPPORTED.items():
        if schema.get(name) or (name == "additionalItems" and schema.get(name) is not None):
            return f"OpenAPIV3Schema '{told}' is not supported"
    parts = [
        *properties_of(schema).values(),
        schema.get("items"),
        schema.get("additionalProperties"),
        schema.get("not"),
    ]
    for junction in _JUNCTIONS:
        parts += schema.get(junction) or ()
    return next((found for part in parts if isinstance(part, Mapping) and (found := unsupported_field(part))), "")


def structural_errors(schema: Schema, path: str) -> list[FieldError]:
    errors: Errors = []
    _check_structure(errors, schema, "root", path)
    _check_complete(errors, schema, schema, path, path)
    return sorted(errors, key=str)


def properties_of(schema: Schema) -> Mapping[str, Schema]:
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    return properties


def _check_structure(errors: Errors, schema: Schema, level: Level, path: str) -> None:
    kind, items, additional = schema.get("type") or "", schema.get("items"), schema.get("additionalProperties")
    if kind == "array" and items is None:
        errors.append(required(f"{path}.items", "must be specified"))
    if isinstance(items, Mapping):
        _check_structure(errors, items, "item", f"{path}.items")
    for name, part in properties_of(schema).items():
        _check_structure(errors, part, "field", f"{path}.properties[{name}]")
    if additional is not None:
        if level == "root":
            errors.append(forbidden(f"{path}.additionalProperties", "must not be used at the root"))
        if isinstance(additional, Mapping):
            _check_structure(errors, additional, "field", f"{path}.additionalProperties")
    if schema.get(INT_OR_STRING):
        errors.extend(
            invalid(f"{path}.{name}", True, f"must be false if {INT_OR_STRING} is true")
            for name in (PRESERVE, EMBEDDED)
            if schema.get(name)
        )
    _check_values(errors, schema, path, is_int_or_string=True)
    _check_type(errors, schema, level, path)
    _check_object_fields(errors, schema, level, path)


def _check_type(errors: Errors, schema: Schema, level: Level, path: str) -> None:
    kind, embedded = schema.get("type") or "", schema.get(EMBEDDED)
    if embedded and kind != "object":
        detail = f"must be object if {EMBEDDED} is true"
        errors.append(invalid(f"{path}.type", kind, detail) if kind else required(f"{path}.type", detail))
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        errors.append(required(f"{path}.type", _MISSING_TYPE[level]))
    if embedded and schema.get("additionalProperties") is not None:
        errors.append(forbidden(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set"))
    if level == "root" and kind and kind != "object":
        errors.append(invalid(f"{path}.type", kind, "must be object at the root"))


def _check_object_fields(errors: Errors, schema: Schema, level: Level, path: str) -> None:
    """``apiVersion``, ``kind`` and ``metadata`` are what they are in every object."""
    properties, embedded = properties_of(schema), schema.get(EMBEDDED)
    is_object = level == "root" or bool(embedded)
    for name in ("kind", "apiVersion"):
        if is_object and name in properties and properties[name].get("type") != "string":
            kind = properties[name].get("type") or ""
            errors.append(invalid(f"{path}.properties[{name}].type", kind, "must be string"))
    metadata, at = properties.get("metadata"), f"{path}.properties[metadata]"
    if metadata is not None:
        if is_object and metadata.get("type") != "object":
            errors.append(invalid(f"{at}.type", metadata.get("type") or "", "must be object"))
        if level == "root" and not _says_only_names(metadata):
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.append(forbidden(at, detail))
    if embedded and not schema.get(PRESERVE) and not properties:
        detail = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
        errors.append(required(f"{path}.properties", detail))


def _says_only_names(metadata: Schema) -> bool:
    said = {name for name, value in metadata.items() if value not in (None, "", [], {}, False)} - {"type", "default"}
    return said <= {"properties"} and set(properties_of(metadata)) <= {"name", "generateName"}


def _check_values(errors: Errors, schema: Schema, path: str, *, is_int_or_string: bool) -> None:
    """Rules about values, at a place whose structure is known."""
    any_of, all_of = schema.get("anyOf") or [], schema.get("allOf") or []
    is_any = is_int_or_string and any_of == _INT_OR_STRING
    is_first = is_int_or_string and bool(all_of) and all_of[0].get("anyOf") == _INT_OR_STRING
    if not is_any:
        for index, part in enumerate(any_of):
            _check_nested(errors, part, f"{path}.anyOf[{index}]")
    for index, part in enumerate(all_of):
        skips = is_first and index == 0
        _check_nested(errors, {**part, "anyOf": None} if skips else part, f"{path}.allOf[{index}]")
    for index, part in enumerate(schema.get("oneOf") or ()):
        _check_nested(errors, part, f"{path}.oneOf[{index}]")
    if schema.get("not") is not None:
        _check_nested(errors, schema["not"], f"{path}.not")
    pattern = schema.get("pattern")
    wrong = pattern_error(pattern) if pattern else ""
    if wrong:
        detail = f"must be a valid regular expression, but isn't: {wrong}"
        errors.append(invalid(f"{path}.pattern", pattern, detail))


def _check_nested(errors: Errors, schema: Schema, path: str) -> None:
    _check_values(errors, schema, path, is_int_or_string=False)
    if isinstance(schema.get("items"), Mapping):
        _check_nested(errors, schema["items"], f"{path}.items")
    for name, part in properties_of(schema).items():
        _check_nested(errors, part, f"{path}.properties[{name}]")
    for name, detail in _NOT_NESTED.items():
        value = schema.get(name)
        if value is not None and (value or name in _DEFINED):
            errors.append(forbidden(f"{path}.{name}", detail))
    if "metadata" in properties_of(schema):
        errors.append(forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context"))


def _nested(schema: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    if schema.get("not") is not None:
        yield schema["not"], f"{path}.not"
    for junction in _JUNCTIONS:
        for index, part in enumerate(schema.get(junction) or ()):
            yield part, f"{path}.{junction}[{index}]"


def _check_complete(errors: Errors, values: Schema, structure: Schema | None, path: str, told: str) -> None:
    """What rules about values speak of is in the structure."""
    for part, at in _nested(values, told):
        _check_nested_complete(errors, part, structure, path, at)


def _check_nested_complete(errors: Errors, values: Schema, structure: Schema | None, path: str, told: str) -> None:
    if structure is None:
        errors.append(required(path, f"because it is defined in {told}"))
        return
    _check_complete(errors, values, structure, path, told)
    if isinstance(values.get("items"), Mapping):
        items = structure.get("items")
        known = items if isinstance(items, Mapping) else None
        _check_nested_complete(errors, values["items"], known, f"{path}.items", f"{told}.items")
    for name, part in properties_of(values).items():
        known = properties_of(structure).get(name)
        at = f"properties[{name}]"
        _check_nested_complete(errors, part, known, f"{path}.{at}", f"{told}.{at}")
