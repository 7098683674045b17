"""APIService: a group and version, and who serves it."""

from __future__ import annotations

from steersman.meta.objects import Object, condition
from steersman.meta.resources import APISERVICES
from steersman.schema.columns import AGE, NAME, computed, value_at
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    service = (obj.get("spec") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    if obj.get("status") is None:
        obj["status"] = {}


def _service(obj: Object, now: float) -> str:
    service = value_at(obj, "spec", "service")
    return f"{service.get('namespace') or ''}/{service.get('name') or ''}" if service else "Local"


def _available(obj: Object, now: float) -> str:
    available = condition(obj, "Available")
    if available is None:
        return "Unknown"
    status = str(available.get("status") or "")
    return f"{status} ({available['reason']})" if status != "True" and available.get("reason") else status


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
    columns=(
        NAME,
        computed("Service", _service, description="The reference to the service that hosts this API endpoint."),
        computed("Available", _available, description="Whether this service is available."),
        AGE,
    ),
)
