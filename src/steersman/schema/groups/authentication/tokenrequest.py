"""TokenRequest: asks for a token of a service account: the body of ``serviceaccounts/token``."""

from __future__ import annotations

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.columns import value_at
from steersman.schema.groups.authentication.lifetimes import check_token_lifetime
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = 3600


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_token_lifetime(errors, value_at(obj, "spec", "expirationSeconds") or 0, "spec.expirationSeconds")
    return errors


KIND = Kind(
    resource=Resource(group="authentication.k8s.io", version="v1", plural="", kind="TokenRequest", namespaced=True),
    definition="io.k8s.api.authentication.v1.TokenRequest",
    singular="",
    verbs=(),
    storage_prefix="",
    is_stored=False,
    default=default,
    validate=validate,
)
