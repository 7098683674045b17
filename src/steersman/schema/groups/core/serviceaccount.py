"""ServiceAccount: an identity of pods."""

from __future__ import annotations

from steersman.meta.resources import SERVICEACCOUNTS
from steersman.schema.columns import AGE, NAME
from steersman.schema.kind import Kind, Subresource

KIND = Kind(
    resource=SERVICEACCOUNTS,
    definition="io.k8s.api.core.v1.ServiceAccount",
    singular="serviceaccount",
    short_names=("sa",),
    subresources=(
        Subresource(name="token", verbs=("create",), kind="TokenRequest", group="authentication.k8s.io", version="v1"),
    ),
    storage_prefix="serviceaccounts",
    returns_deleted_object=True,
    delete_returns_object=True,
    columns=(
        NAME,
        AGE,
    ),
)
