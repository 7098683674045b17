"""APIService: a group and version, and who serves it."""

from __future__ import annotations

from steersman.meta.resources import APISERVICES
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=APISERVICES,
    definition="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    singular="apiservice",
    categories=("api-extensions",),
    subresources=(STATUS,),
    storage_prefix="apiregistration.k8s.io/apiservices",
    has_status=True,
    allows_unconditional_update=False,
)
