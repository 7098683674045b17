"""ResourceClaimTemplate: from which claims are made for each pod."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import RESOURCECLAIMTEMPLATES
from steersman.schema.columns import AGE, NAME
from steersman.schema.groups.resource.claimspec import default_device_claim
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    template = obj.setdefault("spec", {})
    default_device_claim((template.get("spec") or {}).get("devices"))


KIND = Kind(
    resource=RESOURCECLAIMTEMPLATES,
    definition="io.k8s.api.resource.v1.ResourceClaimTemplate",
    singular="resourceclaimtemplate",
    storage_prefix="resourceclaimtemplates",
    returns_deleted_object=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        AGE,
    ),
)
