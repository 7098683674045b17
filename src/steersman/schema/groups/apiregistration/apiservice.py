"""APIService: a group and version, and who serves it."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import APISERVICES
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    service = (obj.get("spec") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    if obj.get("status") is None:
        obj["status"] = {}


KIND = Kind(
    resource=APISERVICES,
    definition="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    singular="apiservice",
    categories=("api-extensions",),
    subresources=(STATUS,),
    storage_prefix="apiregistration.k8s.io/apiservices",
    has_status=True,
    allows_unconditional_update=False,
    default=default,
)
