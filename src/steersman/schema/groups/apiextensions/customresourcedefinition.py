"""CustomResourceDefinition: a kind that users define."""

from __future__ import annotations

from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

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
)
