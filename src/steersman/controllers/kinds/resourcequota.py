"""ResourceQuota: how much of each limit a namespace uses.

watches: ResourceQuotas; Pods, Services, PersistentVolumeClaims; what else quotas count, from when the first of them does.
owns: ResourceQuotas/status.
writes: ResourceQuotas/status.
invariants: usage is counted anew from what is there, never changed by differences; admission alone enforces it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from msgspec import Struct

from steersman.client.informer import Change, Informer
from steersman.controllers.discovery import Discovery, discover
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, quotas
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.quantities import canonical, quantity
from steersman.meta.resources import (
    CONFIGMAPS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    REPLICATIONCONTROLLERS,
    RESOURCECLAIMS,
    RESOURCEQUOTAS,
    SECRETS,
    SERVICES,
    Resource,
)

NAME = "resourcequota-controller"
QUOTA_WATCH = Watch(resource=RESOURCEQUOTAS)
CACHED = tuple(Watch(resource=resource) for resource in (PODS, SERVICES, PERSISTENTVOLUMECLAIMS))
WATCHES = (QUOTA_WATCH, *CACHED)

_CORE = {resource.plural: resource for resource in (CONFIGMAPS, SECRETS, REPLICATIONCONTROLLERS, RESOURCEQUOTAS)}


class Plan(Struct, frozen=True, kw_only=True):
    """The quota with its new status, where that changes."""

    status: Object | None = None


def plan(quota: Object, found: Mapping[Resource, Sequence[Object]], now_s: float) -> Plan:
    """``found`` are the objects of the quota's namespace, of every resource that it limits."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    used = dict.fromkeys(hard, Fraction(0))
    scopes = quotas.scopes_of(quota)
    for resource, members in found.items():
        names = quotas.tracked(resource, hard)
        for obj in members:
            if not quotas.in_scope(resource, obj, scopes, now_s):
                continue
            usage = quotas.usage_of(resource, obj, now_s)
            for name in names:
                used[name] += usage.get(name, Fraction(0))
    status = {"hard": dict(hard), "used": {name: quotas.format_amount(name, amount) for name, amount in used.items()}}
    old = quota.get("status") or {}
    if _same(old.get("hard"), status["hard"]) and _same(old.get("used"), status["used"]):
        return Plan()
    return Plan(status={**quota, "status": status})


def _same(old: Mapping[str, str] | None, new: Mapping[str, str]) -> bool:
    return (
        old is not None
        and old.keys() == new.keys()
        and all(quantity(old[name]) == quantity(canonical(str(new[name]))) for name in new)
    )


class ResourceQuotaController:
    """Reconciles one ResourceQuota by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._quotas = context.informer(QUOTA_WATCH)
        self._cached = {watch.resource: context.informer(watch) for watch in (*CACHED, QUOTA_WATCH)}
        self._discovery: Discovery | None = None
        self._monitors: dict[Resource, Informer] = {}
        """Caches of what quotas count beyond ``CACHED``."""

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        keys = [change.key] if resource == RESOURCEQUOTAS and _asks_anew(change) else []
        if not self._frees_usage(resource, change):
            return keys
        return keys + [
            objects.key_of(quota)
            for quota in self._quotas.by_namespace(objects.namespace(change.object))
            if quotas.tracked(resource, quotas.covered(quota))
        ]

    def _frees_usage(self, resource: Resource, change: Change) -> bool:
        """What was created is in the status already: admission charged it. Counting then could undo the charge of what is
        admitted and not here yet."""
        if change.old is None or change.new is None:
            return change.new is None
        now_s = self._context.clock.now()
        before = quotas.usage_of(resource, change.old, now_s)
        return before != quotas.usage_of(resource, change.new, now_s) or _scope_facts(change.old) != _scope_facts(
            change.new
        )

    async def reconcile(self, key: str) -> Result:
        quota = self._quotas.get(key)
        if quota is None:
            self._context.expectations.forget(key)
            return DONE
        namespace = objects.namespace(quota)
        found = {resource: await self._members(resource, namespace) for resource in await self._limited(quota)}
        todo = plan(quota, found, self._context.clock.now())
        if todo.status is not None:
            updated = await self._context.client.update(RESOURCEQUOTAS, todo.status, subresource="status")
            self._context.expectations.wrote(key, self._quotas, updated)
        return Result(requeue_after_s=self._context.config.resource_quota_sync_period_s)

    async def _limited(self, quota: Object) -> list[Resource]:
        """The resources whose objects take from the quota's limits."""
        hard = quotas.covered(quota)
        known: list[Resource] = [*self._cached, *_CORE.values(), RESOURCECLAIMS]
        limited = [resource for resource in known if quotas.tracked(resource, hard)]
        for name in hard:
            group_resource = name.removeprefix(quotas.COUNT)
            if name != group_resource and all(entry.group_resource != group_resource for entry in known):
                resource = await self._discovered(group_resource)
                if resource is not None:
                    limited.append(resource)
        return limited

    async def _discovered(self, group_resource: str) -> Resource | None:
        """None where nothing of that name is served: nothing of it is used."""
        for is_fresh in (False, True):
            if self._discovery is None or is_fresh:
                self._discovery = await discover(self._context.client)
            for resource in self._discovery.supporting("list", namespaced=True):
                if resource.group_resource == group_resource:
                    return resource
        return None

    async def _members(self, resource: Resource, namespace: str) -> Sequence[Object]:
        informer = self._cached.get(resource) or self._monitors.get(resource)
        if informer is not None and informer.synced and informer is self._context.informers.of(resource):
            return informer.by_namespace(namespace)
        try:
            found = (await self._context.client.list(resource, namespace=namespace)).items
        except NotFound:
            self._monitors.pop(resource, None)
            return ()
        self._monitor(resource)
        return found

    def _monitor(self, resource: Resource) -> None:
        """Be told of the resource's objects from now on: their deletion gives back what they used."""
        informer = self._context.informers.of(resource)
        if self._monitors.get(resource) is informer:
            return
        self._monitors[resource] = informer

        def changed(change: Change) -> None:
            for key in self.concerned(resource, change):
                self._context.queue.add(key)

        informer.subscribe(changed)


def _asks_anew(change: Change) -> bool:
    """Of a quota itself: what its status says is written here and by admission, and no reason to count; a resync is."""
    old, new = change.old, change.new
    if new is None:
        return False
    return old is None or old is new or old.get("spec") != new.get("spec")


def _scope_facts(obj: Object) -> tuple[object, ...]:
    spec = obj.get("spec") or {}
    return spec.get("activeDeadlineSeconds"), spec.get("priorityClassName"), spec.get("volumeAttributesClassName")


def _conforms(context: Context) -> Controller:
    return ResourceQuotaController(context)
