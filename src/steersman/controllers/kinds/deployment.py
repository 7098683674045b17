"""Deployment: ReplicaSets that hand pods over from one template to the next.

watches: Deployments; ReplicaSets, by controller; Pods, by controller (Recreate waits for old ones to be gone).
owns: ReplicaSets.
writes: ReplicaSets (create, update, delete, adopt, release), Deployments/status, Deployments (undo by annotation only), Events.
invariants: during a rolling update never more than replicas + maxSurge pods are asked for, and none is taken away that would
leave fewer than replicas - maxUnavailable available; with Recreate no new pod is asked for while an old one may run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steersman.client.informer import Change
from steersman.controllers import rollout, rolloutplan
from steersman.controllers.adoption import Ownership, candidates, claims
from steersman.controllers.dependents import owners_of, selector_of
from steersman.controllers.podcontrol import namespace_is_terminating
from steersman.controllers.pods import by_controller
from steersman.controllers.podtemplate import equal_without_hash
from steersman.controllers.rolloutplan import Event, Plan, warning
from steersman.controllers.rolloutstatus import with_failed_creation
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists, APIError, Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS, PODS, REPLICASETS, Resource

NAME = "deployment-controller"
DEPLOYMENT_WATCH = Watch(resource=DEPLOYMENTS)
REPLICASET_WATCH = Watch(resource=REPLICASETS, indexers={"controller": by_controller})
POD_WATCH = Watch(resource=PODS, indexers={"controller": by_controller})
WATCHES = (DEPLOYMENT_WATCH, REPLICASET_WATCH, POD_WATCH)

plan = rolloutplan.plan


class DeploymentController:
    """Reconciles one Deployment by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._deployments = context.informer(DEPLOYMENT_WATCH)
        self._replicasets = context.informer(REPLICASET_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._ownership = Ownership(
            client=context.client,
            owner_resource=DEPLOYMENTS,
            dependents=self._replicasets,
            expectations=context.expectations,
        )

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is REPLICASETS:
            return owners_of(change, self._deployments)
        if resource is PODS:
            return self._recreating_owner(change)
        if change.old is not None and change.new is not None and objects.uid(change.old) != objects.uid(change.new):
            self._context.expectations.forget(change.key)
        return (change.key,)

    async def reconcile(self, key: str) -> Result:
        deployment = self._deployments.get(key)
        if deployment is None:
            self._context.expectations.forget(key)
            return DONE
        selector = selector_of(deployment)
        owned: list[Object] = []
        if selector is not None and not selector.is_everything:
            wanted = claims(deployment, selector, candidates(self._replicasets, deployment))
            owned = list(wanted.owned) if wanted.settled else await self._ownership.settle(key, deployment, wanted)
        pods: dict[str, Sequence[Object]] = {}
        if not rollout.is_rolling(deployment):
            pods = {objects.uid(rs): self._pods.by_index("controller", objects.uid(rs)) for rs in owned}
        todo = plan(deployment, owned, pods, self._context.clock.now())
        return await self._execute(key, deployment, todo)

    async def _execute(self, key: str, deployment: Object, todo: Plan) -> Result:
        client, expectations = self._context.client, self._context.expectations
        if todo.undo is not None:
            expectations.wrote(key, self._deployments, await client.update(DEPLOYMENTS, todo.undo))
        if todo.create is not None and not await self._create(key, deployment, todo.create):
            return DONE
        for resize in todo.resize:
            expectations.wrote(key, self._replicasets, await client.update(REPLICASETS, resize.replicaset))
            for event in resize.events:
                self._record(deployment, event)
        for rs in todo.delete:
            await self._delete(key, rs)
        for event in todo.events:
            self._record(deployment, event)
        if todo.status is not None:
            updated = await client.update(DEPLOYMENTS, todo.status, subresource="status")
            expectations.wrote(key, self._deployments, updated)
        return Result(requeue_after_s=todo.requeue_after_s)

    async def _create(self, key: str, deployment: Object, rs: Object) -> bool:
        """False where the ReplicaSet is there already: ours (the cache was late), or another's with the same hash."""
        try:
            created = await self._context.client.create(REPLICASETS, rs)
        except AlreadyExists:
            await self._resolve_collision(key, deployment, rs)
            return False
        except APIError as error:
            if not namespace_is_terminating(error):
                await self._report_failure(deployment, rs, error)
            raise
        self._context.expectations.wrote(key, self._replicasets, created)
        return True

    async def _resolve_collision(self, key: str, deployment: Object, rs: Object) -> None:
        there = await self._context.client.get(REPLICASETS, objects.name(rs), namespace=objects.namespace(rs))
        if objects.is_controlled_by(there, deployment) and equal_without_hash(
            there["spec"]["template"], rs["spec"]["template"]
        ):
            self._context.expectations.wrote(key, self._replicasets, there)
            self._context.queue.add_after(key, 0.1)
            return
        status = {**(deployment.get("status") or {})}
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
        updated = await self._context.client.update(DEPLOYMENTS, {**deployment, "status": status}, subresource="status")
        self._context.expectations.wrote(key, self._deployments, updated)

    async def _report_failure(self, deployment: Object, rs: Object, error: APIError) -> None:
        text = f'Failed to create new replica set "{objects.name(rs)}": {error.message}'
        self._record(deployment, warning("ReplicaSetCreateError", text))
        failed = with_failed_creation(deployment, text, self._context.clock.now())
        if failed is not None:
            await self._context.client.update(DEPLOYMENTS, failed, subresource="status")

    async def _delete(self, key: str, rs: Object) -> None:
        try:
            await self._context.client.delete(
                REPLICASETS, objects.name(rs), namespace=objects.namespace(rs),
                uid=objects.uid(rs), resource_version=objects.resource_version(rs),
            )  # fmt: skip
        except (NotFound, Conflict):
            return
        self._context.expectations.deleted(key, self._replicasets, rs)

    def _recreating_owner(self, change: Change) -> Iterable[str]:
        """The Deployment of a pod that is gone, if it waits for that."""
        reference = objects.controller_of(change.object)
        if change.new is not None or reference is None or reference["kind"] != REPLICASETS.kind:
            return ()
        rs = self._replicasets.get(objects.make_key(objects.namespace(change.object), reference["name"]))
        owner = objects.controller_of(rs) if rs is not None and objects.uid(rs) == reference["uid"] else None
        if rs is None or owner is None or owner["kind"] != DEPLOYMENTS.kind:
            return ()
        deployment = self._deployments.get(objects.make_key(objects.namespace(rs), owner["name"]))
        if deployment is None or objects.uid(deployment) != owner["uid"] or rollout.is_rolling(deployment):
            return ()
        return (objects.key_of(deployment),)

    def _record(self, deployment: Object, event: Event) -> None:
        self._context.events.event(deployment, DEPLOYMENTS, type=event.type, reason=event.reason, message=event.message)


def _conforms(context: Context) -> Controller:
    return DeploymentController(context)
