"""ServiceAccount: an identity of pods."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import SERVICEACCOUNTS
from steersman.schema.columns import AGE, NAME
from steersman.schema.kind import Kind, Subresource


def keep_names(obj: Object) -> None:
    """Of the secrets that a service account refers to only the names count."""
    if obj.get("secrets"):
        obj["secrets"] = [{"name": secret["name"]} if secret.get("name") else {} for secret in obj["secrets"]]


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
    prepare_create=keep_names,
    prepare_update=lambda new, old: keep_names(new),
    columns=(
        NAME,
        AGE,
    ),
)
