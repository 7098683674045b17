"""TokenRequest: asks for a token of a service account: the body of ``serviceaccounts/token``."""

from __future__ import annotations

from steersman.meta.resources import Resource
from steersman.schema.kind import Kind

KIND = Kind(
    resource=Resource(group="authentication.k8s.io", version="v1", plural="", kind="TokenRequest", namespaced=True),
    definition="io.k8s.api.authentication.v1.TokenRequest",
    singular="",
    verbs=(),
    storage_prefix="",
    is_stored=False,
)
