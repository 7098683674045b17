"""EndpointSlice: a part of the addresses behind a Service."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.meta.addresses import canonical_ip_errors, endpoint_ip_errors, ip_errors, ip_family, ip_warnings
from steersman.meta.domains import domain_name_errors
from steersman.meta.errors import FieldError, duplicate, invalid, required
from steersman.meta.names import label_errors, label_key_errors, label_value_errors, subdomain_errors
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTSLICES
from steersman.schema.cells import UNSET
from steersman.schema.columns import AGE, NAME, computed, first_of_three, text
from steersman.schema.equality import same
from steersman.schema.groups.core.podspec.containers import PROTOCOLS
from steersman.schema.kind import Kind
from steersman.schema.rules import NameRule, check_choice, check_immutable, check_name, check_optional_choice, too_many

_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")


def default(obj: Object) -> None:
    for endpoint in obj.get("endpoints") or ():
        if endpoint.get("conditions") is None:
            endpoint["conditions"] = {}
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"


def _ports(obj: Object, now: float) -> str:
    ports = obj.get("ports") or ()
    shown = [str(port["port"] if port.get("port") is not None else port.get("name") or "*") for port in ports]
    return first_of_three(shown, len(shown)) or UNSET


def _endpoints(obj: Object, now: float) -> str:
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return first_of_three(addresses, len(addresses)) or UNSET


ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_ENDPOINTS = 1000
_ADDRESSES = 100
_PORTS = 20000
_HINTS = 8


def prepare_create(obj: Object) -> None:
    _drop_topology(obj)


def prepare_update(new: Object, old: Object) -> None:
    """The generation counts changes of labels, too."""
    if not same(new.get("endpoints"), old.get("endpoints")):
        _drop_topology(new)
    if not same(new["metadata"].get("labels"), old["metadata"].get("labels")):
        new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def _drop_topology(obj: Object) -> None:
    """``deprecatedTopology`` was for v1beta1."""
    if any("deprecatedTopology" in endpoint for endpoint in obj.get("endpoints") or ()):
        obj["endpoints"] = [
            {name: value for name, value in endpoint.items() if name != "deprecatedTopology"}
            for endpoint in obj["endpoints"]
        ]


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    family, ports, endpoints = obj.get("addressType"), obj.get("ports") or (), obj.get("endpoints") or ()
    check_choice(errors, family, "addressType", ADDRESS_TYPES)
    if len(ports) > _PORTS:
        errors.append(too_many("ports", len(ports), _PORTS))
    else:
        _check_ports(errors, ports)
    if len(endpoints) > _ENDPOINTS:
        errors.append(too_many("endpoints", len(endpoints), _ENDPOINTS))
    else:
        for index, endpoint in enumerate(endpoints):
            _check_endpoint(errors, endpoint, f"endpoints[{index}]", family or "")
    return errors


def _check_ports(errors: list[FieldError], ports: Sequence[Object]) -> None:
    names = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name") or ""
        if name:
            check_name(errors, name, f"{path}.name", label_errors)
        if name in names:
            errors.append(duplicate(f"{path}.name", name))
        names.add(name)
        check_optional_choice(errors, port.get("protocol"), f"{path}.protocol", PROTOCOLS)
        if port.get("appProtocol") is not None:
            check_name(errors, port["appProtocol"], f"{path}.appProtocol", label_key_errors)


def _check_endpoint(errors: list[FieldError], endpoint: Object, path: str, family: str) -> None:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > _ADDRESSES:
        errors.append(too_many(f"{path}.addresses", len(addresses), _ADDRESSES))
    for index, address in enumerate(addresses):
        if family == "FQDN":
            errors.extend(domain_name_errors(address, f"{path}.addresses[{index}]"))
        elif family in ADDRESS_TYPES:
            _check_address(errors, address, f"{path}.addresses", index, family)
    if endpoint.get("nodeName") is not None:
        check_name(errors, endpoint["nodeName"], f"{path}.nodeName", subdomain_errors)
    if endpoint.get("hostname") is not None:
        check_name(errors, endpoint["hostname"], f"{path}.hostname", label_errors)
    hints = endpoint.get("hints") or {}
    _check_hints(errors, hints.get("forZones") or (), f"{path}.hints.forZones", label_value_errors)
    _check_hints(errors, hints.get("forNodes") or (), f"{path}.hints.forNodes", subdomain_errors)


def _check_address(errors: list[FieldError], address: str, path: str, index: int, family: str) -> None:
    found = ip_errors(address) if family == "IPv4" else canonical_ip_errors(address)
    if not found:
        if ip_family(address) != family:
            errors.append(invalid(path, address, f"must be an {family} address"))
        found = endpoint_ip_errors(address)
    errors.extend(invalid(f"{path}[{index}]", address, text) for text in found)


def _check_hints(errors: list[FieldError], hints: Sequence[Object], path: str, rule: NameRule) -> None:
    if len(hints) > _HINTS:
        errors.append(too_many(path, len(hints), _HINTS))
        return
    names = set()
    for index, hint in enumerate(hints):
        name = hint.get("name") or ""
        if name in names:
            errors.append(duplicate(f"{path}[{index}].name", name))
        names.add(name)
        check_name(errors, name, f"{path}[{index}].name", rule)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_immutable(errors, new.get("addressType"), old.get("addressType"), "addressType")
    return errors


def warnings(obj: Object) -> list[str]:
    found = ["spec.addressType: FQDN endpoints are deprecated"] if obj.get("addressType") == "FQDN" else []
    return found + _address_warnings(obj)


def update_warnings(new: Object, old: Object) -> list[str]:
    return _address_warnings(new)


def _address_warnings(obj: Object) -> list[str]:
    """The controllers' own are as they made them."""
    if ((obj.get("metadata") or {}).get("labels") or {}).get(_MANAGED_BY) in _CONTROLLERS:
        return []
    return [
        text
        for index, endpoint in enumerate(obj.get("endpoints") or ())
        for number, address in enumerate(endpoint.get("addresses") or ())
        for text in ip_warnings(f"endpoints[{index}].addresses[{number}]", address)
    ]


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
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    update_warnings=update_warnings,
)
