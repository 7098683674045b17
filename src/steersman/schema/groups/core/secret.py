"""Secret: data that must not be shown around."""

from __future__ import annotations

from base64 import b64decode, b64encode

import msgspec

from steersman.meta.errors import FieldError, invalid, required, too_long
from steersman.meta.names import config_key_errors
from steersman.meta.objects import Object
from steersman.meta.objects import annotations as annotations_of
from steersman.meta.resources import SECRETS
from steersman.schema.columns import AGE, NAME, length, text
from steersman.schema.groups.core.configmap import MAX_SIZE_BYTES, decoded_size, immutable_errors
from steersman.schema.groups.core.tlspairs import pair_error
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable, check_name
from steersman.schema.selectable import text_at


def default(obj: Object) -> None:
    """``stringData`` is for writing only: it becomes ``data``."""
    if not obj.get("type"):
        obj["type"] = "Opaque"
    texts = obj.pop("stringData", None)
    if texts:
        encoded = {key: b64encode((text or "").encode()).decode() for key, text in texts.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


_REQUIRED_KEYS = {
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
_SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    data, kind = obj.get("data") or {}, obj.get("type")
    for key in data:
        check_name(errors, key, f"data[{key}]", config_key_errors)
    if sum(decoded_size(encoded or "") for encoded in data.values()) > MAX_SIZE_BYTES:
        errors.append(too_long("data", MAX_SIZE_BYTES))
    if kind == "kubernetes.io/service-account-token" and not annotations_of(obj).get(_SERVICE_ACCOUNT_NAME):
        errors.append(required(f"metadata.annotations[{_SERVICE_ACCOUNT_NAME}]"))
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        errors += [required("data[username]"), required("data[password]")]
    for key in _REQUIRED_KEYS.get(kind or "", ()):
        if key not in data or (key == "ssh-privatekey" and not data[key]):
            errors.append(required(f"data[{key}]"))
        elif key.startswith(".docker"):
            _check_json(errors, data[key] or "", f"data[{key}]")
    return errors


def _check_json(errors: list[FieldError], encoded: str, path: str) -> None:
    try:
        is_object = isinstance(msgspec.json.decode(b64decode(encoded)), dict)
    except (ValueError, msgspec.DecodeError):
        is_object = False
    if not is_object:
        errors.append(invalid(path, "<secret contents redacted>", "must be a JSON object"))


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_immutable(errors, new.get("type"), old.get("type"), "type")
    return errors + immutable_errors(new, old, "data")


def warnings(obj: Object) -> list[str]:
    if obj.get("type") != "kubernetes.io/tls":
        return []
    data = obj.get("data") or {}
    found = pair_error(data.get("tls.crt") or "", data.get("tls.key") or "")
    return [found] if found else []


KIND = Kind(
    resource=SECRETS,
    definition="io.k8s.api.core.v1.Secret",
    singular="secret",
    storage_prefix="secrets",
    selectable_fields={"type": text_at("type")},
    default=default,
    columns=(
        NAME,
        text("Type", "type", documented_by="io.k8s.api.core.v1.Secret/type"),
        length("Data", ("data",), type="string", documented_by="io.k8s.api.core.v1.Secret/data"),
        AGE,
    ),
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
)
