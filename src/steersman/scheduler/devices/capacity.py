"""Shares of a device's capacity (KEP-5075): how much a request takes, and whether that much is left."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from steersman.meta.quantities import canonical, format_binary, quantity
from steersman.scheduler.devices.slices import Device

Consumed = Mapping[str, Fraction]


def consumption(device: Device, wanted: Mapping[str, str]) -> dict[str, str] | None:
    """What a request takes of each capacity, as quantities; None where the device has no such capacity or its policy
    forbids the amount."""
    if any(name not in device.capacity for name in wanted):
        return None
    taken: dict[str, str] = {}
    for name, stated in device.capacity.items():
        policy = stated.get("requestPolicy")
        amount = _taken(wanted.get(name), str(stated.get("value")), policy)
        if policy is not None and not _is_allowed(amount, policy):
            return None
        taken[name] = amount
    return taken


def has_room(device: Device, taken: Mapping[str, str], *already: Consumed) -> bool:
    """``taken`` fits beside what is consumed ``already``."""
    for name, stated in device.capacity.items():
        used = sum((consumed.get(name, Fraction(0)) for consumed in already), quantity(taken[name]))
        if used > quantity(stated.get("value")):
            return False
    return True


def _taken(wanted: object, value: str, policy: Mapping[str, Any] | None) -> str:
    if wanted is None:
        default = (policy or {}).get("default")
        return canonical(str(default if default is not None else value))
    allowed = (policy or {}).get("validRange") or {}
    if allowed.get("min") is not None:
        return _rounded_up(str(wanted), allowed)
    for each in (policy or {}).get("validValues") or ():
        if quantity(wanted) <= quantity(each):
            return canonical(str(each))
    return canonical(str(wanted))


def _rounded_up(wanted: str, allowed: Mapping[str, Any]) -> str:
    amount, least = quantity(wanted), quantity(allowed["min"])
    if amount < least:
        return canonical(str(allowed["min"]))
    if allowed.get("step") is None:
        return canonical(wanted)
    step = _whole(quantity(allowed["step"]))
    steps = -(-(_whole(amount) - _whole(least)) // step)
    return canonical(format_binary(_whole(least) + step * steps))


def _is_allowed(amount: str, policy: Mapping[str, Any]) -> bool:
    value = quantity(amount)
    if policy.get("default") is not None and value == quantity(policy["default"]):
        return True
    allowed = policy.get("validRange")
    if allowed is not None:
        if allowed.get("max") is not None and value > quantity(allowed["max"]):
            return False
        if allowed.get("step") is not None:
            least = _whole(quantity(allowed.get("min") or 0))
            return (_whole(value) - least) % _whole(quantity(allowed["step"])) == 0
        return True
    values = policy.get("validValues")
    return not values or any(value == quantity(each) for each in values)


def _whole(value: Fraction) -> int:
    """As Go's ``Quantity.Value``: rounded up."""
    return -(-value.numerator // value.denominator)
