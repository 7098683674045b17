"""ConfigMap: configuration that pods read as files or environment variables."""

from __future__ import annotations

from steersman.meta.errors import FieldError, forbidden, invalid, too_long
from steersman.meta.names import config_key_errors
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS
from steersman.schema.columns import AGE, NAME, length
from steersman.schema.equality import same
from steersman.schema.kind import Kind
from steersman.schema.rules import check_name

MAX_SIZE_BYTES = 1024 * 1024


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key, text in data.items():
        check_name(errors, key, f"data[{key}]", config_key_errors)
        if key in binary:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len((text or "").encode())
    for key, encoded in binary.items():
        check_name(errors, key, f"binaryData[{key}]", config_key_errors)
        size += decoded_size(encoded or "")
    if size > MAX_SIZE_BYTES:
        errors.append(too_long("[]", MAX_SIZE_BYTES))
    return errors


def decoded_size(encoded: str) -> int:
    """Bytes that a base64 text stands for."""
    return len(encoded) * 3 // 4 - encoded.count("=", -2)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    return immutable_errors(new, old, "data", "binaryData")


def immutable_errors(new: Object, old: Object, *fields: str) -> list[FieldError]:
    """Once ``immutable`` is set, nothing of the data changes, and nor does the flag."""
    if not old.get("immutable"):
        return []
    detail = "field is immutable when `immutable` is set"
    errors = [] if new.get("immutable") else [forbidden("immutable", detail)]
    return errors + [forbidden(field, detail) for field in fields if not same(new.get(field), old.get(field))]


KIND = Kind(
    resource=CONFIGMAPS,
    definition="io.k8s.api.core.v1.ConfigMap",
    singular="configmap",
    short_names=("cm",),
    storage_prefix="configmaps",
    columns=(
        NAME,
        length("Data", ("data",), ("binaryData",), type="string", documented_by="io.k8s.api.core.v1.ConfigMap/data"),
        AGE,
    ),
    validate=validate,
    validate_update=validate_update,
)
