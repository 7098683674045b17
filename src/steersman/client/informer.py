"""Informers: a list, then a watch, kept as an indexed cache that components read instead of the API.

Handlers are told which object changed; they queue its key. What an informer holds is always some recent state of the
server, never a mixture: a relist replaces everything at once and reports the difference.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from steersman.aio.backoff import Backoff
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.transport import Unreachable
from steersman.meta import objects
from steersman.meta.errors import APIError, BadRequest, Expired, Gone, Invalid, TooManyRequests
from steersman.meta.objects import Object
from steersman.meta.resources import Resource

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
PAGE_SIZE = 500
WATCH_TIMEOUT_S = 300
log = logging.getLogger(__name__)

IndexFunction = Callable[[Object], Iterable[str]]
Objects = list[Object]


class Change(Struct, frozen=True):
    """What happened to one object of the cache. Objects are shared: do not change them."""

    type: Literal["added", "updated", "deleted"]
    old: Object | None
    new: Object | None

    @property
    def object(self) -> Object:
        """The object as it is, or as it was last seen where it is deleted."""
        found = self.new if self.new is not None else self.old
        assert found is not None
        return found

    @property
    def key(self) -> str:
        return objects.key_of(self.object)


class Informer:
    """One resource (of one namespace, one selector) as a cache. ``run`` it; read it once ``synced``.

    Over a network, objects are kept without ``metadata.managedFields``, which are near half of many; a write that leaves them
    out changes nothing of them. With ``metadata_only`` nothing but metadata is asked for and kept.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        clock: Clock,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, IndexFunction] | None = None,
        metadata_only: bool = False,
    ) -> None:
        self.resource = resource
        self._metadata_only = metadata_only
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._objects: dict[str, Object] = {}
        self._indexers: dict[str, IndexFunction] = {"namespace": _by_namespace, **(indexers or {})}
        self._indexes: dict[str, dict[str, dict[str, Object]]] = {name: {} for name in self._indexers}
        self._handlers: list[Callable[[Change], None]] = []
        self._synced = asyncio.Event()
        self._resource_version = ""
        self._can_stream = True

    @property
    def synced(self) -> bool:
        """The cache has held a complete state at least once."""
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """Up to which version of the server the cache is."""
        return self._resource_version

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def get(self, key: str) -> Object | None:
        """The object of ``namespace/name`` or ``name``; shared, do not change it."""
        return self._objects.get(key)

    def list(self) -> Objects:
        return [*self._objects.values()]

    def as_mapping(self) -> Mapping[str, Object]:
        """What is cached, by key, as it is now and will be: a view, not to be iterated over while the loop may run."""
        return MappingProxyType(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def by_namespace(self, namespace: str) -> Objects:
        return self.by_index("namespace", namespace)

    def by_index(self, index: str, value: str) -> Objects:
        """Objects for which the index function named ``index`` gives ``value``."""
        return [*self._indexes[index].get(value, {}).values()]

    def has_indexer(self, name: str) -> bool:
        return name in self._indexers

    def add_indexer(self, name: str, function: IndexFunction) -> None:
        """Index by ``function`` too, including what is cached already."""
        self._indexers[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            for value in function(obj):
                self._indexes[name].setdefault(value, {})[key] = obj

    def subscribe(self, handler: Callable[[Change], None]) -> None:
        """Tell ``handler`` of every change, beginning with what is cached. It must be quick and must not raise."""
        self._handlers.append(handler)
        for obj in self.list():
            handler(Change("added", None, obj))

    async def run(self) -> None:
        """Keep the cache up to date until cancelled. Failures of the server or the way there are retried."""
        backoff = Backoff(initial_s=0.5, cap_s=30.0, jitter=0.5)
        while True:
            try:
                if not self._resource_version:
                    await self._load()
                    backoff.reset()
                await self._follow()
                backoff.reset()
                delay_s = 0.0
            except (Expired, Gone):
                self._resource_version = ""
                delay_s = backoff.next()
            except (APIError, Unreachable) as error:
                delay_s = backoff.next()
                log.log(
                    logging.WARNING if self.synced else logging.DEBUG,
                    "watching %s: %s; again in %.1f s", self.resource.group_resource, error, delay_s,
                )  # fmt: skip
            await self._clock.sleep(delay_s)

    async def _load(self) -> None:
        if self._can_stream:
            try:
                await self._load_by_watch()
                return
            except (Expired, Gone, TooManyRequests):
                raise
            except APIError as error:
                log.info("%s: no streaming list (%s); listing", self.resource.group_resource, error.message)
                self._can_stream = not isinstance(error, BadRequest | Invalid)
        await self._load_by_list()

    async def _load_by_watch(self) -> None:
        fresh: dict[str, Object] = {}
        events = self._client.watch(
            self.resource,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_s=WATCH_TIMEOUT_S,
            send_initial_events=True,
            metadata_only=self._metadata_only,
            slim=True,
        )
        async with aclosing(events):
            loading = True
            async for event in events:
                if not loading:
                    self._apply(event.type, event.object)
                elif event.type != "BOOKMARK":
                    fresh[objects.key_of(event.object)] = event.object
                elif INITIAL_EVENTS_END in objects.annotations(event.object):
                    self._replace(fresh, objects.resource_version(event.object))
                    loading = False
        if loading:
            raise Unreachable(f"streaming {self.resource.group_resource} ended before its initial events did")

    async def _load_by_list(self) -> None:
        fresh: dict[str, Object] = {}
        token = ""
        while True:
            page = await self._client.list(
                self.resource,
                namespace=self._namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                limit=PAGE_SIZE,
                continue_token=token,
                metadata_only=self._metadata_only,
            )
            for item in page.items:
                fresh[objects.key_of(item)] = self._with_kind(item)
            token = page.continue_token
            if not token:
                self._replace(fresh, page.resource_version)
                return

    def _with_kind(self, item: Object) -> Object:
        """Items of a list need not say what they are, those of a watch do."""
        if "kind" in item:
            return item
        return {"apiVersion": self.resource.api_version, "kind": self.resource.kind, **item}

    async def _follow(self) -> None:
        events = self._client.watch(
            self.resource,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version=self._resource_version,
            timeout_s=WATCH_TIMEOUT_S,
            metadata_only=self._metadata_only,
            slim=True,
        )
        async with aclosing(events):
            async for event in events:
                self._apply(event.type, event.object)

    def _apply(self, kind: str, obj: Object) -> None:
        self._resource_version = objects.resource_version(obj) or self._resource_version
        if kind == "BOOKMARK":
            return
        key = objects.key_of(obj)
        old = self._objects.get(key)
        if kind == "DELETED":
            if old is not None:
                self._remove(key, old)
                self._tell(Change("deleted", obj, None))
            return
        self._store(key, old, obj)
        self._tell(Change("added" if old is None else "updated", old, obj))

    def _replace(self, fresh: dict[str, Object], resource_version: str) -> None:
        self._resource_version = resource_version
        gone = [(key, obj) for key, obj in self._objects.items() if key not in fresh]
        for key, obj in gone:
            self._remove(key, obj)
        changes = [Change("deleted", obj, None) for _, obj in gone]
        for key, obj in fresh.items():
            old = self._objects.get(key)
            if old is not None and objects.resource_version(old) == objects.resource_version(obj):
                continue
            self._store(key, old, obj)
            changes.append(Change("added" if old is None else "updated", old, obj))
        for change in changes:
            self._tell(change)
        self._synced.set()

    def _store(self, key: str, old: Object | None, obj: Object) -> None:
        self._objects[key] = obj
        for name, function in self._indexers.items():
            index = self._indexes[name]
            if old is not None:
                _discard(index, function(old), key)
            for value in function(obj):
                index.setdefault(value, {})[key] = obj

    def _remove(self, key: str, old: Object) -> None:
        del self._objects[key]
        for name, function in self._indexers.items():
            _discard(self._indexes[name], function(old), key)

    def _tell(self, change: Change) -> None:
        for handler in self._handlers:
            handler(change)


class Informers:
    """Informers shared by everything in one process that reads the same resource."""

    def __init__(self, client: Client, *, clock: Clock, name: str = "informers") -> None:
        self._client = client
        self._clock = clock
        self._informers: dict[tuple[Resource, str, str, str, bool], Informer] = {}
        self._group: TaskGroup | None = None
        self._tasks: dict[Informer, asyncio.Task[None]] = {}
        self._name = name

    def of(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> Informer:
        """The informer of that resource and selection, made on first use; it runs as soon as ``run`` does.

        With ``metadata_only`` metadata is enough: whole objects come where they are cached already.
        """
        selection = (resource, namespace, label_selector, field_selector)
        informer = self._informers.get((*selection, False))
        if informer is None and metadata_only:
            informer = self._informers.get((*selection, True))
        if informer is None:
            informer = Informer(
                self._client,
                resource,
                clock=self._clock,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                metadata_only=metadata_only,
            )
            self._informers[(*selection, metadata_only)] = informer
            if self._group is not None:
                self._spawn(self._group, informer)
        return informer

    def drop(self, resource: Resource) -> None:
        """Stop every informer of ``resource``: the server serves it no more. One asked for later starts anew."""
        for identity, informer in [*self._informers.items()]:
            if identity[0] == resource:
                del self._informers[identity]
                task = self._tasks.pop(informer, None)
                if task is not None:
                    task.cancel()

    async def run(self) -> None:
        """Run every informer, also those that are made later, until cancelled."""
        async with TaskGroup(self._name) as group:
            self._group = group
            try:
                for informer in self._informers.values():
                    self._spawn(group, informer)
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    async def wait_synced(self) -> None:
        """Until every informer made so far has held a complete state."""
        for informer in tuple(self._informers.values()):
            await informer.wait_synced()

    @property
    def synced(self) -> bool:
        return all(informer.synced for informer in self._informers.values())

    def _spawn(self, group: TaskGroup, informer: Informer) -> None:
        self._tasks[informer] = group.supervise(informer.run, name=informer.resource.group_resource, clock=self._clock)


def _by_namespace(obj: Object) -> Iterable[str]:
    return (objects.namespace(obj),)


def _discard(index: dict[str, dict[str, Object]], values: Iterable[str], key: str) -> None:
    for value in values:
        members = index.get(value)
        if members is not None:
            members.pop(key, None)
            if not members:
                del index[value]
