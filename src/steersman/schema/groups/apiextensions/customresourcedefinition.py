"""CustomResourceDefinition: a kind that users define."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.objects import Object
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS
from steersman.schema.columns import CREATED_AT, NAME
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.get("names")
    if names is None:
        names = spec["names"] = {}
    kind = names.get("kind") or ""
    if not names.get("singular"):
        names["singular"] = kind.lower()
    if not names.get("listKind") and kind:
        names["listKind"] = f"{kind}List"
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    service = (((spec["conversion"].get("webhook") or {}).get("clientConfig")) or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("storedVersions"):
        status["storedVersions"] = stored_versions(spec)


def stored_versions(spec: Mapping[str, Any]) -> list[str]:
    """The one version that is stored, or none where the definition does not say (validation refuses that)."""
    return [
        version["name"] for version in spec.get("versions") or () if version.get("storage") and version.get("name")
    ][:1]


KIND = Kind(
    resource=CUSTOMRESOURCEDEFINITIONS,
    definition="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    singular="customresourcedefinition",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=(STATUS,),
    storage_prefix="apiextensions.k8s.io/customresourcedefinitions",
    has_status=True,
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        CREATED_AT,
    ),
)
