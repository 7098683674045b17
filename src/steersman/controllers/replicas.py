"""Keeping a number of pods alive: what ReplicaSet and ReplicationController have in common.

Invariants: never more than ``BURST`` pods created or deleted at once; nothing is created or deleted before the caches show what
was created and deleted last; only pods that the owner controls are deleted, each by uid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers import pods as podstate
from steersman.controllers.adoption import Ownership, candidates, claims
from steersman.controllers.conditions import find, without
from steersman.controllers.dependents import owners_of
from steersman.controllers.podcontrol import PodControl
from steersman.controllers.runtime import DONE, Context, Result, Watch, all_of, reconcile_log, slow_start
from steersman.meta import objects, times
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, Resource
from steersman.meta.selectors import LabelSelector

BURST = 500
"""Upstream's ``BurstReplicas``."""
log = reconcile_log(__name__)
POD_WATCH = Watch(resource=PODS, indexers={"controller": podstate.by_controller})


class Plan(Struct, frozen=True, kw_only=True):
    """How many pods to create, or which to delete."""

    create: int = 0
    delete: Sequence[Object] = ()


class Failure(Struct, frozen=True, kw_only=True):
    """Why pods could not be created or deleted."""

    reason: str
    message: str


def plan(owner: Mapping[str, Any], active: Sequence[Object], related: Iterable[Object], now_s: float) -> Plan:
    """From the pods that count to the number wanted. ``related`` are active pods that spread together with them (those of all
    ReplicaSets of one Deployment)."""
    wanted = (owner.get("spec") or {}).get("replicas", 1)
    surplus = len(active) - wanted
    if objects.is_deleting(owner) or surplus == 0:
        return Plan()
    if surplus < 0:
        return Plan(create=min(-surplus, BURST))
    surplus = min(surplus, BURST)
    if surplus >= len(active):
        return Plan(delete=active)
    crowd: dict[str, int] = {}
    for pod in related:
        node = podstate.node_name(pod)
        crowd[node] = crowd.get(node, 0) + 1
    return Plan(delete=podstate.deletion_order(active, ready_per_node=crowd, now_s=now_s)[:surplus])


def status_of(
    owner: Mapping[str, Any],
    active: Sequence[Object],
    terminating: int | None,
    failure: Failure | None,
    now_s: float,
) -> Object:
    """The owner's status; the present one where nothing in it changes. ``terminating`` None: the kind does not report it."""
    spec, old = owner.get("spec") or {}, owner.get("status") or {}
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    min_ready_s = spec.get("minReadySeconds") or 0
    ready = available = fully_labeled = 0
    for pod in active:
        labels = pod["metadata"].get("labels") or {}
        if all(labels.get(key) == value for key, value in template_labels.items()):
            fully_labeled += 1
        if podstate.is_ready(pod):
            ready += 1
            if not min_ready_s or podstate.is_available(pod, min_ready_s, now_s):
                available += 1
    status: Object = {"replicas": len(active)}
    counts = {"fullyLabeledReplicas": fully_labeled, "readyReplicas": ready, "availableReplicas": available}
    status |= {field: count for field, count in counts.items() if count}
    if terminating is not None:
        status["terminatingReplicas"] = terminating
    status["observedGeneration"] = objects.generation(owner)
    conditions = _with_failure(old.get("conditions") or [], failure, now_s)
    if conditions:
        status["conditions"] = conditions
    return status


def _with_failure(conditions: list[Object], failure: Failure | None, now_s: float) -> list[Object]:
    """ReplicaFailure is set by the first failure and stays as it is until there is none."""
    if failure is None:
        return without(conditions, "ReplicaFailure")
    if find(conditions, "ReplicaFailure") is not None:
        return conditions
    entry = {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": times.format_time(now_s),
        "reason": failure.reason,
        "message": failure.message,
    }
    return [*conditions, entry]


