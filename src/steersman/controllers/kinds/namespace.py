"""Namespace deletion: removes everything in a namespace that is being deleted, then lets it go.

watches: Namespaces; Pods (their end is what a deletion waits for longest).
owns: the finalizer ``kubernetes`` in spec.finalizers.
writes: deletes of every namespaced resource that can be deleted, Namespaces/status (phase and five conditions),
Namespaces/finalize.
invariants: nothing of a namespace that is not being deleted is touched; pods go before everything else; the namespace is
finalized only when every deletable resource has been listed and was empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from steersman.client.informer import Change
from steersman.client.transport import Unreachable
from steersman.controllers.conditions import with_condition
from steersman.controllers.discovery import Discovery, discover
from steersman.controllers.pods import is_finished
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, times
from steersman.meta.errors import APIError, MethodNotAllowed, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES, PODS, Resource

NAME = "namespace-controller"
NAMESPACE_WATCH = Watch(resource=NAMESPACES)
WATCHES = (NAMESPACE_WATCH, Watch(resource=PODS))

FINALIZER = "kubernetes"
FINALIZER_ESTIMATE_S = 15
CONCURRENT_RESOURCES = 8
_OK: Mapping[str, tuple[str, str]] = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


class Remaining(Struct, frozen=True, kw_only=True):
    """What is left of one resource after its deletion was asked for."""

    resource: Resource
    count: int = 0
    finalizers: Mapping[str, int] = field(default_factory=dict)
    grace_s: float = 0.0
    """How long the pods among it may take, seconds from now."""
    failure: str = ""


class Plan(Struct, frozen=True, kw_only=True):
    """The namespace's new status, and whether it may go."""

    status: Object | None
    finalize: bool
    requeue_after_s: float | None = None


def plan(
    namespace: Object, remaining: Sequence[Remaining], discovery_failures: Mapping[str, str], now_s: float
) -> Plan:
    """From what is left to conditions and the next step."""
    failures = sorted(entry.failure for entry in remaining if entry.failure)
    left = sorted(
        f"{entry.resource.plural}.{entry.resource.group} has {entry.count} resource instances"
        for entry in remaining
        if entry.count
    )
    finalizers: dict[str, int] = {}
    for entry in remaining:
        for name, count in entry.finalizers.items():
            finalizers[name] = finalizers.get(name, 0) + count
    bad: dict[str, tuple[str, str]] = {}
    if discovery_failures:
        text = ", ".join(f"{name}: {why}" for name, why in sorted(discovery_failures.items()))
        bad["NamespaceDeletionDiscoveryFailure"] = (
            "DiscoveryFailed",
            f"Discovery failed for some groups, {len(discovery_failures)} failing: "
            f"unable to retrieve the complete list of server APIs: {text}",
        )
    if failures:
        bad["NamespaceDeletionContentFailure"] = (
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(failures)} remaining: {', '.join(failures)}",
        )
    if left:
        bad["NamespaceContentRemaining"] = (
            "SomeResourcesRemain",
            f"Some resources are remaining: {', '.join(left)}",
        )
    if finalizers:
        listed = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
        bad["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {listed}",
        )
    old = namespace.get("status") or {}
    conditions: list[Object] = old.get("conditions") or []
    for kind, (reason, message) in _OK.items():
        verdict = "True" if kind in bad else "False"
        reason, message = bad.get(kind, (reason, message))
        conditions = with_condition(conditions, kind, verdict, reason, message, now_s, keeps_message=False)
    status = {**old, "phase": "Terminating", "conditions": conditions}
    is_empty = not (left or failures or discovery_failures)
    wait_s = max(
        max((entry.grace_s for entry in remaining), default=0.0), float(FINALIZER_ESTIMATE_S) if finalizers else 0.0
    )
    return Plan(
        status={**namespace, "status": status} if status != old else None,
        finalize=is_empty,
        requeue_after_s=None if is_empty else wait_s / 2 + 1,
    )


