"""Objects inside of custom resources (``x-kubernetes-embedded-resource``): they need apiVersion, kind and good metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from steersman.meta import names
from steersman.meta.errors import FieldError, invalid, required
from steersman.schema.customresources.coercion import EMBEDDED

Schema = Mapping[str, Any]
Errors = list[FieldError]
MetadataRules = Callable[[Mapping[str, Any], str], Errors]
"""(metadata, its path) -> errors."""
Check = Callable[[Any, str, MetadataRules, Errors], None]


def embedded_errors(schema: Schema, obj: Any, metadata_rules: MetadataRules) -> Errors:
    """What is wrong with the objects embedded in an object. ``metadata_rules`` are those of every object's metadata."""
    check = _compiled(msgspec.json.encode(schema))
    errors: Errors = []
    if check is not None:
        check(obj, "", metadata_rules, errors)
    return errors


@lru_cache(maxsize=512)
def _compiled(content: bytes) -> Check | None:
    return _check(msgspec.json.decode(content))


def _check(schema: Schema) -> Check | None:
    """None where nothing is embedded."""
    parts = {
        name: found for name, part in (schema.get("properties") or {}).items() if (found := _check(part)) is not None
    }
    additional, items = schema.get("additionalProperties"), schema.get("items")
    check_value = _check(additional) if isinstance(additional, Mapping) else None
    check_item = _check(items) if isinstance(items, Mapping) else None
    is_embedded = bool(schema.get(EMBEDDED))
    if not (parts or check_value or check_item or is_embedded):
        return None

    def check(value: Any, path: str, metadata_rules: MetadataRules, errors: Errors) -> None:
        if value.__class__ is dict:
            if is_embedded:
                _check_object(value, path, metadata_rules, errors)
            for key, child in value.items():
                if key in parts:
                    parts[key](child, f"{path}.{key}" if path else key, metadata_rules, errors)
                elif check_value is not None:
                    check_value(child, f"{path}[{key}]", metadata_rules, errors)
        elif value.__class__ is list and check_item is not None:
            for index, item in enumerate(value):
                check_item(item, f"{path}[{index}]", metadata_rules, errors)

    return check


def _check_object(value: Mapping[str, Any], path: str, metadata_rules: MetadataRules, errors: Errors) -> None:
    for name in ("apiVersion", "kind"):
        at = f"{path}.{name}" if path else name
        if name not in value:
            errors.append(required(at))
        elif not isinstance(value[name], str):
            errors.append(invalid(at, value[name], "must be a string"))
        elif not value[name]:
            errors.append(invalid(at, "", "must not be empty"))
    version, kind = value.get("apiVersion"), value.get("kind")
    if isinstance(version, str) and version.count("/") > 1:
        errors.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    if isinstance(kind, str) and kind:
        wrong = names.dns_1035_label_errors(kind.lower())
        if wrong:
            detail = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
            errors.append(invalid(f"{path}.kind", kind, detail))
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        errors.extend(metadata_rules(metadata, f"{path}.metadata" if path else "metadata"))
