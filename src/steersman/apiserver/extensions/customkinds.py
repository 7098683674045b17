"""Keeps what this server serves in step with the CustomResourceDefinitions: served before they are called established.

One task follows the definitions in the store. What it concludes about one (conditions, accepted names) is served at once
and written then, so that a client that sees ``Established`` finds the resource served. Several servers on one store
reach the same conclusions; whoever writes second has its write refused and sees the other's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence

from steersman.aio.backoff import Backoff
from steersman.aio.broadcast import Overrun
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.api import API
from steersman.apiserver.extensions.cleanup import Cleanup
from steersman.apiserver.extensions.conversion import Conversions
from steersman.apiserver.extensions.remote import RemotelyConverted
from steersman.apiserver.extensions.resource import CustomResource
from steersman.apiserver.extensions.rulemetrics import RuleMetrics
from steersman.apiserver.extensions.served import CustomServed
from steersman.client.api import Client
from steersman.meta.errors import APIError, Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS
from steersman.schema.groups.apiextensions import conditions
from steersman.store.api import CompactedError, StoreUnavailable
from steersman.store.events import ObjectEvent
from steersman.store.subscriptions import Subscription

log = logging.getLogger(__name__)
PREFIX = "/registry/apiextensions.k8s.io/customresourcedefinitions/"


class CustomKinds:
    """The custom resources of one server."""

    def __init__(
        self,
        api: API,
        client: Client,
        conversions: Conversions,
        *,
        rules: RuleMetrics,
        clock: Clock,
        tasks: TaskGroup,
    ) -> None:
        self._api = api
        self._client = client
        self._conversions = conversions
        self._rules = rules
        self._clock = clock
        self._tasks = tasks
        self._builtin = api.kinds.registry
        self._crds: dict[str, Object] = {}
        """Every definition as this server sees it: with the conclusions that may not be written yet."""
        self._customs: dict[str, CustomResource] = {}
        self._served: dict[str, tuple[CustomServed, ...]] = {}
        self._subscription: Subscription | None = None
        self._cleanups: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Serve what is defined, and follow what comes."""
        self._subscription = self._load()
        self._tasks.supervise(
            self._follow, name="custom-kinds", clock=self._clock, backoff=Backoff(initial_s=0.05, cap_s=5.0)
        )

    def _load(self) -> Subscription:
        found = self._api.objects.cached_list(PREFIX)
        subscription = self._api.objects.watch(PREFIX, start_revision=found.revision)
        self._crds = {stored.obj["metadata"]["name"]: stored.obj for stored in found.items}
        self._serve()
        return subscription

    async def _follow(self) -> None:
        """Until cancelled. A failed write is tried again when anything changes, and after a while."""
        subscription = self._subscription or self._load()
        self._subscription = None
        backoff = Backoff(initial_s=0.05, cap_s=5.0)
        pending = set(self._crds)
        while True:
            try:
                await self._reconcile(pending)
                pending.clear()
                backoff.reset()
                pending |= self._take(await subscription.__anext__())
            except (CompactedError, Overrun) as error:
                log.warning("following the custom resource definitions anew: %s", error)
                subscription.close()
                subscription = self._load()
                pending = set(self._crds)
            except (APIError, StoreUnavailable) as error:
                log.warning("conditions of custom resource definitions could not be written: %s", error)
                await self._clock.sleep(backoff.next())
            except StopAsyncIteration:
                return

    def _take(self, events: Sequence[ObjectEvent]) -> set[str]:
        """Bring the definitions up to date; the names of those that have to be looked at."""
        changed: set[str] = set()
        for event in events:
            name = event.stored.obj["metadata"]["name"]
            if event.type == "DELETED":
                self._crds.pop(name, None)
            else:
                self._crds[name] = event.stored.obj
            changed.add(name)
            changed |= self._unaccepted(event.stored.obj["spec"]["group"])
        return changed

    def _unaccepted(self, group: str) -> set[str]:
        """Definitions of a group that wait for a name: another definition may have given it up."""
        return {
            name
            for name, crd in self._crds.items()
            if crd["spec"]["group"] == group and crd["spec"]["names"] != (crd.get("status") or {}).get("acceptedNames")
        }

    async def _reconcile(self, names: set[str]) -> None:
        written: list[Object] = []
        for name in sorted(names & self._crds.keys()):
            crd = self._crds[name]
            concluded = conditions.reconciled(crd, self._crds.values(), self._clock.now())
            if concluded is not crd:
                self._crds[name] = concluded
                written.append(concluded)
            if conditions.is_cleaning_up(crd):
                self._clean_up(name)
        self._serve()
        for crd in written:
            try:
                await self._client.update(CUSTOMRESOURCEDEFINITIONS, crd, subresource="status")
            except (Conflict, NotFound):
                continue  # it changed meanwhile: its event is on the way

    def _clean_up(self, name: str) -> None:
        running = self._cleanups.get(name)
        if running is not None and not running.done():
            return
        cleanup = Cleanup(self._api, self._client, clock=self._clock)
        custom = self._customs.get(name)
        if custom is None and conditions.is_servable(self._crds[name]):
            custom = CustomResource.of(self._crds[name], self._rules)
        self._cleanups[name] = self._tasks.spawn(cleanup.run(name, custom), name=f"cleanup of {name}")

    # -- serving

    def _serve(self) -> None:
        """Serve what the definitions say now, where that differs from what is served."""
        before = self._served
        self._served = dict(self._kept_and_new())
        if self._served == before:
            return
        old = {served for group in before.values() for served in group}
        new = tuple(served for group in self._served.values() for served in group)
        definitions = {
            name: definition for custom in self._customs.values() for name, definition in custom.definitions.items()
        }
        registry = self._builtin.with_kinds([served.kind for served in new])
        self._api.kinds.replace(registry, definitions, new)
        self._api.watches.end_of(old - set(new))

    def _kept_and_new(self) -> Iterator[tuple[str, tuple[CustomServed, ...]]]:
        taken: set[tuple[str, str, str]] = set()
        customs: dict[str, CustomResource] = {}
        for name, crd in sorted(self._crds.items()):
            if not conditions.is_servable(crd):
                continue
            custom = self._customs.get(name)
            if custom is not None and custom.is_of(crd):
                served = self._served.get(name, ())
            else:
                try:
                    custom = CustomResource.of(crd, self._rules)
                except (KeyError, TypeError, ValueError) as error:
                    log.warning("the definition %s is malformed and not served: %r", name, error)
                    continue
                served = self._made(custom)
            customs[name] = custom
            free = tuple(entry for entry in served if self._is_free(entry, taken))
            yield name, free
        self._customs = customs

    def _made(self, custom: CustomResource) -> tuple[CustomServed, ...]:
        """The served versions of a definition, with its webhook where there is something to convert."""
        converter = self._conversions.of(custom.definition) if len(custom.versions) > 1 else None
        served = [version for version in custom.versions.values() if version.is_served]
        if converter is None:
            return tuple(CustomServed(custom, version) for version in served)
        spawn = self._tasks.spawn
        return tuple(RemotelyConverted(custom, version, converter, spawn=spawn) for version in served)

    def _is_free(self, served: CustomServed, taken: set[tuple[str, str, str]]) -> bool:
        """Built-in kinds come first, and no kind is served twice."""
        resource = served.resource
        names = {(resource.group, resource.version, name) for name in (resource.plural, resource.kind)}
        registry = self._builtin
        is_builtin = (
            registry.lookup(resource.group, resource.version, resource.plural) is not None
            or registry.by_kind(resource.group, resource.version, resource.kind) is not None
        )
        if is_builtin or names & taken:
            log.warning("%s of %s is defined more than once and not served", resource.plural, resource.api_version)
            return False
        taken |= names
        return True
