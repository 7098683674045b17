"""DaemonSet: one pod on every node that fits.

watches: DaemonSets; Pods, ControllerRevisions, by controller; Nodes.
owns: Pods, ControllerRevisions.
writes: Pods (create, delete, adopt, release), ControllerRevisions, DaemonSets/status, Events.
invariants: a pod is bound to its node by affinity, so that the scheduler alone places it; a rolling update without surge leaves
at most maxUnavailable nodes without an available pod, with surge at most maxSurge nodes have two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steersman.client.informer import Change
from steersman.controllers import history, nodeaffinity, taints
from steersman.controllers import pods as podstate
from steersman.controllers.adoption import Ownership, candidates, claims
from steersman.controllers.dependents import owners_of, selector_of
from steersman.controllers.history import History
from steersman.controllers.intorstring import scaled
from steersman.controllers.podcontrol import PodControl
from steersman.controllers.podtemplate import pod_from
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch, all_of, slow_start
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import CONTROLLERREVISIONS, DAEMONSETS, NODES, PODS, Resource

NAME = "daemonset-controller"
DAEMONSET_WATCH = Watch(resource=DAEMONSETS)
POD_WATCH = Watch(resource=PODS, indexers={"controller": podstate.by_controller})
REVISION_WATCH = Watch(resource=CONTROLLERREVISIONS, indexers={"controller": podstate.by_controller})
NODE_WATCH = Watch(resource=NODES)
WATCHES = (DAEMONSET_WATCH, POD_WATCH, REVISION_WATCH, NODE_WATCH)

BURST = 250
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 900.0
_TOLERATED = (
    (taints.NOT_READY, "NoExecute"),
    (taints.UNREACHABLE, "NoExecute"),
    (taints.DISK_PRESSURE, "NoSchedule"),
    (taints.MEMORY_PRESSURE, "NoSchedule"),
    (taints.PID_PRESSURE, "NoSchedule"),
    (taints.UNSCHEDULABLE, "NoSchedule"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Nodes that need a pod, pods to delete, and the status as it is now."""

    create_on: Sequence[str] = ()
    delete: Sequence[Object] = ()
    ended: Sequence[tuple[Object, str]] = ()
    """Pods to delete because they ended, and their nodes."""
    status: Object | None = None
    requeue_after_s: float | None = None


def plan(
    owner: Object,
    pods: Sequence[Object],
    nodes: Sequence[Object],
    revision_hash: str,
    now_s: float,
    held_back: Mapping[str, float] | None = None,
) -> Plan:
    """``pods`` are the owner's. ``held_back`` says for nodes whose pod keeps failing from when on it may be replaced."""
    return _Planner(owner, pods, nodes, revision_hash, now_s, held_back or {}).plan()


def node_of(pod: Mapping[str, Any]) -> str:
    """Where the pod runs or, before it is bound, which node it was made for."""
    bound = podstate.node_name(pod)
    if bound:
        return bound
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for entry in term.get("matchFields") or ():
            if entry["key"] == "metadata.name" and entry["operator"] == "In" and len(entry["values"]) == 1:
                return str(entry["values"][0])
    return ""


def pod_for(owner: Object, node: str, revision_hash: str) -> Object:
    """A pod that only ``node`` can take, tolerating what a daemon has to."""
    pod = pod_from(owner["spec"]["template"], owner, DAEMONSETS)
    labels = {**objects.labels(pod), history.REVISION_LABEL: revision_hash}
    generation = objects.annotations(owner).get(GENERATION_ANNOTATION)
    if generation:
        labels[GENERATION_LABEL] = generation
    affinity = pod["spec"].get("affinity") or {}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    node_affinity = {
        **(affinity.get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
    }
    spec = {
        **pod["spec"],
        "affinity": {**affinity, "nodeAffinity": node_affinity},
        "tolerations": tolerations_of(pod["spec"]),
    }
    return {**objects.with_metadata(pod, labels=labels), "spec": spec}


def tolerations_of(pod_spec: Mapping[str, Any]) -> list[Object]:
    wanted = [*_TOLERATED, *([(taints.NETWORK_UNAVAILABLE, "NoSchedule")] if pod_spec.get("hostNetwork") else [])]
    present = pod_spec.get("tolerations") or []
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]
    return [*present, *(entry for entry in added if entry not in present)]


