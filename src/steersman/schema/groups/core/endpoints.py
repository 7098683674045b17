"""Endpoints: addresses behind a Service; superseded by EndpointSlice."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTS
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, first_of_three
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _addresses(obj: Object, now: float) -> str:
    shown = [
        address if port is None else join_host_port(address, port.get("port") or 0)
        for subset in obj.get("subsets") or ()
        for port in subset.get("ports") or (None,)
        for address in (str(entry.get("ip") or "") for entry in subset.get("addresses") or ())
    ]
    return first_of_three(shown, len(shown)) if obj.get("subsets") else NONE


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


KIND = Kind(
    resource=ENDPOINTS,
    definition="io.k8s.api.core.v1.Endpoints",
    singular="endpoints",
    short_names=("ep",),
    storage_prefix="services/endpoints",
    allows_create_on_update=True,
    default=default,
    columns=(
        NAME,
        computed("Endpoints", _addresses, documented_by="io.k8s.api.core.v1.Endpoints/subsets"),
        AGE,
    ),
)