class Replication:
    """Reconciles owners of one resource with their pods."""

    def __init__(
        self,
        context: Context,
        owners: Watch,
        *,
        selector: Callable[[Mapping[str, Any]], LabelSelector | None],
        reports_terminating: bool,
    ) -> None:
        self._context = context
        self._resource: Resource = owners.resource
        self._owners = context.informer(owners)
        self._pods = context.informer(POD_WATCH)
        self._selector = selector
        self._reports_terminating = reports_terminating
        self._ownership = Ownership(
            client=context.client,
            owner_resource=self._resource,
            dependents=self._pods,
            expectations=context.expectations,
        )
        self._control = PodControl(context, self._pods, self._resource)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PODS:
            return owners_of(change, self._owners, selector=self._selector)
        if change.old is not None and change.new is not None and objects.uid(change.old) != objects.uid(change.new):
            self._context.expectations.forget(change.key)
        return (change.key,)

    async def reconcile(self, key: str) -> Result:
        owner = self._owners.get(key)
        if owner is None:
            self._context.expectations.forget(key)
            return DONE
        selector = self._selector(owner)
        template_labels = ((owner["spec"].get("template") or {}).get("metadata") or {}).get("labels")
        if selector is None or not selector.matches(template_labels):
            log.warning("the selector does not fit the template; pods made from it would never be counted")
            return DONE
        found = candidates(self._pods, owner)
        wanted = claims(owner, selector, (pod for pod in found if podstate.is_active(pod)))
        active = await self._ownership.settle(key, owner, wanted) if not wanted.settled else list(wanted.owned)
        now_s = self._context.clock.now()
        failure, error = None, None
        try:
            await self._execute(key, owner, plan(owner, active, self._related(owner, active), now_s))
        except APIError as caught:
            error = caught
            wants_more = len(active) < (owner.get("spec") or {}).get("replicas", 1)
            failure = Failure(reason="FailedCreate" if wants_more else "FailedDelete", message=str(caught))
        terminating = None
        if self._reports_terminating:
            terminating = sum(
                1 for pod in found
                if podstate.is_terminating(pod) and objects.is_controlled_by(pod, owner)
                and selector.matches(pod["metadata"].get("labels"))
            )  # fmt: skip
        await self._report(key, owner, status_of(owner, active, terminating, failure, now_s))
        if error is not None:
            raise error
        min_ready_s = (owner.get("spec") or {}).get("minReadySeconds") or 0
        if not min_ready_s:
            return DONE
        return Result(requeue_after_s=podstate.next_availability_s(active, min_ready_s, now_s))

    def _related(self, owner: Object, active: Sequence[Object]) -> Iterable[Object]:
        """Active pods of all owners that have the same controller as ``owner``; its own where it has none."""
        reference = objects.controller_of(owner)
        if reference is None or not self._owners.has_indexer("controller"):
            return active
        siblings = self._owners.by_index("controller", reference["uid"])
        return (
            pod
            for sibling in siblings
            for pod in self._pods.by_index("controller", objects.uid(sibling))
            if podstate.is_active(pod)
        )

    async def _execute(self, key: str, owner: Object, wanted: Plan) -> None:
        if wanted.create:
            template = owner["spec"]["template"]

            async def create(_: int) -> None:
                await self._control.create(key, template, owner)

            await slow_start(wanted.create, create)
        if wanted.delete:
            await all_of(self._control.delete(key, pod, owner) for pod in wanted.delete)

    async def _report(self, key: str, owner: Object, status: Object) -> None:
        if _same(owner.get("status") or {}, status):
            return
        updated = await self._context.client.update(self._resource, {**owner, "status": status}, subresource="status")
        self._context.expectations.wrote(key, self._owners, updated)


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Equal, a missing count being 0."""
    fields = {*old, *new} - {"conditions"}
    return all((old.get(field) or 0) == (new.get(field) or 0) for field in fields) and (
        (old.get("conditions") or []) == (new.get("conditions") or [])
    )