@dataclass(slots=True)
class _Planner:
    owner: Object
    pods: Sequence[Object]
    nodes: Sequence[Object]
    revision_hash: str
    now_s: float
    held_back: Mapping[str, float]
    on_node: dict[str, list[Object]] = field(default_factory=dict)
    create_on: list[str] = field(default_factory=list)
    delete: dict[str, Object] = field(default_factory=dict)
    ended: list[tuple[Object, str]] = field(default_factory=list)
    wake_s: list[float] = field(default_factory=list)

    @property
    def min_ready_s(self) -> int:
        return int(self.owner["spec"].get("minReadySeconds") or 0)

    def plan(self) -> Plan:
        for pod in self.pods:
            self.on_node.setdefault(node_of(pod), []).append(pod)
        verdicts = {objects.name(node): self._belongs(node) for node in self.nodes}
        surge, unavailable = self._limits(sum(runs for runs, _ in verdicts.values()))
        if not objects.is_deleting(self.owner):
            for name, (runs, stays) in verdicts.items():
                self._manage(name, runs=runs, stays=stays, surge=surge)
            for name, found in self.on_node.items():
                if name and name not in verdicts:
                    self._drop(found)
            is_rolling = (self.owner["spec"].get("updateStrategy") or {}).get(
                "type", "RollingUpdate"
            ) == "RollingUpdate"
            if is_rolling and not self.create_on and not self.delete:
                self._roll([name for name, (runs, _) in verdicts.items() if runs], surge, unavailable)
        status = self._status({name for name, (runs, _) in verdicts.items() if runs})
        same = _same_status(self.owner.get("status") or {}, status)
        if self.min_ready_s:
            wait_s = podstate.next_availability_s(self.pods, self.min_ready_s, self.now_s)
            self.wake_s += [wait_s] if wait_s is not None else []
        return Plan(
            create_on=self.create_on[:BURST],
            delete=[*self.delete.values()][:BURST],
            ended=self.ended,
            status=None if same else {**self.owner, "status": status},
            requeue_after_s=min(self.wake_s, default=None),
        )

    def _belongs(self, node: Object) -> tuple[bool, bool]:
        """(a pod should start on ``node``, one that is there may stay)."""
        spec = self.owner["spec"]["template"]["spec"]
        wanted = spec.get("nodeName")
        if (wanted and wanted != objects.name(node)) or not nodeaffinity.fits(spec, node):
            return False, False
        offered = tolerations_of(spec)
        untolerated = {
            taint["effect"]
            for taint in taints.of_node(node)
            if not any(taints.tolerates(toleration, taint) for toleration in offered)
        }
        return not untolerated & {"NoSchedule", "NoExecute"}, "NoExecute" not in untolerated

    def _limits(self, desired: int) -> tuple[int, int]:
        """(maxSurge, maxUnavailable) as counts of nodes."""
        rolling = (self.owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        surge = scaled(rolling.get("maxSurge", 0), desired, round_up=True)
        unavailable = scaled(rolling.get("maxUnavailable", 1), desired, round_up=True)
        return surge, 1 if surge == 0 and unavailable == 0 else unavailable

    def _manage(self, node: str, *, runs: bool, stays: bool, surge: int) -> None:
        found = self.on_node.get(node) or []
        if not stays:
            self._drop(found)
            return
        running = []
        for pod in found:
            if objects.is_deleting(pod):
                continue
            if podstate.is_finished(pod):
                self._replace_ended(pod, node)
            else:
                running.append(pod)
        if runs and not found:
            self.create_on.append(node)
            return
        if not surge:
            self._drop(sorted(running, key=_keep_first)[1:])
        else:
            self._thin(running)

    def _thin(self, running: Iterable[Object]) -> None:
        """With surge, one old and one new pod may share a node until the new one is available."""
        new = sorted((pod for pod in running if self._is_new(pod)), key=_keep_first)
        old = sorted((pod for pod in running if not self._is_new(pod)), key=_keep_first)
        self._drop([*new[1:], *old[1:]])
        if new and old and self._available(new[0]):
            self._drop(old[:1])

    def _replace_ended(self, pod: Object, node: str) -> None:
        failed = podstate.phase(pod) == "Failed"
        wait_s = self.held_back.get(node, 0.0) - self.now_s if failed else 0.0
        if wait_s > 0:
            self.wake_s.append(wait_s)
            return
        self.ended.append((pod, node))
        self._drop([pod])

    def _drop(self, found: Iterable[Object]) -> None:
        for pod in found:
            if not objects.is_deleting(pod):
                self.delete[objects.uid(pod)] = pod

    def _roll(self, nodes: Iterable[str], surge: int, unavailable: int) -> None:
        busy = 0
        broken: list[tuple[str, Object]] = []
        healthy: list[tuple[str, Object]] = []
        for node in nodes:
            found = [pod for pod in self.on_node.get(node) or [] if not objects.is_deleting(pod)]
            new = [pod for pod in found if self._is_new(pod)]
            old = [pod for pod in found if not self._is_new(pod)]
            if surge:
                busy += bool(old and new)
            elif not found or not all(map(self._available, found)):
                busy += 1
            if old and not new:
                (healthy if self._available(old[0]) else broken).append((node, old[0]))
        left = max((surge or unavailable) - busy, 0)
        if surge:
            self.create_on += [node for node, _ in [*broken, *healthy[:left]]]
        else:
            self._drop(pod for _, pod in [*broken, *healthy[:left]])

    def _is_new(self, pod: Object) -> bool:
        return objects.labels(pod).get(history.REVISION_LABEL) == self.revision_hash

    def _available(self, pod: Object) -> bool:
        return podstate.is_available(pod, self.min_ready_s, self.now_s)

    def _status(self, desired: set[str]) -> Object:
        current = misplaced = ready = updated = available = 0
        for node, found in self.on_node.items():
            if not node:
                continue
            if node not in desired:
                misplaced += any(True for _ in found)
                continue
            current += 1
            chosen = sorted(found, key=lambda pod: (not podstate.is_ready(pod), _keep_first(pod)))[0]
            ready += podstate.is_ready(chosen)
            available += podstate.is_ready(chosen) and self._available(chosen)
            updated += any(map(self._is_new, found))
        old = self.owner.get("status") or {}
        status: Object = {
            "currentNumberScheduled": current,
            "numberMisscheduled": misplaced,
            "desiredNumberScheduled": len(desired),
            "numberReady": ready,
            "observedGeneration": objects.generation(self.owner),
        }
        counts = {
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "numberUnavailable": max(len(desired) - available, 0),
            "collisionCount": old.get("collisionCount") or 0,
        }
        status |= {name: count for name, count in counts.items() if count}
        return status | ({"conditions": old["conditions"]} if old.get("conditions") else {})


def _keep_first(pod: Object) -> tuple[bool, str, str]:
    """Bound before unbound, older before younger."""
    return (not podstate.node_name(pod), pod["metadata"].get("creationTimestamp") or "", objects.name(pod))


def _same_status(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return all((old.get(name) or 0) == (new.get(name) or 0) for name in {*old, *new})


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

    async def _execute(self, key: str, owner: Object, todo: Plan, revision_hash: str) -> None:
        for pod, node in todo.ended:
            self._note_end(key, owner, pod, node)
        if todo.create_on:

            async def create(number: int) -> None:
                await self._control.create_pod(key, pod_for(owner, todo.create_on[number], revision_hash), owner)

            await slow_start(len(todo.create_on), create)
        await all_of(self._control.delete(key, pod, owner) for pod in todo.delete)
        if todo.status is not None:
            await self._report(key, todo.status)

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
