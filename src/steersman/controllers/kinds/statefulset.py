"""StatefulSet: pods with identities: a name, an ordinal and claims that stay.

watches: StatefulSets; Pods, ControllerRevisions, by controller; PersistentVolumeClaims.
owns: Pods, ControllerRevisions; PersistentVolumeClaims where the retention policy says so.
writes: Pods (create, update, delete, adopt, release), PersistentVolumeClaims (create, owner references), ControllerRevisions,
StatefulSets/status, Events.
invariants: never two pods of one identity: a pod is recreated only after the server has let the old one go; with ordered
management a pod is created only when all before it are available and deleted only when all after it are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from steersman.client.informer import Change
from steersman.controllers import history, statefulplan
from steersman.controllers.adoption import Ownership, candidates, claims
from steersman.controllers.dependents import owners_of, selector_of
from steersman.controllers.history import History
from steersman.controllers.podcontrol import namespace_is_terminating
from steersman.controllers.pods import by_controller
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch, all_of
from steersman.controllers.statefulplan import Correction, Creation, Plan, ordinal_of
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists, APIError, Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONTROLLERREVISIONS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    STATEFULSETS,
    Resource,
)

NAME = "statefulset-controller"
SET_WATCH = Watch(resource=STATEFULSETS)
POD_WATCH = Watch(resource=PODS, indexers={"controller": by_controller})
REVISION_WATCH = Watch(resource=CONTROLLERREVISIONS, indexers={"controller": by_controller})
CLAIM_WATCH = Watch(resource=PERSISTENTVOLUMECLAIMS)
WATCHES = (SET_WATCH, POD_WATCH, REVISION_WATCH, CLAIM_WATCH)

plan = statefulplan.plan


class StatefulSetController:
    """Reconciles one StatefulSet by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sets = context.informer(SET_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._revisions = context.informer(REVISION_WATCH)
        self._claims = context.informer(CLAIM_WATCH)
        self._history = History(client=context.client, revisions=self._revisions, expectations=context.expectations)
        common: dict[str, Any] = {
            "client": context.client,
            "owner_resource": STATEFULSETS,
            "expectations": context.expectations,
        }
        self._own_pods = Ownership(dependents=self._pods, **common)
        self._own_revisions = Ownership(dependents=self._revisions, **common)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource in (PODS, CONTROLLERREVISIONS):
            return owners_of(change, self._sets)
        if resource is PERSISTENTVOLUMECLAIMS:
            return self._set_of_claim(change) if change.type != "updated" else ()
        if change.old is not None and change.new is not None and objects.uid(change.old) != objects.uid(change.new):
            self._context.expectations.forget(change.key)
        return (change.key,)

    def _set_of_claim(self, change: Change) -> Iterable[str]:
        """Sets that may wait for a claim to come or go."""
        name = objects.name(change.object)
        return [
            objects.key_of(owner)
            for owner in self._sets.by_namespace(objects.namespace(change.object))
            if any(
                name.startswith(f"{objects.name(template)}-{objects.name(owner)}-")
                for template in owner["spec"].get("volumeClaimTemplates") or ()
            )
        ]

    async def reconcile(self, key: str) -> Result:
        owner, selector = self._sets.get(key), None
        if owner is not None:
            selector = selector_of(owner)
        if owner is None or selector is None:
            self._context.expectations.forget(key)
            return DONE
        name = objects.name(owner)
        members = [pod for pod in candidates(self._pods, owner) if ordinal_of(pod, name) is not None]
        wanted_pods = claims(owner, selector, members)
        wanted_revisions = claims(owner, selector, candidates(self._revisions, owner))
        pods = await self._own_pods.settle(key, owner, wanted_pods)
        revisions = history.in_order(await self._own_revisions.settle(key, owner, wanted_revisions))
        chosen = history.wanted(owner, STATEFULSETS, revisions, history.HASH_LABEL)
        update = await self._history.establish(key, chosen)
        if update is None:
            await self._count_collision(key, owner)
            return DONE
        current_name = (owner.get("status") or {}).get("currentRevision")
        current = next((entry for entry in revisions if objects.name(entry) == current_name), update)
        todo = plan(owner, pods, self._claims_by_name(owner), current, update, self._context.clock.now())
        await self._execute(key, owner, todo)
        live = [objects.name(current), objects.name(update), *map(statefulplan.revision_of, pods)]
        for old in history.surplus(revisions, live, owner["spec"].get("revisionHistoryLimit", 10)):
            await self._history.delete(key, old)
        return Result(requeue_after_s=todo.requeue_after_s)

    def _claims_by_name(self, owner: Object) -> dict[str, Object]:
        if not owner["spec"].get("volumeClaimTemplates"):
            return {}
        return {objects.name(claim): claim for claim in self._claims.by_namespace(objects.namespace(owner))}

    async def _count_collision(self, key: str, owner: Object) -> None:
        status = {**(owner.get("status") or {})}
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
        await self._report(key, {**owner, "status": status})

    async def _execute(self, key: str, owner: Object, todo: Plan) -> None:
        error: APIError | None = None
        try:
            await self._write(key, owner, todo)
        except APIError as caught:
            error = caught
        for claim_name in todo.conflicts:
            text = (
                f"PersistentVolumeClaim {claim_name} has a conflicting OwnerReference that acts as a manging "
                "controller, the retention policy is ignored for this claim"
            )
            self._event(owner, "Warning", "ConflictingController", text)
        status = todo.status if error is None else todo.failed_status
        if status is not None:
            await self._report(key, status)
        if error is not None and not namespace_is_terminating(error):
            raise error

    async def _write(self, key: str, owner: Object, todo: Plan) -> None:
        for claim in todo.claims:
            await self._create_claim(key, owner, claim)
        await all_of(self._create(key, owner, creation) for creation in todo.create)
        for correction in todo.correct:
            await self._correct(key, owner, correction)
        for claim in todo.claim_owners:
            await self._update_claim(key, claim)
        await all_of(self._delete(key, owner, pod) for pod in todo.delete)

    async def _report(self, key: str, owner: Object) -> None:
        updated = await self._context.client.update(STATEFULSETS, owner, subresource="status")
        self._context.expectations.wrote(key, self._sets, updated)

    async def _create(self, key: str, owner: Object, creation: Creation) -> None:
        name = objects.name(creation.pod)
        what = f"Create Pod {name} in StatefulSet {objects.name(owner)}"
        for claim in creation.claims:
            try:
                await self._create_claim(key, owner, claim, name)
            except APIError as error:
                text = f"{what} failed error: failed to create PVC {objects.name(claim)}: {error.message}"
                self._event(owner, "Warning", "FailedCreate", text)
                raise
        if creation.blocked_by:
            text = f"{what} failed error: pvc {creation.blocked_by} is being deleted"
            self._event(owner, "Warning", "FailedCreate", text)
            return
        try:
            created = await self._context.client.create(PODS, creation.pod)
        except AlreadyExists:
            raise
        except APIError as error:
            self._event(owner, "Warning", "FailedCreate", f"{what} failed error: {error.message}")
            raise
        self._context.expectations.wrote(key, self._pods, created)
        self._event(owner, "Normal", "SuccessfulCreate", f"{what} successful")

    async def _correct(self, key: str, owner: Object, correction: Correction) -> None:
        what = f"Update Pod {correction.name} in StatefulSet {objects.name(owner)}"
        try:
            for claim in correction.claim_owners:
                await self._update_claim(key, claim)
            if correction.pod is not None:
                updated = await self._context.client.update(PODS, correction.pod)
                self._context.expectations.wrote(key, self._pods, updated)
        except APIError as error:
            self._event(owner, "Warning", "FailedUpdate", f"{what} failed error: {error.message}")
            raise
        self._event(owner, "Normal", "SuccessfulUpdate", f"{what} successful")

    async def _update_claim(self, key: str, claim: Object) -> None:
        updated = await self._context.client.update(PERSISTENTVOLUMECLAIMS, claim)
        self._context.expectations.wrote(key, self._claims, updated)

    async def _create_claim(self, key: str, owner: Object, claim: Object, pod: str = "") -> None:
        name = objects.name(claim)
        try:
            created = await self._context.client.create(PERSISTENTVOLUMECLAIMS, claim)
        except AlreadyExists:
            return
        except APIError as error:
            text = (
                f"Create Claim {name} for Pod {pod} in StatefulSet {objects.name(owner)} failed error: {error.message}"
            )
            self._event(owner, "Warning", "FailedCreate", text)
            raise
        self._context.expectations.wrote(key, self._claims, created)
        text = f"Create Claim {name} Pod {pod} in StatefulSet {objects.name(owner)} success"
        self._event(owner, "Normal", "SuccessfulCreate", text)

    async def _delete(self, key: str, owner: Object, pod: Object) -> None:
        name, set_name = objects.name(pod), objects.name(owner)
        try:
            await self._context.client.delete(PODS, name, namespace=objects.namespace(pod), uid=objects.uid(pod))
        except (NotFound, Conflict):
            return
        except APIError as error:
            text = f"Delete Pod {name} in StatefulSet {set_name} failed error: {error.message}"
            self._event(owner, "Warning", "FailedDelete", text)
            raise
        self._context.expectations.deleted(key, self._pods, pod)
        text = f"Delete Pod {name} in StatefulSet {set_name} successful"
        self._event(owner, "Normal", "SuccessfulDelete", text)

    def _event(self, owner: Object, kind: Any, reason: str, message: str) -> None:
        self._context.events.event(owner, STATEFULSETS, type=kind, reason=reason, message=message)


def _conforms(context: Context) -> Controller:
    return StatefulSetController(context)
