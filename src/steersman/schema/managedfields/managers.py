"""The managers of one object: ``metadata.managedFields``, read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from steersman.meta.objects import Object
from steersman.schema.managedfields import fieldset
from steersman.schema.managedfields.fieldset import FieldSet, MalformedFields

Operation = Literal["Apply", "Update"]

MAX_UPDATE_MANAGERS = 10
"""Managers by Update that one object keeps apart; the oldest are merged beyond that."""
OLDEST = "ancient-changes"
"""The manager that the oldest updates are merged into."""


class Identity(Struct, frozen=True, order=True):
    """What tells managers apart. An applier is the same whatever version it applies in."""

    manager: str
    operation: Operation
    api_version: str
    subresource: str

    @property
    def text(self) -> str:
        """As upstream orders managers by."""
        entry = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "subresource": self.subresource,
        }
        return msgspec.json.encode({key: value for key, value in entry.items() if value}).decode()

    def described(self) -> str:
        """As a conflict names it: ``"kubectl" with subresource "status" using apps/v1``."""
        text = msgspec.json.encode(self.manager).decode()
        if self.subresource:
            text = f'{text} with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


def identity(manager: str, operation: Operation, api_version: str, subresource: str) -> Identity:
    return Identity(manager, operation, api_version if operation == "Update" else "", subresource)


class Owned(Struct, frozen=True, kw_only=True):
    """What one manager owns, and since when."""

    fields: FieldSet
    api_version: str
    time: str = ""
    """RFC 3339; empty where unknown."""
    entry: Object | None = None
    """The entry that this was read from, to be written back as it is while nothing changes."""
    ordered: FieldSet = field(default_factory=dict)
    """A set that is in order and shares parts with ``fields``."""

    def at(self, time: str) -> Owned:
        """The same fields, claimed anew."""
        if time == self.time:
            return self
        entry = None if self.entry is None else {**self.entry, "time": time}
        return Owned(fields=self.fields, api_version=self.api_version, time=time, entry=entry, ordered=self.ordered)

    def with_fields(self, fields: FieldSet) -> Owned:
        if fields is self.fields:
            return self
        return Owned(fields=fields, api_version=self.api_version, time=self.time, ordered=self.ordered)


Managers = dict[Identity, Owned]


def decode(entries: Sequence[Mapping[str, Any]] | None) -> Managers:
    """Managers of ``metadata.managedFields``. Raises ``MalformedFields``."""
    managers: Managers = {}
    for position, entry in enumerate(entries or ()):
        operation = entry.get("operation")
        if operation not in ("Apply", "Update"):
            raise MalformedFields("operation must be `Apply` or `Update`")
        if not entry.get("apiVersion"):
            raise MalformedFields("apiVersion must not be empty")
        if entry.get("fieldsType") != "FieldsV1":
            kind = entry.get("fieldsType")
            problem = f'invalid fieldsType "{kind}"' if kind else "missing fieldsType"
            raise MalformedFields(f"{problem} in managed fields entry {position}")
        key = identity(entry.get("manager") or "", operation, entry["apiVersion"], entry.get("subresource") or "")
        fields = entry.get("fieldsV1") or fieldset.EMPTY
        managers[key] = Owned(
            fields=fields,
            ordered=fields,
            api_version=entry["apiVersion"],
            time=entry.get("time") or "",
            entry=entry,  # type: ignore[arg-type]
        )
    return managers


def decode_checked(entries: Sequence[Mapping[str, Any]] | None) -> Managers:
    """As ``decode``, of entries that a client sent: their fields are checked too."""
    return {
        key: Owned(fields=fieldset.checked(owned.fields), api_version=owned.api_version, time=owned.time)
        for key, owned in decode(entries).items()
    }


def is_reset(entries: Any) -> bool:
    """A client asks to forget all managers: an empty list, or one empty entry."""
    return isinstance(entries, list) and entries in ([], [{}])


def encode(managers: Managers) -> list[Object]:
    """``metadata.managedFields``: appliers first, then by time."""
    written = [_entry(key, owned) for key, owned in managers.items()]
    written.sort(
        key=lambda entry: (
            entry["operation"],
            entry.get("time", ""),
            entry["manager"],
            entry["apiVersion"],
            entry.get("subresource", ""),
        )
    )
    return written


def _entry(key: Identity, owned: Owned) -> Object:
    if owned.entry is not None:
        return owned.entry
    fields = fieldset.interned(fieldset.in_order(owned.fields, owned.ordered))
    return new_entry(key, Owned(fields=fields, api_version=owned.api_version, time=owned.time))


def new_entry(key: Identity, owned: Owned) -> Object:
    """An entry of ``metadata.managedFields``; the fields are in order already."""
    entry: Object = {"manager": key.manager, "operation": key.operation, "apiVersion": owned.api_version}
    if owned.time:
        entry["time"] = owned.time
    entry["fieldsType"] = "FieldsV1"
    entry["fieldsV1"] = owned.fields
    if key.subresource:
        entry["subresource"] = key.subresource
    return entry


def capped(managers: Managers) -> Managers:
    """At most ``MAX_UPDATE_MANAGERS`` by Update: the oldest of one version become one."""
    updaters = [key for key in managers if key.operation == "Update"]
    excess = len(updaters) - MAX_UPDATE_MANAGERS
    if excess <= 0:
        return managers
    updaters.sort(key=lambda key: (managers[key].time, key.text))
    result = dict(managers)
    first_of_version: dict[str, Identity] = {}
    for key in updaters:
        if excess <= 0:
            break
        owned = result[key]
        first = first_of_version.setdefault(owned.api_version, key)
        if first == key:
            continue
        bucket = identity(OLDEST, "Update", owned.api_version, "")
        if bucket not in result:
            result[bucket] = result.pop(first)
        fields = fieldset.union(result[bucket].fields, owned.fields)
        result[bucket] = Owned(fields=fields, api_version=owned.api_version, time=owned.time)
        if key != bucket:
            del result[key]
        excess -= 1
    return result
