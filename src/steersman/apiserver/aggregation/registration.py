"""Keeps an APIService for everything that this server serves itself: built-in versions and those of custom resources.

Source: upstream's autoregister and crdregistration controllers. What the label says is managed ``onstart`` is brought up to date
once in a server's life; ``true`` always; anything else is somebody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct, field

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.aggregation.apiservice import (
    CONTINUOUSLY,
    CUSTOM_PRIORITY,
    MANAGED_LABEL,
    ON_START,
    PRIORITIES,
    local,
)
from steersman.client.api import Client
from steersman.meta.errors import AlreadyExists, Conflict, NotFound
from steersman.meta.objects import Object, labels, name, uid
from steersman.meta.resources import APISERVICES, CUSTOMRESOURCEDEFINITIONS
from steersman.schema.registry import Registry

Action = Literal["create", "update", "delete", "none"]


def built_in(registry: Registry) -> list[Object]:
    """The APIServices of a registry's groups and versions."""
    served = [(group, version) for group in registry.groups for version in registry.versions(group)]
    return [local(group, version, PRIORITIES[group, version], ON_START) for group, version in served if (group, version) in PRIORITIES]  # fmt: skip


def custom(definitions: Iterable[Object]) -> list[Object]:
    """The APIServices of the versions that definitions serve."""
    versions = {
        (definition["spec"]["group"], version["name"])
        for definition in definitions
        for version in definition["spec"]["versions"]
        if version.get("served")
    }
    return [local(group, version, CUSTOM_PRIORITY, CONTINUOUSLY) for group, version in sorted(versions)]


def action(desired: Object | None, current: Object | None, *, is_synced: bool, was_there_at_start: bool) -> Action:
    """What brings ``current`` to ``desired``; ``is_synced``: this server has done so before."""
    wanted = _managed(desired)
    if current is None and desired is None:
        return "none"
    if wanted == ON_START and is_synced:
        return "none"
    if current is None:
        return "create"
    found = _managed(current)
    if found not in (ON_START, CONTINUOUSLY):
        return "none"
    if found == ON_START and (not was_there_at_start or is_synced):
        return "none"
    if desired is None:
        return "delete"
    return "none" if current["spec"] == desired["spec"] else "update"


def _managed(service: Object | None) -> str:
    return labels(service).get(MANAGED_LABEL, "") if service is not None else ""


class Registration(Struct, kw_only=True):
    """``start`` once; then ``sync`` whenever a definition or an APIService changed."""

    client: Client
    reader: Reader
    registry: Registry
    """Of what is built in."""
    _at_start: frozenset[str] = frozenset()
    _synced: set[str] = field(default_factory=set)

    def expected(self) -> list[str]:
        """Names of the built-in APIServices."""
        return [name(obj) for obj in built_in(self.registry)]

    async def start(self) -> None:
        """Remember what there is, and write what is missing, all at once so that the writes share commits."""
        self._at_start = frozenset(name(obj) for obj in self.reader.list(APISERVICES))
        await self.sync()

    async def sync(self) -> None:
        """Raises ``APIError`` and ``StoreUnavailable``: to be tried again."""
        current = {name(obj): obj for obj in self.reader.list(APISERVICES)}
        desired = self._desired()
        names = sorted(current.keys() | desired.keys())
        await asyncio.gather(*(self._sync_one(name, desired.get(name), current.get(name)) for name in names))

    def _desired(self) -> Mapping[str, Object]:
        wanted = {name(obj): obj for obj in custom(self.reader.list(CUSTOMRESOURCEDEFINITIONS))}
        return wanted | {name(obj): obj for obj in built_in(self.registry)}

    async def _sync_one(self, name: str, desired: Object | None, current: Object | None) -> None:
        what = action(desired, current, is_synced=name in self._synced, was_there_at_start=name in self._at_start)
        try:
            match what:
                case "create" if desired is not None:
                    await self.client.create(APISERVICES, desired)
                case "update" if desired is not None and current is not None:
                    await self.client.update(APISERVICES, {**current, "spec": desired["spec"]})
                case "delete" if current is not None:
                    await self.client.delete(APISERVICES, name, uid=uid(current))
        except (AlreadyExists, Conflict, NotFound):
            return  # changed meanwhile: its event is on the way
        self._synced.add(name)
