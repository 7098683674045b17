"""Garbage collector: deletes what lost all its owners, and carries out foreground deletion and orphaning.

watches: every resource that can be listed, watched and deleted, found by discovery again and again; CustomResourceDefinitions.
owns: the finalizers ``orphan`` and ``foregroundDeletion``.
writes: deletes of any resource; owner references and finalizers of any resource; Events.
invariants: nothing is deleted unless the server itself says that each of its owners is absent, another one of that name, or
waiting for its dependents; deletes carry uid and version; nothing is done before every resource's cache is filled, or half a
minute is over (a kind that cannot be listed must not stop everything); an owner of a kind that the server does not know is not absent.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from steersman.client.informer import Change, Informer
from steersman.client.transport import Unreachable
from steersman.controllers.discovery import Discovery, discover
from steersman.controllers.ownergraph import (
    DELETE,
    FOREGROUND_FINALIZER,
    ORPHAN,
    ORPHAN_FINALIZER,
    Coordinates,
    Node,
    OwnerGraph,
    coordinates_of,
)
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch, all_of, reconcile_log
from steersman.meta import objects
from steersman.meta.errors import APIError, Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS, Resource

NAME = "garbage-collector-controller"
WATCHES = (Watch(resource=CUSTOMRESOURCEDEFINITIONS, optional=True),)

DISCOVERY_PERIOD_S = 30.0
UNOBSERVED_OWNER_S = 60.0
"""When to ask again about an owner that exists, but of a resource that cannot be watched."""
FIRST_LOOK_ELSEWHERE_S = 0.005
"""Doubled with each place in which an owner was looked for in vain."""
ABSENT_LIMIT = 500
IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})

Policy = Literal["Orphan", "Background", "Foreground"]
Verdict = Literal["solid", "absent", "waiting"]
log = reconcile_log(__name__)


class Misplaced(Exception):
    """An owner of a namespace is said to own an object of the cluster: it cannot be looked up, and its dependent is left alone."""


class Plan(Struct, frozen=True, kw_only=True):
    """What to do about one object; nothing where all is empty."""

    delete: Policy | None = None
    drop_owners: Sequence[str] = ()
    """uids of owner references to remove: the object has another owner that is there."""
    unblock: bool = False
    """First say that this object does not block its owners: it waits for its own dependents in a circle."""


def plan(obj: Object, verdicts: Mapping[str, Verdict], dependents: Iterable[Node]) -> Plan:
    """``obj`` is as the server has it; ``verdicts`` are on its owners, by uid."""
    if not verdicts:
        return Plan()
    lost = tuple(uid for uid, verdict in verdicts.items() if verdict != "solid")
    if len(lost) < len(verdicts):
        return Plan(drop_owners=lost)
    dependents = list(dependents)
    if dependents and "waiting" in verdicts.values():
        return Plan(delete="Foreground", unblock=any(dependent.is_foreground for dependent in dependents))
    finalizers = objects.finalizers(obj)
    if ORPHAN_FINALIZER in finalizers:
        return Plan(delete="Orphan")
    return Plan(delete="Foreground" if FOREGROUND_FINALIZER in finalizers else "Background")


class GarbageCollector:
    """Reconciles one object by ``delete/<uid>`` or ``orphan/<uid>``."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._graph = OwnerGraph()
        self._discovery = Discovery(resources=())
        self._monitors: dict[Resource, Informer] = {}
        self._absent: OrderedDict[Coordinates, None] = OrderedDict()
        self._filled = asyncio.Event()
        self._look_again = asyncio.Event()

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        """A definition came, went or was served anew: look which resources there are."""
        self._look_again.set()
        return ()

    async def run(self) -> None:
        """Keep a cache of every resource, for ever."""
        while True:
            self._look_again.clear()
            try:
                await self._discover()
            except (APIError, Unreachable) as error:
                log.warning("cannot discover resources: %s", error)
            try:
                await self._context.clock.wait_for(self._look_again.wait(), DISCOVERY_PERIOD_S)
            except TimeoutError:
                continue

    async def _discover(self) -> None:
        self._discovery = found = await discover(self._client)
        wanted = {
            resource
            for resource in found.supporting("list", "watch", "delete")
            if (resource.group, resource.plural) not in IGNORED
        }
        failing = {name.rpartition("/")[0] for name in found.failures}
        for resource in [entry for entry in self._monitors if entry not in wanted and entry.group not in failing]:
            self._context.informers.drop(self._monitors.pop(resource).resource)
            self._graph.drop(resource)
        new = [resource for resource in wanted if resource not in self._monitors]
        for resource in new:
            informer = self._monitors[resource] = self._context.informers.of(resource, metadata_only=True)
            informer.subscribe(self._observer(resource))
        if new:
            self._filled.clear()
        try:
            await self._context.clock.wait_for(self._wait_filled(), DISCOVERY_PERIOD_S)
        except TimeoutError:
            unfilled = [entry.resource.group_resource for entry in self._monitors.values() if not entry.synced]
            log.warning("caches are not filled yet, going on without: %s", ", ".join(sorted(unfilled)))
            self._filled.set()

    async def _wait_filled(self) -> None:
        for informer in self._monitors.values():
            await informer.wait_synced()
        self._filled.set()

    def _observer(self, resource: Resource) -> _Observer:
        return _Observer(self._graph, self._context, resource)

    async def reconcile(self, key: str) -> Result:
        await self._filled.wait()
        if key.startswith(ORPHAN):
            return await self._orphan_dependents(key.removeprefix(ORPHAN))
        node = self._graph.get(key.removeprefix(DELETE))
        if node is None:
            return DONE
        if node.is_virtual:
            return await self._check_virtual(node)
        if node.is_deleting and not node.is_foreground:
            return DONE
        obj = await self._read(node)
        if obj is None:
            self._enqueue(self._graph.remove(node.uid))
            return DONE
        if node.is_foreground:
            return await self._finish_foreground(node, obj)
        return await self._collect(node, obj)

    async def _check_virtual(self, node: Node) -> Result:
        """An owner that no cache shows: is it there?"""
        try:
            if await self._verdict(node.coordinates) != "absent":
                return Result(requeue_after_s=UNOBSERVED_OWNER_S)
        except Misplaced:
            return DONE
        if self._graph.get(node.uid) is not node or not node.is_virtual:
            return DONE
        self._enqueue(self._graph.miss(node.uid))
        if self._graph.get(node.uid) is None:
            return DONE
        return Result(requeue_after_s=min(FIRST_LOOK_ELSEWHERE_S * 2.0 ** min(node.checks, 20), UNOBSERVED_OWNER_S))

    async def _collect(self, node: Node, obj: Object) -> Result:
        references = objects.owner_references(obj)
        self._report_strangers(node, obj)
        try:
            verdicts = {entry["uid"]: await self._verdict(coordinates_of(entry, node)) for entry in references}
        except Misplaced:
            return DONE
        todo = plan(obj, verdicts, node.dependents.values())
        if todo.drop_owners:
            kept = [reference for reference in references if reference["uid"] not in todo.drop_owners]
            await self._patch(node, obj, {"ownerReferences": kept or None})
        elif todo.delete is not None:
            if todo.unblock:
                open_ = [{**reference, "blockOwnerDeletion": False} for reference in references]
                obj = await self._patch(node, obj, {"ownerReferences": open_}) or obj
            await self._delete(node, obj, todo.delete)
        return DONE

    def _report_strangers(self, node: Node, obj: Object) -> None:
        """An owner that exists, but in another namespace than its dependent: none as far as Kubernetes is concerned."""
        assert node.resource is not None
        for reference in objects.owner_references(obj):
            owner = self._graph.get(reference["uid"])
            if owner is None or owner.is_virtual:
                continue
            if owner.coordinates.namespace in ("", node.coordinates.namespace):
                continue
            space = node.coordinates.namespace
            named = f"[{reference.get('apiVersion')}/{reference.get('kind')}, namespace: {space}, "
            named += f"name: {reference.get('name')}, uid: {reference['uid']}]"
            text = f'ownerRef {named} does not exist in namespace "{space}"'
            self._context.events.event(
                obj, node.resource, type="Warning", reason="OwnerRefInvalidNamespace", message=text
            )

    async def _finish_foreground(self, node: Node, obj: Object) -> Result:
        """Once nothing blocks it any more, the owner may go; until then see that its dependents do."""
        blocking = list(node.blocking_dependents)
        if not blocking:
            await self._remove_finalizer(node, obj, FOREGROUND_FINALIZER)
            return DONE
        self._enqueue(DELETE + dependent.uid for dependent in blocking if not dependent.is_foreground)
        return DONE

    async def _orphan_dependents(self, uid: str) -> Result:
        """Take the owner's reference out of its dependents, then let it go."""
        node = self._graph.get(uid)
        if node is None:
            return DONE
        await all_of(self._disown(dependent, uid) for dependent in list(node.dependents.values()))
        obj = await self._read(node)
        if obj is not None:
            await self._remove_finalizer(node, obj, ORPHAN_FINALIZER)
        return DONE

    async def _disown(self, dependent: Node, owner_uid: str) -> None:
        obj = await self._read(dependent)
        if obj is None:
            return
        references = objects.owner_references(obj)
        kept = [reference for reference in references if reference["uid"] != owner_uid]
        if len(kept) < len(references):
            await self._patch(dependent, obj, {"ownerReferences": kept or None})

    async def _verdict(self, owner: Coordinates) -> Verdict:
        """What the server says of an owner. Raises ``NotFound`` where it does not know the kind: that is no absence; and
        ``Misplaced``."""
        if owner in self._absent:
            self._absent.move_to_end(owner)
            return "absent"
        resource = self._discovery.by_kind.get((owner.api_version, owner.kind))
        if resource is None:
            raise NotFound(f"no resource of kind {owner.kind} in {owner.api_version} is served")
        if resource.namespaced and not owner.namespace:
            raise Misplaced
        namespace = owner.namespace if resource.namespaced else ""
        try:
            found = await self._client.get(resource, owner.name, namespace=namespace)
        except NotFound:
            found = {}
        if objects.uid(found) != owner.uid:
            self._remember_absent(owner)
            return "absent"
        is_waiting = objects.is_deleting(found) and FOREGROUND_FINALIZER in objects.finalizers(found)
        return "waiting" if is_waiting else "solid"

    def _remember_absent(self, owner: Coordinates) -> None:
        """A uid is never used again: what is absent stays absent."""
        self._absent[owner] = None
        if len(self._absent) > ABSENT_LIMIT:
            self._absent.popitem(last=False)

    async def _read(self, node: Node) -> Object | None:
        """The object from the server; None where it is gone or another one of that name."""
        assert node.resource is not None
        try:
            found = await self._client.get(node.resource, node.coordinates.name, namespace=node.coordinates.namespace)
        except NotFound:
            return None
        return found if objects.uid(found) == node.uid else None

    async def _patch(self, node: Node, obj: Object, metadata: Object) -> Object | None:
        assert node.resource is not None
        guarded = {**metadata, "uid": node.uid, "resourceVersion": objects.resource_version(obj)}
        try:
            return await self._client.patch(
                node.resource,
                node.coordinates.name,
                {"metadata": guarded},
                namespace=node.coordinates.namespace,
            )
        except NotFound:
            return None

    async def _remove_finalizer(self, node: Node, obj: Object, finalizer: str) -> None:
        finalizers = objects.finalizers(obj)
        if finalizer in finalizers:
            left = [name for name in finalizers if name != finalizer]
            await self._patch(node, obj, {"finalizers": left or None})

    async def _delete(self, node: Node, obj: Object, policy: Policy) -> None:
        assert node.resource is not None
        try:
            await self._client.delete(
                node.resource,
                node.coordinates.name,
                namespace=node.coordinates.namespace,
                propagation=policy,
                uid=node.uid,
                resource_version=objects.resource_version(obj),
            )
        except NotFound:
            return
        except Conflict:
            self._enqueue([DELETE + node.uid])

    def _enqueue(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._context.queue.add(key)


class _Observer(Struct, frozen=True):
    """Feeds one resource's changes into the graph."""

    graph: OwnerGraph
    context: Context
    resource: Resource

    def __call__(self, change: Change) -> None:
        for key in self.graph.observe(self.resource, change):
            self.context.queue.add(key)


def _conforms(context: Context) -> Controller:
    return GarbageCollector(context)
