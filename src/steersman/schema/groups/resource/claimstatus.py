"""Rules of a claim's status: what was allocated, for whom it is reserved, how the devices are."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long
from steersman.meta.names import label_errors
from steersman.meta.objects import Object, is_deleting
from steersman.schema.conditions import check_conditions
from steersman.schema.groups.core.podspec.placement import check_node_selector
from steersman.schema.groups.core.volumesources import check_csi_driver_name
from steersman.schema.groups.resource.claimrules import (
    ENTRIES,
    check_configuration,
    check_request_reference,
    check_request_references,
    request_names,
)
from steersman.schema.groups.resource.naming import (
    check_binding_conditions,
    check_parameters,
    check_pool,
    check_share,
)
from steersman.schema.rules import Errors, check_immutable, check_name, check_present, too_many

_CONSUMERS = 256
_CONDITIONS = 8
_ADDRESSES = 16
SOURCES = ("FromClaim", "FromClass")


def status_errors(new: Object, old: Object) -> list[FieldError]:
    errors: Errors = []
    status, before = new.get("status") or {}, old.get("status") or {}
    allocation, reserved = status.get("allocation"), status.get("reservedFor") or []
    _check_consumers(errors, reserved, "status.reservedFor")
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    allocated = {_device_id(result) for result in results}
    seen = set()
    for index, device in enumerate(status.get("devices") or ()):
        path, name = f"status.devices[{index}]", _device_id(device)
        _check_device(errors, device, path, is_allocated=name in allocated)
        if name in seen:
            errors.append(duplicate(path, name))
        seen.add(name)
    if reserved and allocation is None:
        errors.append(forbidden("status.reservedFor", "may not be specified when `allocated` is not set"))
    elif reserved and is_deleting(new):
        kept = before.get("reservedFor") or []
        if any(entry not in kept for entry in reserved):
            detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
            errors.append(forbidden("status.reservedFor", detail))
    if allocation is not None and before.get("allocation") is not None:
        check_immutable(errors, allocation, before["allocation"], "status.allocation")
    elif allocation is not None:
        known = request_names((new.get("spec") or {}).get("devices") or {})
        _check_allocation(errors, allocation, known, "status.allocation")
    return errors


def drop_deallocated(new: Object, old: Object) -> None:
    """What drivers said about devices goes with the devices."""
    status = new.get("status") or {}
    was, now = (
        {
            _device_id(result)
            for result in ((obj.get("status") or {}).get("allocation") or {}).get("devices", {}).get("results") or ()
        }
        for obj in (old, new)
    )
    gone = was - now
    if gone and status.get("devices"):
        status["devices"] = [device for device in status["devices"] if _device_id(device) not in gone]
        if not status["devices"]:
            del status["devices"]


_DEVICE_ID = {"Driver": "driver", "Pool": "pool", "Device": "device", "ShareID": "shareID"}
"""How upstream's messages show which device it is."""


def _device_id(device: Mapping[str, Any]) -> str:
    share = device.get("shareID")
    name = "/".join(str(device.get(part) or "") for part in ("driver", "pool", "device"))
    return f"{name}/{share}" if share else name


def _check_consumers(errors: Errors, reserved: list[Mapping[str, Any]], path: str) -> None:
    if len(reserved) > _CONSUMERS:
        errors.append(too_many(path, len(reserved), _CONSUMERS))
        return
    seen = set()
    for index, entry in enumerate(reserved):
        check_present(errors, entry, f"{path}[{index}]", "resource", "name", "uid")
        if entry.get("uid") in seen:
            errors.append(duplicate(f"{path}[{index}]", entry.get("uid")))
        seen.add(entry.get("uid"))


def _check_place(errors: Errors, device: Mapping[str, Any], path: str) -> None:
    check_csi_driver_name(errors, device.get("driver"), f"{path}.driver")
    check_pool(errors, device.get("pool") or "", f"{path}.pool")
    check_name(errors, device.get("device") or "", f"{path}.device", label_errors)


def _check_device(errors: Errors, device: Mapping[str, Any], path: str, *, is_allocated: bool) -> None:
    _check_place(errors, device, path)
    check_share(errors, device.get("shareID"), f"{path}.shareID")
    if not is_allocated:
        shown = {name: device.get(field) or "" for name, field in _DEVICE_ID.items()}
        errors.append(invalid(path, shown, "must be an allocated device in the claim"))
    conditions = device.get("conditions") or ()
    if len(conditions) > _CONDITIONS:
        errors.append(too_many(f"{path}.conditions", len(conditions), _CONDITIONS))
    check_conditions(errors, conditions, f"{path}.conditions")
    if device.get("data") is not None:
        check_parameters(errors, device["data"], f"{path}.data")
    _check_network(errors, device.get("networkData") or {}, f"{path}.networkData")


def _check_network(errors: Errors, data: Mapping[str, Any], path: str) -> None:
    for name, most in (("interfaceName", 256), ("hardwareAddress", 128)):
        if len((data.get(name) or "").encode()) > most:
            errors.append(too_long(f"{path}.{name}", most))
    addresses = data.get("ips") or ()
    if len(addresses) > _ADDRESSES:
        errors.append(too_many(f"{path}.ips", len(addresses), _ADDRESSES))
        return
    for index, address in enumerate(addresses):
        wrong = _wrong_with_interface(address)
        if wrong:
            errors.append(invalid(f"{path}.ips[{index}]", address, wrong))
        if address in addresses[:index]:
            errors.append(duplicate(f"{path}.ips[{index}]", address))


def _wrong_with_interface(text: str) -> str:
    """An address of an interface, with the length of its network's prefix."""
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        interface = None
    if interface is None or "/" not in text:
        return "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
    return "" if str(interface) == text else f'must be in canonical form ("{interface}")'


def _check_allocation(errors: Errors, allocation: Mapping[str, Any], known: set[str], path: str) -> None:
    devices = allocation.get("devices") or {}
    results, config = devices.get("results") or (), devices.get("config") or ()
    if len(results) > ENTRIES:
        errors.append(too_many(f"{path}.devices.results", len(results), ENTRIES))
    else:
        for index, result in enumerate(results):
            at = f"{path}.devices.results[{index}]"
            check_request_reference(errors, result.get("request") or "", known, f"{at}.request")
            _check_place(errors, result, at)
            check_binding_conditions(errors, result, at)
            check_share(errors, result.get("shareID"), f"{at}.shareID")
    if len(config) > 2 * ENTRIES:
        errors.append(too_many(f"{path}.devices.config", len(config), 2 * ENTRIES))
    else:
        for index, entry in enumerate(config):
            at, source = f"{path}.devices.config[{index}]", entry.get("source")
            if not source:
                errors.append(required(f"{at}.source"))
            elif source not in SOURCES:
                errors.append(not_supported(f"{at}.source", source, SOURCES))
            check_request_references(errors, entry.get("requests") or (), known, f"{at}.requests")
            check_configuration(errors, entry, at)
    if allocation.get("nodeSelector") is not None:
        check_node_selector(errors, allocation["nodeSelector"], f"{path}.nodeSelector")
