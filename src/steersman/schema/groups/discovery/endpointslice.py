"""EndpointSlice: a part of the addresses behind a Service."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTSLICES
from steersman.schema.cells import UNSET
from steersman.schema.columns import AGE, NAME, computed, first_of_three, text
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if not port.get("protocol"):
            port["protocol"] = "TCP"


def _ports(obj: Object, now: float) -> str:
    ports = obj.get("ports") or ()
    shown = [str(port["port"] if port.get("port") is not None else port.get("name") or "*") for port in ports]
    return first_of_three(shown, len(shown)) or UNSET


def _endpoints(obj: Object, now: float) -> str:
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return first_of_three(addresses, len(addresses)) or UNSET


KIND = Kind(
    resource=ENDPOINTSLICES,
    definition="io.k8s.api.discovery.v1.EndpointSlice",
    singular="endpointslice",
    storage_prefix="endpointslices",
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        text("AddressType", "addressType", documented_by="io.k8s.api.discovery.v1.EndpointSlice/addressType"),
        computed("Ports", _ports, documented_by="io.k8s.api.discovery.v1.EndpointSlice/ports"),
        computed("Endpoints", _endpoints, documented_by="io.k8s.api.discovery.v1.EndpointSlice/endpoints"),
        AGE,
    ),
)
