"""PodDisruptionBudget: how many of the selected pods may be evicted now.

watches: PodDisruptionBudgets; Pods; Deployments, ReplicaSets, StatefulSets, ReplicationControllers (how many pods should be there).
owns: PodDisruptionBudgets/status.
writes: PodDisruptionBudgets/status, Pods/status (a condition DisruptionTarget that came to nothing becomes False), Events.
invariants: where the number of wanted pods cannot be told, no disruption is allowed; an evicted pod counts as gone for at most
two minutes before it is; nothing is allowed for a budget that selects no pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.client.informer import Change
from steersman.controllers import pods as podstate
from steersman.controllers.conditions import find, pod_condition
from steersman.controllers.dependents import adopters_of, selector_of
from steersman.controllers.discovery import discover
from steersman.controllers.intorstring import scaled
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.controllers.selectortext import selector_text
from steersman.controllers.standing import Notice, StandingEvents
from steersman.meta import objects, times
from steersman.meta.errors import APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import (
    DEPLOYMENTS,
    PODDISRUPTIONBUDGETS,
    PODS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
    Resource,
)

NAME = "disruption-controller"
BUDGET_WATCH = Watch(resource=PODDISRUPTIONBUDGETS)
POD_WATCH = Watch(resource=PODS, indexers={"controller": podstate.by_controller})
OWNER_WATCHES = tuple(
    Watch(resource=resource) for resource in (DEPLOYMENTS, REPLICASETS, STATEFULSETS, REPLICATIONCONTROLLERS)
)
WATCHES = (BUDGET_WATCH, POD_WATCH, *OWNER_WATCHES)

DELETION_TIMEOUT_S = 120.0
STALE_DISRUPTION_S = 120.0
REPEAT_S = 300.0
"""How often what stays so, such as a budget without pods, is told again."""
STALE = "pod/"
"""Keys of pods whose condition DisruptionTarget may have come to nothing: ``pod/<key>``."""


class CannotCount(Exception):
    """How many pods there should be cannot be told; the message says why."""


class Expected(Struct, frozen=True, kw_only=True):
    """How many pods should be there by what their controllers say."""

    count: int
    unmanaged: Sequence[str] = ()


class Plan(Struct, frozen=True, kw_only=True):
    status: Object | None = None
    not_deleted: Sequence[Object] = ()
    """Pods that were evicted long ago and are still there."""
    requeue_after_s: float | None = None


def needs_scale(budget: Object) -> bool:
    """The budget is relative to how many pods there should be."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def plan(budget: Object, pods: Sequence[Object], expected: Expected, now_s: float) -> Plan:
    """``pods`` are those that the budget selects."""
    spec, old = budget["spec"], budget.get("status") or {}
    count, desired = expected.count, 0
    if spec.get("maxUnavailable") is not None:
        desired = max(count - scaled(spec["maxUnavailable"], count, round_up=True), 0)
    elif isinstance(spec.get("minAvailable"), str):
        desired = scaled(spec["minAvailable"], count, round_up=True)
    elif spec.get("minAvailable") is not None:
        count, desired = len(pods), spec["minAvailable"]
    disrupted, late, recheck_s = _disrupted(pods, old.get("disruptedPods") or {}, now_s)
    healthy = sum(
        podstate.is_ready(pod) and not objects.is_deleting(pod) and objects.name(pod) not in disrupted for pod in pods
    )
    allowed = max(healthy - desired, 0) if count > 0 else 0
    status: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": count,
        "observedGeneration": objects.generation(budget),
        "conditions": _with_condition(
            old.get("conditions") or [],
            "True" if allowed > 0 else "False",
            "SufficientPods" if allowed > 0 else "InsufficientPods",
            "",
            objects.generation(budget),
            now_s,
        ),
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    return Plan(
        status=None if status == old else {**budget, "status": status}, not_deleted=late, requeue_after_s=recheck_s
    )


def fail_safe(budget: Object, message: str, now_s: float) -> Object | None:
    """``budget`` that allows nothing because of ``message``; None where it says so."""
    old = budget.get("status") or {}
    generation = old.get("observedGeneration") or 0
    conditions = _with_condition(old.get("conditions") or [], "False", "SyncFailed", message, generation, now_s)
    counts = {name: old.get(name) or 0 for name in ("currentHealthy", "desiredHealthy", "expectedPods")}
    status = {**old, **counts, "disruptionsAllowed": 0, "conditions": conditions}
    return None if status == old else {**budget, "status": status}


