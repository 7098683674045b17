"""Constraints over the devices of one claim: they share an attribute's value, or differ in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from steersman.scheduler.devices.requests import AllocationError, Claim, Request
from steersman.scheduler.devices.slices import Device

Attribute = tuple[str, Any]
"""Kind of value, value."""


class Constraint(Protocol):
    """Told of every device that is taken and given back. Monotonic: what refuses a device refuses it with more, too."""

    def take(self, request: Request, device: Device) -> bool:
        """False, and nothing is remembered, where the device must not join the others."""

    def give_back(self, request: Request, device: Device) -> None: ...


def constraints_of(claim: Claim) -> tuple[Constraint, ...]:
    """Raises ``AllocationError`` for constraints of a kind that is not known."""
    found: list[Constraint] = []
    for index, entry in enumerate(claim.constraints):
        requests = frozenset(entry.get("requests") or ())
        if entry.get("matchAttribute"):
            found.append(_Alike(requests, str(entry["matchAttribute"])))
        elif entry.get("distinctAttribute"):
            found.append(_Distinct(requests, str(entry["distinctAttribute"])))
        else:
            raise AllocationError(
                f"claim {claim.key}, constraint #{index}: empty constraint (unsupported constraint type?)"
            )
    return tuple(found)


def attribute_of(device: Device, name: str) -> Attribute | None:
    """The value of a fully qualified attribute; those of the driver's domain may be stated without it."""
    stated = device.attributes.get(name)
    if stated is None:
        domain, slash, identifier = name.partition("/")
        if slash and domain == device.id[0]:
            stated = device.attributes.get(identifier)
    return None if stated is None else _value(stated)


def _value(stated: Mapping[str, Any]) -> Attribute | None:
    return next(
        ((kind, stated[kind]) for kind in ("string", "int", "bool", "version") if stated.get(kind) is not None), None
    )


class _OverRequests:
    """Applies to the requests that it names, or to all where it names none."""

    def __init__(self, requests: frozenset[str], attribute: str) -> None:
        self._requests = requests
        self._attribute = attribute
        self._taken: list[Attribute] = []

    def _concerns(self, request: Request) -> bool:
        names = {request.full_name, request.parent or request.name}
        return not self._requests or not self._requests.isdisjoint(names)

    def _allows(self, value: Attribute) -> bool:
        raise NotImplementedError

    def take(self, request: Request, device: Device) -> bool:
        if not self._concerns(request):
            return True
        value = attribute_of(device, self._attribute)
        if value is None or not self._allows(value):
            return False
        self._taken.append(value)
        return True

    def give_back(self, request: Request, device: Device) -> None:
        if self._concerns(request):
            self._taken.pop()


class _Alike(_OverRequests):
    """``matchAttribute``"""

    def _allows(self, value: Attribute) -> bool:
        return not self._taken or self._taken[0] == value


class _Distinct(_OverRequests):
    """``distinctAttribute``"""

    def _allows(self, value: Attribute) -> bool:
        return value not in self._taken


def _conforms() -> tuple[Constraint, ...]:
    return _Alike(frozenset(), ""), _Distinct(frozenset(), "")