class NamespaceController:
    """Reconciles one Namespace by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._namespaces = context.informer(NAMESPACE_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PODS:
            if change.new is not None:
                return ()
            namespace = self._namespaces.get(objects.namespace(change.object))
            return (objects.name(namespace),) if namespace is not None and objects.is_deleting(namespace) else ()
        return (change.key,) if change.new is not None and objects.is_deleting(change.new) else ()

    async def reconcile(self, key: str) -> Result:
        namespace = self._namespaces.get(key)
        if namespace is None or not objects.is_deleting(namespace):
            self._context.expectations.forget(key)
            return DONE
        if not (namespace.get("spec") or {}).get("finalizers"):
            return DONE
        now_s = self._context.clock.now()
        deleted_s = times.parse_time(objects.metadata(namespace)["deletionTimestamp"])
        early_s = deleted_s + self._context.config.namespace_deletion_delay_s - now_s
        if early_s > 0:
            return Result(requeue_after_s=early_s)
        found = await discover(self._client)
        remaining = await self._delete_content(key, found, deleted_s)
        todo = plan(namespace, remaining, found.failures, self._context.clock.now())
        if todo.status is not None:
            namespace = await self._client.update(NAMESPACES, todo.status, subresource="status")
            self._context.expectations.wrote(key, self._namespaces, namespace)
        if todo.finalize:
            await self._finalize(namespace)
        return Result(requeue_after_s=todo.requeue_after_s)

    async def _delete_content(self, namespace: str, found: Discovery, deleted_s: float) -> list[Remaining]:
        pods = await self._delete_all(PODS, namespace, found, deleted_s)
        if pods.count:
            return [pods]
        limit = asyncio.Semaphore(CONCURRENT_RESOURCES)

        async def delete(resource: Resource) -> Remaining:
            async with limit:
                return await self._delete_all(resource, namespace, found, deleted_s)

        others = [
            resource
            for resource in found.supporting("delete", "list", namespaced=True)
            if resource.group_resource != PODS.group_resource
        ]
        return [pods, *await asyncio.gather(*(delete(resource) for resource in others))]

    async def _delete_all(self, resource: Resource, namespace: str, found: Discovery, deleted_s: float) -> Remaining:
        try:
            before = (await self._client.list(resource, namespace=namespace)).items
            if not before:
                return Remaining(resource=resource)
            await self._delete_each_or_all(resource, namespace, before, found)
            left = (await self._client.list(resource, namespace=namespace)).items
        except (NotFound, MethodNotAllowed):
            return Remaining(resource=resource)
        except (APIError, Unreachable) as error:
            return Remaining(resource=resource, failure=str(error))
        return self._remaining(resource, namespace, left, before, deleted_s)

    async def _delete_each_or_all(
        self, resource: Resource, namespace: str, items: Sequence[Object], found: Discovery
    ) -> None:
        if resource in found.supporting("deletecollection"):
            await self._client.delete_collection(resource, namespace=namespace, propagation="Background")
            return
        for item in items:
            try:
                await self._client.delete(resource, objects.name(item), namespace=namespace, propagation="Background")
            except NotFound:
                continue

    def _remaining(
        self, resource: Resource, namespace: str, left: Sequence[Object], before: Sequence[Object], deleted_s: float
    ) -> Remaining:
        finalizers: dict[str, int] = {}
        for item in left:
            for name in objects.finalizers(item):
                finalizers[name] = finalizers.get(name, 0) + 1
        grace_s = _grace_s(before) if resource is PODS else 0
        if self._context.clock.now() - deleted_s >= grace_s:
            grace_s = 0
        failure = ""
        if left and not grace_s and not finalizers:
            failure = (
                f"unexpected items still remain in namespace: {namespace} for gvr: "
                f"{resource.group}/{resource.version}, Resource={resource.plural}"
            )
        return Remaining(resource=resource, count=len(left), finalizers=finalizers, grace_s=grace_s, failure=failure)

    async def _finalize(self, namespace: Object) -> None:
        spec: dict[str, Any] = namespace.get("spec") or {}
        others = sorted({name for name in spec.get("finalizers") or [] if name != FINALIZER})
        try:
            await self._client.update(
                NAMESPACES, {**namespace, "spec": {**spec, "finalizers": others}}, subresource="finalize"
            )
        except NotFound:
            return


def _grace_s(pods: Iterable[Object]) -> int:
    """The longest termination grace period of the pods that still run."""
    return max(
        (
            int((pod.get("spec") or {}).get("terminationGracePeriodSeconds") or 0)
            for pod in pods
            if not is_finished(pod)
        ),
        default=0,
    )


def _conforms(context: Context) -> Controller:
    return NamespaceController(context)
