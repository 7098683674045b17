"""CEL expressions of device classes and requests, evaluated against one device. Imported with the first of them.

``device`` has ``driver``, ``allowMultipleAllocations``, ``attributes`` and ``capacity``; the latter two are maps by domain, then by
name, and a domain that a device does not have is an empty map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.cel import CELError
from steersman.cel.devices import COST_LIMIT, compiled
from steersman.cel.libraries.quantities import Quantity
from steersman.cel.libraries.semver import parse_semver
from steersman.meta.quantities import quantity
from steersman.scheduler.devices.requests import AllocationError
from steersman.scheduler.devices.slices import Device


def evaluate(expression: str, device: Device, where: str) -> bool:
    """``where`` names the selector in errors. Raises ``AllocationError``."""
    program = compiled(expression)
    if isinstance(program, CELError):
        raise AllocationError(f"{where}: CEL compile error: {program}")
    try:
        value = program.evaluate({"device": _as_value(device)}, cost_limit=COST_LIMIT)
    except (CELError, ValueError) as error:
        raise AllocationError(f"{where}: CEL runtime error: {error}") from error
    if not isinstance(value, bool):
        raise AllocationError(f"{where}: CEL runtime error: CEL result could not be converted to bool")
    return value


class _ByDomain(dict[str, dict[str, Any]]):
    """An unknown domain has nothing in it, rather than being an error."""

    def __missing__(self, domain: str) -> dict[str, Any]:
        return {}


def _as_value(device: Device) -> dict[str, Any]:
    driver = device.id[0]
    attributes, capacity = _ByDomain(), _ByDomain()
    for name, stated in device.attributes.items():
        domain, identifier = qualified(name, driver)
        attributes.setdefault(domain, {})[identifier] = _attribute(name, stated)
    for name, stated in device.capacity.items():
        domain, identifier = qualified(name, driver)
        capacity.setdefault(domain, {})[identifier] = Quantity(quantity(stated.get("value")))
    return {
        "driver": driver,
        "allowMultipleAllocations": device.is_shareable,
        "attributes": attributes,
        "capacity": capacity,
    }


def qualified(name: str, driver: str) -> tuple[str, str]:
    """(domain, identifier); the driver's domain where the name has none."""
    domain, slash, identifier = name.partition("/")
    return (domain, identifier) if slash else (driver, name)


def _attribute(name: str, stated: Mapping[str, Any]) -> Any:
    for kind in ("int", "bool", "string"):
        if stated.get(kind) is not None:
            return stated[kind]
    if stated.get("version") is not None:
        return parse_semver(stated["version"])
    raise ValueError(f"attribute {name}: unsupported attribute value")
