"""What claims ask for, read once a claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object

Mode = Literal["ExactCount", "All"]
_MODES: Mapping[str, Mode] = {"ExactCount": "ExactCount", "All": "All"}
RESULTS_LIMIT = 32
"""Most devices that one claim can get (``AllocationResultsMaxSize``)."""


class AllocationError(Exception):
    """Something is wrong with a claim, a class or a selector: the pod's try ends with an error, on whatever node."""


class Request(Struct, frozen=True, kw_only=True):
    """One request, or one of the alternatives of a prioritized one."""

    name: str
    parent: str = ""
    """Name of the request that this is an alternative of."""
    class_name: str
    selectors: tuple[str, ...]
    """CEL expressions."""
    mode: Mode
    count: int
    is_admin: bool
    """For monitoring: devices that are in use are given out as well."""
    tolerations: tuple[Mapping[str, Any], ...]
    capacity: Mapping[str, str]

    @property
    def full_name(self) -> str:
        return f"{self.parent}/{self.name}" if self.parent else self.name

    def tolerates(self, taint: Mapping[str, Any]) -> bool:
        return any(_tolerates(toleration, taint) for toleration in self.tolerations)


class Choice(Struct, frozen=True, kw_only=True):
    """A request: its alternatives, the most wanted first. Plain requests have one."""

    name: str
    alternatives: tuple[Request, ...]


class Claim(Struct, frozen=True, kw_only=True, eq=False):
    """A claim whose devices are to be found."""

    obj: Object
    key: str
    choices: tuple[Choice, ...]

    @property
    def constraints(self) -> list[Mapping[str, Any]]:
        return devices_of(self.obj).get("constraints") or []

    @property
    def configs(self) -> list[Mapping[str, Any]]:
        return devices_of(self.obj).get("config") or []


def devices_of(claim: Object) -> Mapping[str, Any]:
    return (claim.get("spec") or {}).get("devices") or {}


def allocation_of(claim: Object) -> Object | None:
    found: Object | None = (claim.get("status") or {}).get("allocation")
    return found


def read_claim(claim: Object) -> Claim:
    """Raises ``AllocationError`` for requests of a kind that is not known."""
    key = objects.key_of(claim)
    choices = []
    for entry in devices_of(claim).get("requests") or ():
        name = str(entry.get("name") or "")
        exactly, available = entry.get("exactly"), entry.get("firstAvailable")
        if exactly is not None:
            alternatives = [_read(exactly, name, "", key)]
        elif available:
            alternatives = [_read(each, str(each.get("name") or ""), name, key) for each in available]
        else:
            raise AllocationError(f"resource claim {key}, request {name}: unknown request type")
        choices.append(Choice(name=name, alternatives=tuple(alternatives)))
    return Claim(obj=claim, key=key, choices=tuple(choices))


def _read(entry: Mapping[str, Any], name: str, parent: str, key: str) -> Request:
    mode = _MODES.get(entry.get("allocationMode") or "ExactCount")
    if mode is None:
        raise AllocationError(f"claim {key}, request {name}: unsupported count mode {entry['allocationMode']}")
    expressions = []
    for index, selector in enumerate(entry.get("selectors") or ()):
        if not selector.get("cel"):
            raise AllocationError(
                f"claim {key}, request {name}, selector #{index}: CEL expression empty (unsupported selector type?)"
            )
        expressions.append(str(selector["cel"].get("expression") or ""))
    return Request(
        name=name,
        parent=parent,
        class_name=str(entry.get("deviceClassName") or ""),
        selectors=tuple(expressions),
        mode=mode,
        count=int(entry.get("count") or 1),
        is_admin=bool(entry.get("adminAccess")),
        tolerations=tuple(entry.get("tolerations") or ()),
        capacity=(entry.get("capacity") or {}).get("requests") or {},
    )


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    for name in ("effect", "key"):
        if toleration.get(name) and toleration[name] != taint.get(name):
            return False
    match toleration.get("operator") or "Equal":
        case "Equal":
            return (toleration.get("value") or "") == (taint.get("value") or "")
        case "Exists":
            return True
        case _:
            return False
