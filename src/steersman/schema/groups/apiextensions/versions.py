"""Rules of the versions of a custom resource: their schemas, subresources, columns, selectable fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import duplicate, forbidden, invalid, required
from steersman.meta.names import dns_1035_label_errors
from steersman.schema import goforms
from steersman.schema.customresources.defaults import default_errors
from steersman.schema.groups.apiextensions.celrules import rule_errors
from steersman.schema.groups.apiextensions.openapischema import openapi_errors
from steersman.schema.groups.apiextensions.structural import (
    PRESERVE,
    Schema,
    properties_of,
    structural_errors,
    unsupported_field,
)
from steersman.schema.rules import Errors, too_many

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SELECTABLE_TYPES = ("string", "boolean", "integer")
_SELECTABLE = 8
_BESIDE_STATUS = {
    "description": "Description",
    "type": "Type",
    "format": "Format",
    "title": "Title",
    "maximum": "Maximum",
    "exclusiveMaximum": "ExclusiveMaximum",
    "minimum": "Minimum",
    "exclusiveMinimum": "ExclusiveMinimum",
    "maxLength": "MaxLength",
    "minLength": "MinLength",
    "pattern": "Pattern",
    "maxItems": "MaxItems",
    "minItems": "MinItems",
    "uniqueItems": "UniqueItems",
    "multipleOf": "MultipleOf",
    "required": "Required",
    "items": "Items",
    "properties": "Properties",
    "externalDocs": "ExternalDocs",
    "example": "Example",
    PRESERVE: "XPreserveUnknownFields",
    "x-kubernetes-validations": "XValidations",
}
"""What a schema may say at its root where status is written apart, and what messages call it."""


_PER_VERSION = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


def check_versions(
    errors: Errors, versions: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]] = ()
) -> None:
    """``before``: the versions of the definition that is updated.

    What all versions have in common is checked once, by ``check_common``, and errors about it name it as v1beta1 did, which
    had it beside the versions: ``spec.validation``. Upstream keeps definitions so in memory.
    """
    path = "spec.versions"
    known = {version.get("name"): _schema_of(version) for version in before}
    for index, version in enumerate(versions):
        if _schema_of(version) is None:
            errors.append(required(f"{path}[{index}].schema.openAPIV3Schema"))
    common = _common(versions)
    for index, version in enumerate(versions):
        name = version.get("name") or ""
        wrong = dns_1035_label_errors(name)
        if wrong:
            errors.append(invalid(f"{path}[{index}].name", name, ",".join(wrong)))
        _check_deprecation(errors, version, f"{path}[{index}].deprecationWarning")
        own = {field: value for field, value in version.items() if field not in common}
        has_status = (version.get("subresources") or {}).get("status") is not None
        _check_fields(
            errors,
            own,
            f"{path}[{index}]",
            schema_path=f"{path}[{index}].schema.openAPIV3Schema",
            no_schema="may only be set when `version.schema.openAPIV3Schema` is not included",
            has_status=has_status,
            is_new_schema=_is_new(version, known),
        )
    names = [version.get("name") for version in versions]
    if len(set(names)) != len(names):
        errors.append(invalid(path, _shown(versions, common), "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        errors.append(invalid(path, _shown(versions, common), detail))
    first = versions[0].get("name") if versions else ""
    if first:
        wrong = dns_1035_label_errors(first)
        if wrong:
            errors.append(invalid("spec.version", first, ",".join(wrong)))


def check_common(
    errors: Errors, versions: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]] = ()
) -> None:
    """What all versions have in common; see ``check_versions``."""
    known = {version.get("name"): _schema_of(version) for version in before}
    common = _common(versions)
    if common:
        _check_fields(
            errors,
            common,
            "spec",
            schema_path="spec.validation.openAPIV3Schema",
            no_schema="may only be set when validations.schema is included",
            has_status=any((version.get("subresources") or {}).get("status") is not None for version in versions),
            is_new_schema=_is_new(versions[0], known),
        )


def _shown(versions: Sequence[Mapping[str, Any]], common: Mapping[str, Any]) -> Any:
    """As upstream has them in memory."""
    if not versions:
        return None
    own = ({field: value for field, value in version.items() if field not in common} for version in versions)
    return [goforms.internal("apiextensions.v1.CustomResourceDefinitionVersion", version) for version in own]


def _common(versions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What is the same in every version."""
    if not versions:
        return {}
    first = versions[0]
    return {
        field: first.get(field)
        for field in _PER_VERSION
        if all((version.get(field) or None) == (first.get(field) or None) for version in versions[1:])
    }


def _is_new(version: Mapping[str, Any], known: Mapping[str | None, Schema | None]) -> bool:
    name = version.get("name")
    return name not in known or known[name] != _schema_of(version)


def _schema_of(version: Mapping[str, Any]) -> Schema | None:
    schema: Schema | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return schema


