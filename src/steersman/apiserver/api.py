"""What the endpoints share: the parts of one API server, as ``component.py`` puts them together."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.apiserver.admission.chain import AdmissionChain
from steersman.apiserver.authz.api import Authorizer
from steersman.apiserver.call import Call
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.metrics.comparisons import ComparisonMetrics
from steersman.apiserver.metrics.storage import StorageMetrics
from steersman.apiserver.metrics.watches import WatchMetrics
from steersman.apiserver.proxying.backend import Backends
from steersman.apiserver.proxying.locations import Locations
from steersman.apiserver.served import Served
from steersman.apiserver.watching import WatchTimer
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.definitions import Definition
from steersman.schema.registry import Registry
from steersman.store.objects import ObjectStore


class Reservation(Protocol):
    """Something that a write took before it was committed, e.g. a cluster IP."""

    def commit(self) -> None:
        """The write took place."""

    def rollback(self) -> None:
        """It did not."""


class StorageHook(Protocol):
    """What a kind's writes do beyond the object itself. Objects may be changed in place on the paths copied for it
    (top level, metadata, spec, status)."""

    async def begin_create(self, call: Call, obj: Object, *, dry_run: bool) -> Reservation | None:
        """Before a new object is validated. Raises ``APIError`` to refuse."""

    async def begin_update(self, call: Call, obj: Object, old: Object, *, dry_run: bool) -> Reservation | None:
        """Before a changed object is validated."""

    async def after_delete(self, obj: Object) -> None:
        """An object is gone."""


class ServedKinds:
    """The kinds this server serves now. Custom kinds come and go; readers keep what they looked up."""

    def __init__(self, registry: Registry) -> None:
        self._served: dict[tuple[str, str, str], Served] = {}
        self.registry = registry
        self._built_in = {kind.resource.group for kind in registry.kinds} - {""}
        self.custom_definitions: Mapping[str, Definition] = {}
        """OpenAPI definitions of kinds that are not built in."""
        self.generation = 0
        """Rises whenever kinds come or go."""
        self.replace(registry)

    def replace(
        self,
        registry: Registry,
        custom_definitions: Mapping[str, Definition] | None = None,
        custom: Sequence[Served] = (),
    ) -> None:
        """Serve the kinds of ``registry`` from now on, those of ``custom`` in their own way."""
        self.custom_definitions = custom_definitions or {}
        known = {id(served.kind): served for served in (*self._served.values(), *custom)}
        self._served = {
            (kind.resource.group, kind.resource.version, kind.resource.plural): known.get(id(kind)) or Served(kind)
            for kind in registry.kinds
        }
        self.registry = registry
        self.generation += 1

    def lookup(self, group: str, version: str, plural: str) -> Served | None:
        return self._served.get((group, version, plural))

    def has_built_in(self, group: str) -> bool:
        """Kinds of the group, which is not the nameless one, come with this server."""
        return group in self._built_in

    def of(self, resource: Resource) -> Served:
        """The served kind of a resource that is known to be served. Raises ``KeyError``."""
        return self._served[resource.group, resource.version, resource.plural]

    def all(self) -> Sequence[Served]:
        return tuple(self._served.values())


class API(Struct, frozen=True, kw_only=True):
    """The parts of one API server."""

    objects: ObjectStore
    kinds: ServedKinds
    admission: AdmissionChain
    authorizer: Authorizer
    clock: Clock
    rng: random.Random
    config: APIServerConfig
    watches: WatchTimer
    locations: Locations
    backends: Backends
    watch_metrics: WatchMetrics
    storage_metrics: StorageMetrics
    comparison_metrics: ComparisonMetrics
    hooks: Mapping[tuple[str, str], StorageHook] = field(default_factory=dict)
    """By group and plural."""

    def hook(self, resource: Resource) -> StorageHook | None:
        return self.hooks.get((resource.group, resource.plural))
