"""Aggregation put together: what follows the APIServices, and what the rest of the server asks of it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from steersman.aio.backoff import Backoff, ItemBackoff
from steersman.aio.broadcast import Overrun
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.admission.api import Reader
from steersman.apiserver.aggregation.availability import Availability
from steersman.apiserver.aggregation.directory import Directory
from steersman.apiserver.aggregation.extensionservers import ClientCertificate, ExtensionServers
from steersman.apiserver.aggregation.metrics import AvailabilityMetrics
from steersman.apiserver.aggregation.refreshing import Refresher
from steersman.apiserver.aggregation.registration import Registration
from steersman.apiserver.aggregation.remotediscovery import RemoteDiscovery
from steersman.apiserver.aggregation.remoteopenapi import RemoteOpenAPI
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.proxying.backend import Backends
from steersman.apiserver.services.addresses import SERVICE_NAME_LABEL, ServiceAddresses
from steersman.client.api import Client
from steersman.meta.errors import APIError
from steersman.meta.objects import Object, labels, name, namespace
from steersman.meta.resources import (
    APISERVICES,
    CUSTOMRESOURCEDEFINITIONS,
    ENDPOINTSLICES,
    SERVICES,
    Resource,
)
from steersman.store.api import CompactedError, StoreUnavailable
from steersman.store.objects import ObjectStore

log = logging.getLogger(__name__)

_Changed = Callable[[Sequence[Object]], Awaitable[None]]

CHECK_INTERVAL_S = 30.0
"""How often an available server is looked at: networks break without telling anybody."""


class Aggregator:
    """The APIServices of one API server. ``start`` once the store is read; ``directory``, ``servers``, ``discovery`` and
    ``openapi`` are for those who serve."""

    def __init__(
        self,
        *,
        objects: ObjectStore,
        kinds: ServedKinds,
        reader: Reader,
        client: Client,
        backends: Backends,
        config: APIServerConfig,
        metrics: AvailabilityMetrics,
        clock: Clock,
        rng: random.Random,
        has_been_ready: Callable[[], bool],
    ) -> None:
        self._objects = objects
        self._kinds = kinds
        self._reader = reader
        self._clock = clock
        self._pending: set[str] = set()
        self.directory = Directory(reader)
        self.servers = ExtensionServers(
            ServiceAddresses(reader, to_endpoints=config.aggregator_routing, rng=rng),
            backends,
            certificate=ClientCertificate(config.front_proxy_certificate_file, config.front_proxy_key_file),
            reject_redirects=config.reject_forwarding_redirects,
        )
        self.discovery = RemoteDiscovery(self.directory, self.servers, clock=clock)
        self.openapi = RemoteOpenAPI(self.directory, self.servers, clock=clock)
        self._registration = Registration(client=client, reader=reader, registry=kinds.registry)
        self._availability = Availability(
            client=client,
            reader=reader,
            servers=self.servers,
            clock=clock,
            metrics=metrics,
            has_been_ready=has_been_ready,
        )
        self._checks = Refresher(
            "availability",
            self._check,
            clock=clock,
            interval_s=CHECK_INTERVAL_S,
            backoff=ItemBackoff(0.005, 30.0),
            workers=5,
        )

    async def start(self, tasks: TaskGroup) -> None:
        """Register what this server serves, and follow what is registered. Raises ``APIError``, ``StoreUnavailable``."""
        self._pending = set(self._registration.expected())
        await self._registration.start()
        local = [service.name for service in self.directory.all() if service.service is None]
        await asyncio.gather(*(self._availability.sync(name) for name in local))
        self._observe_available()
        for refresher in self._refreshers:
            refresher.start(tasks)
        for resource, changed in (
            (APISERVICES, self._services_changed),
            (CUSTOMRESOURCEDEFINITIONS, self._definitions_changed),
            (SERVICES, self._services_behind_changed),
            (ENDPOINTSLICES, self._endpoints_changed),
        ):
            self._supervise(tasks, resource, changed)

    def close(self) -> None:
        for refresher in self._refreshers:
            refresher.close()

    def completion_failure(self) -> str:
        """Which built-in APIServices have never been available; empty when all have."""
        if not self._pending:
            return ""
        self._observe_available()
        return f"missing APIService: [{' '.join(sorted(self._pending))}]" if self._pending else ""

    @property
    def _refreshers(self) -> tuple[Refresher, ...]:
        return (self._checks, self.discovery.refresher, self.openapi.refresher)

    def _observe_available(self) -> None:
        self._pending -= {service.name for service in self.directory.all() if service.is_available}

    async def _check(self, name: str) -> bool:
        await self._availability.sync(name)
        service = self.directory.get(name)
        return service is not None and service.service is not None

    # -- what changes

    async def _services_changed(self, changed: Sequence[Object]) -> None:
        for obj in changed:
            for refresher in self._refreshers:
                refresher.add(name(obj))
        await self._registration.sync()

    async def _definitions_changed(self, changed: Sequence[Object]) -> None:
        await self._registration.sync()

    async def _services_behind_changed(self, changed: Sequence[Object]) -> None:
        self._recheck({(namespace(obj), name(obj)) for obj in changed})

    async def _endpoints_changed(self, changed: Sequence[Object]) -> None:
        self._recheck({(namespace(obj), labels(obj).get(SERVICE_NAME_LABEL, "")) for obj in changed})

    def _recheck(self, services: set[tuple[str, str]]) -> None:
        for service in self.directory.remotes():
            reference = service.service
            if reference is not None and (reference.namespace, reference.name) in services:
                self._checks.add(service.name)

    def _supervise(self, tasks: TaskGroup, resource: Resource, changed: _Changed) -> None:
        async def follow() -> None:
            await self._follow(resource, changed)

        backoff = Backoff(initial_s=0.05, cap_s=5.0)
        tasks.supervise(follow, name=f"follow-{resource.plural}", clock=self._clock, backoff=backoff)

    async def _follow(self, resource: Resource, changed: _Changed) -> None:
        """All objects first, then those that change; anew where changes were missed."""
        prefix = self._kinds.of(resource).prefix
        found = self._objects.cached_list(prefix)
        subscription = self._objects.watch(prefix, start_revision=found.revision)
        batch: Sequence[Object] = [stored.obj for stored in found.items]
        backoff = Backoff(initial_s=0.05, cap_s=5.0)
        try:
            while True:
                try:
                    await changed(batch)
                except (APIError, StoreUnavailable) as error:
                    log.warning("after a change of %s: %s", resource.plural, error)
                    await self._clock.sleep(backoff.next())
                    continue
                backoff.reset()
                batch = [event.stored.obj for event in await subscription.__anext__()]
        except (CompactedError, Overrun) as error:
            log.warning("following %s anew: %s", resource.plural, error)
        except StopAsyncIteration:
            await asyncio.Event().wait()  # the store is closed: nothing more will change
        finally:
            subscription.close()
