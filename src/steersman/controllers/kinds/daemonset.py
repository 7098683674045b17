"""DaemonSet: one pod on every node that fits.

watches: DaemonSets; Pods, ControllerRevisions, by controller; Nodes.
owns: Pods, ControllerRevisions.
writes: Pods (create, delete, adopt, release), ControllerRevisions, DaemonSets/status, Events.
invariants: a pod is bound to its node by affinity, so that the scheduler alone places it; a rolling update without surge leaves
at most maxUnavailable nodes without an available pod, with surge at most maxSurge nodes have two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from steersman.client.informer import Change
from steersman.controllers import daemonplan, history, taints
from steersman.controllers import pods as podstate
from steersman.controllers.adoption import Ownership, candidates, claims
from steersman.controllers.daemonplan import Plan, pod_for
from steersman.controllers.dependents import owners_of, selector_of
from steersman.controllers.history import History
from steersman.controllers.podcontrol import PodControl
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch, all_of, slow_start
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import CONTROLLERREVISIONS, DAEMONSETS, NODES, PODS, Resource

NAME = "daemonset-controller"
DAEMONSET_WATCH = Watch(resource=DAEMONSETS)
POD_WATCH = Watch(resource=PODS, indexers={"controller": podstate.by_controller})
REVISION_WATCH = Watch(resource=CONTROLLERREVISIONS, indexers={"controller": podstate.by_controller})
NODE_WATCH = Watch(resource=NODES)
WATCHES = (DAEMONSET_WATCH, POD_WATCH, REVISION_WATCH, NODE_WATCH)

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 900.0

plan = daemonplan.plan


def _matters(node: Object) -> tuple[Any, ...]:
    """Everything of a node by which daemons are placed."""
    return objects.labels(node), list(taints.of_node(node))


class DaemonSetController:
    """Reconciles one DaemonSet by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sets = context.informer(DAEMONSET_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._revisions = context.informer(REVISION_WATCH)
        self._nodes = context.informer(NODE_WATCH)
        self._failures: dict[str, dict[str, tuple[float, float]]] = {}
        """Key -> node -> (when its failed pod may be replaced next, the wait after that)."""
        self._control = PodControl(context, self._pods, DAEMONSETS)
        self._history = History(client=context.client, revisions=self._revisions, expectations=context.expectations)
        common: dict[str, Any] = {
            "client": context.client,
            "owner_resource": DAEMONSETS,
            "expectations": context.expectations,
        }
        self._own_pods = Ownership(dependents=self._pods, **common)
        self._own_revisions = Ownership(dependents=self._revisions, **common)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is CONTROLLERREVISIONS and change.old is None and objects.controller_of(change.object) is not None:
            return ()
        if resource in (PODS, CONTROLLERREVISIONS):
            return owners_of(change, self._sets)
        if resource is NODES:
            old, new = change.old, change.new
            if old is not None and new is not None and _matters(old) == _matters(new):
                return ()
            return [objects.key_of(owner) for owner in self._sets.list()]
        if change.old is not None and change.new is not None and objects.uid(change.old) != objects.uid(change.new):
            self._context.expectations.forget(change.key)
        return (change.key,)

    async def reconcile(self, key: str) -> Result:
        owner = self._sets.get(key)
        selector = selector_of(owner) if owner is not None else None
        if owner is None or selector is None:
            self._context.expectations.forget(key)
            self._failures.pop(key, None)
            return DONE
        if selector.is_everything:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self._event(owner, "Warning", "SelectingAll", text)
            return DONE
        if objects.is_deleting(owner):
            return DONE
        pods = await self._own_pods.settle(key, owner, claims(owner, selector, candidates(self._pods, owner)))
        wanted = claims(owner, selector, candidates(self._revisions, owner))
        revisions = history.in_order(await self._own_revisions.settle(key, owner, wanted))
        chosen = history.wanted(owner, DAEMONSETS, revisions, history.REVISION_LABEL)
        update = await self._history.establish(key, chosen)
        if update is None:
            status = {**(owner.get("status") or {})}
            status["collisionCount"] = (status.get("collisionCount") or 0) + 1
            await self._report(key, {**owner, "status": status})
            return DONE
        revision_hash = objects.labels(update)[history.REVISION_LABEL]
        twins = [entry for entry in revisions if history.is_twin(entry, update)]
        if twins:
            await self._merge(key, twins, pods, revision_hash)
            return DONE
        held = {node: due_s for node, (due_s, _) in self._failures.get(key, {}).items()}
        todo = plan(owner, pods, self._nodes.list(), revision_hash, self._context.clock.now(), held)
        await self._execute(key, owner, todo, revision_hash)
        in_use = {objects.labels(pod).get(history.REVISION_LABEL) for pod in pods}
        live = [
            objects.name(entry) for entry in revisions if objects.labels(entry).get(history.REVISION_LABEL) in in_use
        ]
        limit = owner["spec"].get("revisionHistoryLimit", 10)
        for old in history.surplus(revisions, [*live, objects.name(update)], limit):
            await self._history.delete(key, old)
        return Result(requeue_after_s=todo.requeue_after_s)

    async def _merge(self, key: str, twins: Sequence[Object], pods: Iterable[Object], revision_hash: str) -> None:
        """Revisions with the present template that someone else made: their pods are of the present one, and need not go."""
        hashes = {objects.labels(twin).get(history.REVISION_LABEL) for twin in twins}
        for pod in pods:
            if objects.labels(pod).get(history.REVISION_LABEL) in hashes:
                patch = {"metadata": {"uid": objects.uid(pod), "labels": {history.REVISION_LABEL: revision_hash}}}
                patched = await self._context.client.patch(
                    PODS, objects.name(pod), patch, namespace=objects.namespace(pod)
                )
                self._context.expectations.wrote(key, self._pods, patched)
        for twin in twins:
            await self._history.delete(key, twin)

    async def _execute(self, key: str, owner: Object, todo: Plan, revision_hash: str) -> None:
        for pod, node in todo.ended:
            self._note_end(key, owner, pod, node)
        failure: APIError | None = None
        try:
            await self._start_and_stop(key, owner, todo, revision_hash)
        except APIError as error:
            failure = error
        if todo.status is not None:
            await self._report(key, todo.status)
        if failure is not None:
            raise failure

    async def _start_and_stop(self, key: str, owner: Object, todo: Plan, revision_hash: str) -> None:
        """A pod that cannot be created keeps no other from being deleted."""
        failure: APIError | None = None
        if todo.create_on:

            async def create(number: int) -> None:
                await self._control.create_pod(key, pod_for(owner, todo.create_on[number], revision_hash), owner)

            try:
                await slow_start(len(todo.create_on), create)
            except APIError as error:
                failure = error
        await all_of(self._control.delete(key, pod, owner) for pod in todo.delete)
        if failure is not None:
            raise failure

    def _note_end(self, key: str, owner: Object, pod: Object, node: str) -> None:
        name = f"{objects.namespace(pod)}/{objects.name(pod)} on node {node}"
        if podstate.phase(pod) == "Succeeded":
            self._event(
                owner, "Normal", "SucceededDaemonPod", f"Found succeeded daemon pod {name}, will try to delete it"
            )
            return
        self._event(owner, "Warning", "FailedDaemonPod", f"Found failed daemon pod {name}, will try to kill it")
        now_s = self._context.clock.now()
        per_node = self._failures.setdefault(key, {})
        due_s, wait_s = per_node.get(node, (0.0, FIRST_BACKOFF_S))
        if now_s - due_s > 2 * LONGEST_BACKOFF_S:
            wait_s = FIRST_BACKOFF_S
        per_node[node] = (now_s + wait_s, min(wait_s * 2, LONGEST_BACKOFF_S))

    async def _report(self, key: str, owner: Object) -> None:
        updated = await self._context.client.update(DAEMONSETS, owner, subresource="status")
        self._context.expectations.wrote(key, self._sets, updated)

    def _event(self, owner: Object, kind: Any, reason: str, message: str) -> None:
        self._context.events.event(owner, DAEMONSETS, type=kind, reason=reason, message=message)


def _conforms(context: Context) -> Controller:
    return DaemonSetController(context)
