"""kube-proxy: watches Services, EndpointSlices and its own Node, and keeps the backend's rules as they say.

Watches services, endpointslices, nodes (its own). Writes nothing to the API. A change of one Service recomputes that
Service's frontends only; changes that arrive within ``min_sync_period_s`` are applied together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram

from steersman.aio.backoff import Backoff
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.informer import Change, Informer
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTSLICES, NODES, SERVICES
from steersman.proxy.backends.api import Backend, BackendError
from steersman.proxy.conntrack import forget, stale_flows
from steersman.proxy.rules import (
    HEADLESS_LABEL,
    PROXY_NAME_LABEL,
    SERVICE_NAME_LABEL,
    ZONE_LABEL,
    Frontend,
    NodeView,
    Rules,
    Target,
    service_rules,
)

log = logging.getLogger(__name__)


class ProxyConfig(Struct, frozen=True, kw_only=True):
    node_name: str
    min_sync_period_s: float = 0.05
    sync_period_s: float = 3600.0
    """How often everything is written anew, in case somebody else changed the kernel's tables."""


class Proxy:
    """One node's service proxy."""

    def __init__(
        self, *, client: Client, clock: Clock, config: ProxyConfig, backend: Backend, registry: CollectorRegistry
    ) -> None:
        self._clock = clock
        self._config = config
        self._backend = backend
        selector = f"!{PROXY_NAME_LABEL},!{HEADLESS_LABEL}"
        self._services = Informer(client, SERVICES, clock=clock, label_selector=selector)
        self._slices = Informer(
            client,
            ENDPOINTSLICES,
            clock=clock,
            label_selector=f"!{HEADLESS_LABEL}",
            indexers={"service": _service_of},
        )
        self._node = Informer(client, NODES, clock=clock, field_selector=f"metadata.name={config.node_name}")
        self._view = NodeView(name=config.node_name)
        self._dirty: set[str] = set()
        self._changed = asyncio.Event()
        self._by_service: dict[str, Rules] = {}
        self._rules: Rules = {}
        self._synced = False
        self._services.subscribe(lambda change: self._touch([change.key]))
        self._slices.subscribe(self._on_slice)
        self._node.subscribe(self._on_node)
        self._duration = Histogram(
            "kubeproxy_sync_proxy_rules_duration_seconds", "Time one application of rules took", registry=registry
        )
        self._failures = Counter(
            "kubeproxy_sync_proxy_rules_failures", "Applications of rules that failed", registry=registry
        )

    def ready(self) -> bool:
        """Rules have been applied, and no change has waited since."""
        return self._synced

    async def run(self) -> None:
        """Until cancelled. The rules stay in the kernel afterwards, so that a restart interrupts nothing."""
        async with TaskGroup("proxy") as group:
            for informer in (self._services, self._slices, self._node):
                group.spawn(informer.run(), name=informer.resource.plural)
            group.spawn(self._apply_for_ever(), name="apply")
            group.spawn(self._resync_for_ever(), name="resync")
            await group.wait()

    def _touch(self, keys: Iterable[str]) -> None:
        self._dirty.update(keys)
        self._changed.set()

    def _on_slice(self, change: Change) -> None:
        for obj in (change.old, change.new):
            if obj is not None:
                self._touch(_service_of(obj))

    def _on_node(self, change: Change) -> None:
        zone = objects.labels(change.object).get(ZONE_LABEL, "")
        if zone != self._view.zone:
            self._view = NodeView(name=self._config.node_name, zone=zone)
            self._touch(objects.key_of(service) for service in self._services.list())

    async def _apply_for_ever(self) -> None:
        for informer in (self._services, self._slices, self._node):
            await informer.wait_synced()
        backoff = Backoff(initial_s=0.2, cap_s=30.0)
        while True:
            began_s = time.perf_counter()
            keys, self._dirty = self._dirty, set()
            self._changed.clear()
            try:
                await self._apply(keys)
            except BackendError as error:
                self._failures.inc()
                self._synced = False
                self._dirty |= keys
                delay_s = backoff.next()
                log.error("%s; again in %.1f s", error, delay_s)
                await self._clock.sleep(delay_s)
                continue
            self._duration.observe(time.perf_counter() - began_s)
            backoff.reset()
            await self._changed.wait()
            await self._clock.sleep(self._config.min_sync_period_s)

    async def _apply(self, keys: set[str]) -> None:
        recomputed = {key: self._rules_of(key) for key in keys}
        if not self._synced:
            by_service = {**self._by_service, **recomputed}
            rules = merged(by_service)
            await self._backend.sync(rules)
            self._by_service, self._rules, self._synced = by_service, rules, True
            log.info("%d frontends of %d Services", len(rules), sum(1 for own in by_service.values() if own))
            return
        changes = self._changes(recomputed)
        if not changes:
            return
        await self._backend.update(changes)
        stale = stale_flows(self._rules, changes)
        self._by_service.update(recomputed)
        for frontend, target in changes.items():
            if target is None:
                self._rules.pop(frontend, None)
            else:
                self._rules[frontend] = target
        await forget(stale)

    def _changes(self, recomputed: dict[str, Rules]) -> dict[Frontend, Target | None]:
        changes: dict[Frontend, Target | None] = {}
        for key, rules in recomputed.items():
            for frontend in self._by_service.get(key, {}):
                if frontend not in rules:
                    changes[frontend] = None
        for rules in recomputed.values():
            for frontend, target in rules.items():
                if self._rules.get(frontend) != target:
                    changes[frontend] = target
                else:
                    changes.pop(frontend, None)
        return changes

    def _rules_of(self, key: str) -> Rules:
        service = self._services.get(key)
        if service is None:
            return {}
        return service_rules(service, self._slices.by_index("service", key), self._view)

    async def _resync_for_ever(self) -> None:
        while True:
            await self._clock.sleep(self._config.sync_period_s)
            self._synced = False
            self._changed.set()


def merged(by_service: dict[str, Rules]) -> Rules:
    """All frontends in one table; of two Services with one frontend, the first by name has it."""
    rules: Rules = {}
    for key in sorted(by_service):
        for frontend, target in by_service[key].items():
            rules.setdefault(frontend, target)
    return rules


def _service_of(obj: Object) -> list[str]:
    name = objects.labels(obj).get(SERVICE_NAME_LABEL)
    return [f"{objects.namespace(obj)}/{name}"] if name else []
