"""Endpoints: addresses behind a Service; superseded by EndpointSlice."""

from __future__ import annotations

from steersman.meta.addresses import endpoint_ip_errors, ip_errors, ip_warnings
from steersman.meta.errors import FieldError, required
from steersman.meta.names import label_errors, label_key_errors, subdomain_errors
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTS
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, first_of_three
from steersman.schema.groups.core.podspec.containers import PROTOCOLS
from steersman.schema.kind import Kind
from steersman.schema.rules import check_choice, check_name, check_port


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


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        path, ports = f"subsets[{index}]", subset.get("ports") or ()
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for group in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(group) or ()):
                _check_address(errors, address, f"{path}.{group}[{number}]")
        for number, port in enumerate(ports):
            _check_port(errors, port, f"{path}.ports[{number}]", needs_name=len(ports) > 1)
    return errors


def _check_address(errors: list[FieldError], address: Object, path: str) -> None:
    text = address.get("ip") or ""
    check_name(errors, text, f"{path}.ip", ip_errors)
    if address.get("hostname"):
        check_name(errors, address["hostname"], f"{path}.hostname", label_errors)
    if address.get("nodeName") is not None:
        check_name(errors, address["nodeName"], f"{path}.nodeName", subdomain_errors)
    check_name(errors, text, f"{path}.ip", endpoint_ip_errors)


def _check_port(errors: list[FieldError], port: Object, path: str, *, needs_name: bool) -> None:
    if port.get("name"):
        check_name(errors, port["name"], f"{path}.name", label_errors)
    elif needs_name:
        errors.append(required(f"{path}.name"))
    check_port(errors, port.get("port"), f"{path}.port")
    check_choice(errors, port.get("protocol"), f"{path}.protocol", PROTOCOLS)
    if port.get("appProtocol") is not None:
        check_name(errors, port["appProtocol"], f"{path}.appProtocol", label_key_errors)


_MANAGED_BY = "endpoints.kubernetes.io/managed-by"


def warnings(obj: Object) -> list[str]:
    """The controller's own are as it made them."""
    if ((obj.get("metadata") or {}).get("labels") or {}).get(_MANAGED_BY) == "endpoint-controller":
        return []
    return [
        text
        for index, subset in enumerate(obj.get("subsets") or ())
        for group in ("addresses", "notReadyAddresses")
        for number, address in enumerate(subset.get(group) or ())
        for text in ip_warnings(f"subsets[{index}].{group}[{number}].ip", address.get("ip") or "")
    ]


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
    validate=validate,
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    warnings=warnings,
)
