"""TokenRequest: asks for a token of a service account: the body of ``serviceaccounts/token``."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = 3600


KIND = Kind(
    resource=Resource(group="authentication.k8s.io", version="v1", plural="", kind="TokenRequest", namespaced=True),
    definition="io.k8s.api.authentication.v1.TokenRequest",
    singular="",
    verbs=(),
    storage_prefix="",
    is_stored=False,
    default=default,
)