def _disrupted(
    pods: Iterable[Object], evicted: Mapping[str, str], now_s: float
) -> tuple[dict[str, str], list[Object], float | None]:
    """(evictions still to be seen, pods that were not deleted, seconds until the next of the former is late)."""
    kept: dict[str, str] = {}
    late: list[Object] = []
    waits: list[float] = []
    for pod in pods:
        at = evicted.get(objects.name(pod))
        if at is None or objects.is_deleting(pod):
            continue
        wait_s = times.parse_time(at) + DELETION_TIMEOUT_S - now_s
        if wait_s < 0:
            late.append(pod)
        else:
            kept[objects.name(pod)] = at
            waits.append(wait_s + 0.01)
    return kept, late, min(waits, default=None)


def _with_condition(
    conditions: Sequence[Object], status: str, reason: str, message: str, generation: int, now_s: float
) -> list[Object]:
    old = find(conditions, "DisruptionAllowed")
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else times.format_time(now_s)
    entry = {
        "type": "DisruptionAllowed",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }
    if old is None:
        return [*conditions, entry]
    return [entry if found is old else found for found in conditions]


class DisruptionController:
    """Reconciles one PodDisruptionBudget by key, or a pod by ``pod/<key>``."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._standing = StandingEvents(context, period_s=REPEAT_S)
        self._budgets = context.informer(BUDGET_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._owners = {watch.resource.kind: context.informer(watch) for watch in OWNER_WATCHES}

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PODDISRUPTIONBUDGETS:
            return (change.key,)
        if resource is PODS:
            return self._budgets_of_pod(change)
        old, new = change.old, change.new
        if old is not None and new is not None and old["spec"].get("replicas") == new["spec"].get("replicas"):
            return ()
        return self._budgets_of_labels(((change.object["spec"].get("template") or {}).get("metadata")) or {}, change)

    def _budgets_of_pod(self, change: Change) -> Iterable[str]:
        keys = set(adopters_of_all(change.old, self._budgets)) if change.old is not None else set()
        if change.new is not None:
            now = adopters_of_all(change.new, self._budgets)
            if len(now) > 1:
                self._tell_rivals(change.new, now)
            keys.update(now)
        if change.new is not None and _stale_after_s(change.new, self._context.clock.now()) is not None:
            keys.add(STALE + change.key)
        return keys

    def _budgets_of_labels(self, metadata: Object, change: Change) -> Iterable[str]:
        namespace = objects.namespace(change.object)
        return adopters_of_all({"metadata": {**metadata, "namespace": namespace}}, self._budgets)

    async def reconcile(self, key: str) -> Result:
        if key.startswith(STALE):
            return await self._clear_stale(key)
        budget = self._budgets.get(key)
        selector = selector_of(budget) if budget is not None else None
        if budget is None or selector is None:
            self._context.expectations.forget(key)
            return DONE
        namespace, now_s = objects.namespace(budget), self._context.clock.now()
        pods = [pod for pod in self._pods.by_namespace(namespace) if selector.matches(objects.labels(pod))]
        if not pods:
            self._tell(budget, "Normal", "NoPods", "No matching pods found")
        expected = Expected(count=len(pods))
        try:
            if needs_scale(budget):
                expected = await self._expected(pods)
        except (CannotCount, APIError) as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._tell(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._report(key, fail_safe(budget, str(error), now_s))
            if isinstance(error, CannotCount):
                return DONE
            raise
        if expected.unmanaged:
            text = (
                f"Pods selected by this PodDisruptionBudget (selector: {selector_text(budget['spec'].get('selector'))}) were found to be unmanaged. As a "
                "result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "
                'To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
            )
            self._tell(budget, "Warning", "UnmanagedPods", text)
        todo = plan(budget, pods, expected, now_s)
        for pod in todo.not_deleted:
            text = (
                f"Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't"  # sic: upstream's words
            )
            self._context.events.event(pod, PODS, type="Warning", reason="NotDeleted", message=text)
        await self._report(key, todo.status)
        return Result(requeue_after_s=todo.requeue_after_s)

    async def _expected(self, pods: Iterable[Object]) -> Expected:
        scales: dict[str, int] = {}
        seen: set[str] = set()
        unmanaged = []
        for pod in pods:
            reference = objects.controller_of(pod)
            if reference is None:
                unmanaged.append(objects.name(pod))
            elif reference["uid"] not in seen:
                seen.add(reference["uid"])
                uid, count = await self._scale(pod, reference)
                scales[uid] = count
        return Expected(count=sum(scales.values()), unmanaged=unmanaged)

    async def _scale(self, pod: Object, reference: Object) -> tuple[str, int]:
        """(uid, wanted replicas) of what keeps the pod's number; a ReplicaSet's Deployment rather than itself."""
        namespace = objects.namespace(pod)
        owner = self._cached(reference, namespace)
        if owner is not None and reference["kind"] == REPLICASETS.kind:
            above = objects.controller_of(owner)
            if above is not None and above["kind"] == DEPLOYMENTS.kind:
                deployment = self._cached(above, namespace)
                if deployment is not None:
                    owner = deployment
        if owner is not None:
            return objects.uid(owner), int(owner["spec"].get("replicas", 1))
        if reference["kind"] in self._owners:
            raise CannotCount(f'found no controllers for pod "{objects.name(pod)}"')
        found = await discover(self._context.client)
        resource = found.by_kind.get((reference["apiVersion"], reference["kind"]))
        if resource is None:
            raise CannotCount(f'found no controllers for pod "{objects.name(pod)}"')
        try:
            scale = await self._context.client.get(
                resource, reference["name"], namespace=namespace, subresource="scale"
            )
        except NotFound as error:
            name = f"{resource.group_resource} does not implement the scale subresource"
            raise CannotCount(name) from error
        if objects.uid(scale) != reference["uid"]:
            raise CannotCount(f'found no controllers for pod "{objects.name(pod)}"')
        return reference["uid"], int((scale.get("spec") or {}).get("replicas") or 0)

    def _cached(self, reference: Object, namespace: str) -> Object | None:
        informer = self._owners.get(reference["kind"])
        owner = informer.get(objects.make_key(namespace, reference["name"])) if informer is not None else None
        return owner if owner is not None and objects.uid(owner) == reference["uid"] else None

    async def _report(self, key: str, budget: Object | None) -> None:
        if budget is not None:
            updated = await self._context.client.update(PODDISRUPTIONBUDGETS, budget, subresource="status")
            self._context.expectations.wrote(key, self._budgets, updated)

    async def _clear_stale(self, key: str) -> Result:
        pod = self._pods.get(key.removeprefix(STALE))
        now_s = self._context.clock.now()
        wait_s = _stale_after_s(pod, now_s) if pod is not None else None
        if pod is None or wait_s is None:
            self._context.expectations.forget(key)
            return DONE
        if wait_s > 0:
            return Result(requeue_after_s=wait_s)
        entry = pod_condition(pod, "DisruptionTarget", "False", now_s) | {"reason": None, "message": None}
        patch = {"metadata": {"uid": objects.uid(pod)}, "status": {"conditions": [entry]}}
        patched = await self._context.client.patch(
            PODS, objects.name(pod), patch, namespace=objects.namespace(pod), subresource="status",
            patch_type=STRATEGIC_MERGE_PATCH,
        )  # fmt: skip
        self._context.expectations.wrote(key, self._pods, patched)
        return DONE

    def _tell_rivals(self, pod: Object, keys: Sequence[str]) -> None:
        names = f'"{objects.namespace(pod)}"/"{objects.name(pod)}"'
        chosen = objects.split_key(min(keys))[1]
        text = f'Pod {names} matches multiple PodDisruptionBudgets.  Chose "{chosen}" arbitrarily.'
        self._standing.tell(pod, PODS, Notice(type="Warning", reason="MultiplePodDisruptionBudgets", message=text))

    def _tell(self, budget: Object, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """As ``_event``, of what is so for long: again after a while only."""
        self._standing.tell(budget, PODDISRUPTIONBUDGETS, Notice(type=kind, reason=reason, message=message))

    def _event(self, budget: Object, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._context.events.event(budget, PODDISRUPTIONBUDGETS, type=kind, reason=reason, message=message)


def adopters_of_all(pod: Mapping[str, Any], budgets: Any) -> list[str]:
    """Keys of the budgets that select ``pod``; an empty selector selects every pod."""
    found = adopters_of(dict(pod), budgets)
    for budget in budgets.by_namespace(objects.namespace(pod)):
        selector = selector_of(budget)
        if selector is not None and selector.is_everything:
            found.append(objects.key_of(budget))
    return found


def _stale_after_s(pod: Mapping[str, Any], now_s: float) -> float | None:
    """Seconds until the condition DisruptionTarget of a pod that nobody deletes is stale; None where there is none."""
    entry = objects.condition(pod, "DisruptionTarget")
    if objects.is_deleting(pod) or podstate.is_finished(pod) or entry is None or entry["status"] != "True":
        return None
    if entry.get("reason") == "TerminationByKubelet":
        return None
    return max(times.parse_time(entry["lastTransitionTime"]) + STALE_DISRUPTION_S - now_s, 0.0)


def _conforms(context: Context) -> Controller:
    return DisruptionController(context)
