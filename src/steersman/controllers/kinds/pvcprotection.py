"""PVC protection: a claim that a pod uses is not removed.

watches: PersistentVolumeClaims; Pods, by claim.
owns: the finalizer ``kubernetes.io/pvc-protection``.
writes: PersistentVolumeClaims (finalizers).
invariants: the finalizer goes only when the server itself lists no pod that uses the claim; pods that have ended or are not bound
to a node do not use it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.pods import by_claim, is_finished, node_name
from steersman.controllers.protection import with_finalizer
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PODS, Resource

NAME = "persistentvolumeclaim-protection-controller"
FINALIZER = "kubernetes.io/pvc-protection"


CLAIM_WATCH = Watch(resource=PERSISTENTVOLUMECLAIMS)
POD_WATCH = Watch(resource=PODS, indexers={"claim": by_claim})
WATCHES = (CLAIM_WATCH, POD_WATCH)


class Plan(Struct, frozen=True, kw_only=True):
    """The claim with other finalizers, where they change."""

    update: Object | None = None


def plan(claim: Object, users: Iterable[Object]) -> Plan:
    """``users`` are pods that mount ``claim``."""
    is_used = any(node_name(pod) and not is_finished(pod) for pod in users)
    wanted = with_finalizer(claim, FINALIZER, is_used=is_used)
    return Plan(update=None if wanted is claim else wanted)


class PVCProtectionController:
    """Reconciles one PersistentVolumeClaim by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._claims = context.informer(CLAIM_WATCH)
        self._pods = context.informer(POD_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PERSISTENTVOLUMECLAIMS:
            return (change.key,) if change.new is not None else ()
        if change.new is not None and not is_finished(change.new) and not objects.is_deleting(change.new):
            return ()
        return by_claim(change.object)

    async def reconcile(self, key: str) -> Result:
        claim = self._claims.get(key)
        if claim is None:
            self._context.expectations.forget(key)
            return DONE
        todo = plan(claim, self._pods.by_index("claim", key))
        if todo.update is None:
            return DONE
        if objects.is_deleting(claim):
            listed = await self._context.client.list(PODS, namespace=objects.namespace(claim))
            todo = plan(claim, (pod for pod in listed.items if key in by_claim(pod)))
        if todo.update is not None:
            updated = await self._context.client.update(PERSISTENTVOLUMECLAIMS, todo.update)
            self._context.expectations.wrote(key, self._claims, updated)
        return DONE


def _conforms(context: Context) -> Controller:
    return PVCProtectionController(context)