def _check_fields(
    errors: Errors,
    fields: Mapping[str, Any],
    path: str,
    *,
    schema_path: str,
    no_schema: str,
    has_status: bool,
    is_new_schema: bool,
) -> None:
    schema = _schema_of(fields)
    if schema is not None:
        _check_schema(errors, schema, schema_path, has_status=has_status, is_new=is_new_schema)
    scale = (fields.get("subresources") or {}).get("scale")
    if scale is not None:
        _check_scale(errors, scale, f"{path}.subresources.scale")
    for index, column in enumerate(fields.get("additionalPrinterColumns") or ()):
        _check_column(errors, column, f"{path}.additionalPrinterColumns[{index}]")
    if fields.get("selectableFields"):
        _check_selectable(errors, fields["selectableFields"], schema, f"{path}.selectableFields", no_schema)


def _check_deprecation(errors: Errors, version: Mapping[str, Any], path: str) -> None:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        errors.append(invalid(path, warning, "can only be set for deprecated versions"))
        return
    if len(warning) > 256:
        errors.append(invalid(path, warning, "must be <= 256 characters long"))
    if not warning:
        errors.append(invalid(path, warning, "must not be an empty string"))
    for index, character in enumerate(warning):
        if not character.isprintable():
            detail = f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
            errors.append(invalid(path, warning, detail))
            break


def _check_schema(errors: Errors, schema: Schema, path: str, *, has_status: bool, is_new: bool) -> None:
    before = len(errors)
    if has_status:
        _check_beside_status(errors, schema, path)
    if schema.get("nullable"):
        errors.append(forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    unsupported = unsupported_field(schema)
    structural, openapi = [] if unsupported else structural_errors(schema, path), openapi_errors(schema, path)
    errors.extend(structural)
    errors.extend(openapi)
    if unsupported and len(errors) == before:
        errors.append(invalid(path, "", unsupported))
    if structural or unsupported:
        return
    defaults = [] if openapi else default_errors(schema, path)
    errors.extend(defaults)
    if not defaults:
        errors.extend(rule_errors(schema, path, openapi, limits_rules=is_new))


def _check_beside_status(errors: Errors, schema: Schema, path: str) -> None:
    said = [name for name, value in schema.items() if value not in (None, "", [], {}, False)]
    if schema.get("type") and schema["type"] != "object":
        detail = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        errors.append(invalid(f"{path}.type", schema["type"], detail))
    elif any(name not in _BESIDE_STATUS for name in said):
        allowed = " ".join(_BESIDE_STATUS.values())
        detail = f"only [{allowed}] fields are allowed at the root of the schema if the status subresource is enabled"
        errors.append(invalid(path, schema, detail))


def _check_scale(errors: Errors, scale: Mapping[str, Any], path: str) -> None:
    for field, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value = scale.get(field)
        if not value:
            errors.append(required(f"{path}.{field}"))
        elif _check_json_path(errors, value, f"{path}.{field}") and not value.startswith(root):
            errors.append(invalid(f"{path}.{field}", value, f"should be a json path under {root[:-1]}"))
    labels = scale.get("labelSelectorPath")
    if not labels or not _check_json_path(errors, labels, f"{path}.labelSelectorPath"):
        return
    if not labels.startswith((".spec.", ".status.")):
        detail = "should be a json path under either .spec or .status"
        errors.append(invalid(f"{path}.labelSelectorPath", labels, detail))


def _check_json_path(errors: Errors, value: str, path: str) -> bool:
    if value.startswith("."):
        return True
    errors.append(invalid(path, value, "must be a simple json path starting with ."))
    return False


def _check_column(errors: Errors, column: Mapping[str, Any], path: str) -> None:
    kind, shape, source = (column.get(name) or "" for name in ("type", "format", "jsonPath"))
    if not column.get("name"):
        errors.append(required(f"{path}.name"))
    detail = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        errors.append(required(f"{path}.type", detail))
    elif kind not in _COLUMN_TYPES:
        errors.append(invalid(f"{path}.type", kind, detail))
    if shape and shape not in _COLUMN_FORMATS:
        errors.append(invalid(f"{path}.format", shape, f"must be one of {','.join(_COLUMN_FORMATS)}"))
    if not source:
        errors.append(required(f"{path}.JSONPath"))
    else:
        _check_json_path(errors, source, f"{path}.JSONPath")


def _check_selectable(
    errors: Errors, fields: Sequence[Mapping[str, Any]], schema: Schema | None, path: str, no_schema: str
) -> None:
    if schema is None:
        errors.append(invalid(path, "", no_schema))
        return
    seen: set[str] = set()
    for index, field in enumerate(fields):
        at, source = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not source:
            errors.append(required(at))
            continue
        names = source.removeprefix(".").split(".")
        found: Schema | None = schema
        for name in names:
            found = properties_of(found).get(name) if found is not None else None
        if not source.startswith(".") or found is None:
            detail = f'is an invalid path: does not refer to a valid field: "{names[-1]}"'
            errors.append(invalid(at, source, detail))
            continue
        if names[0] == "metadata":
            errors.append(invalid(at, source, "must not point to fields in metadata"))
        if found.get("type") not in _SELECTABLE_TYPES:
            detail = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are "
                "allowed."
            )
            errors.append(invalid(at, source, detail))
        if source in seen:
            errors.append(duplicate(at, source))
        seen.add(source)
    if len(seen) > _SELECTABLE:
        errors.append(too_many(path, len(seen), _SELECTABLE))
