"""What one reconcile of a DaemonSet does, as a value: on which nodes its pods belong, which go, and in which order they change.

Source: the DaemonSet page of the Kubernetes documentation; KEP-1591 (surge).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from msgspec import Struct, field

from steersman.controllers import history, nodeaffinity, taints
from steersman.controllers import pods as podstate
from steersman.controllers.intorstring import scaled
from steersman.controllers.podtemplate import pod_from
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import DAEMONSETS

BURST = 250
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"
_TOLERATED = (
    (taints.NOT_READY, "NoExecute"),
    (taints.UNREACHABLE, "NoExecute"),
    (taints.DISK_PRESSURE, "NoSchedule"),
    (taints.MEMORY_PRESSURE, "NoSchedule"),
    (taints.PID_PRESSURE, "NoSchedule"),
    (taints.UNSCHEDULABLE, "NoSchedule"),
)


class Plan(Struct, frozen=True, kw_only=True):
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


class _Planner(Struct):
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
        desired = {name for name, (runs, _) in verdicts.items() if runs}
        surge, unavailable = self._limits(len(desired))
        for name, (runs, stays) in verdicts.items():
            self._manage(name, runs=runs, stays=stays, surge=surge)
        for name, found in self.on_node.items():
            if name and name not in verdicts:
                self._drop(pod for pod in found if not podstate.node_name(pod))
        strategy = self.owner["spec"].get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") == "RollingUpdate" and not self.create_on and not self.delete:
            if surge:
                self._roll_with_surge(verdicts, desired, surge)
            else:
                self._roll(desired, unavailable)
        status = self._status(verdicts, desired)
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
        if runs and (not found or (surge and not running)):
            self.create_on.append(node)
            return
        if not surge:
            self._drop(sorted(running, key=_keep_first)[1:])
        elif len(running) > 1:
            self._thin(running)

    def _thin(self, running: Iterable[Object]) -> None:
        """With surge, one old and one new pod may share a node while the old one is ready and the new one not available."""
        new = sorted((pod for pod in running if self._is_new(pod)), key=_keep_first)
        old = sorted((pod for pod in running if not self._is_new(pod)), key=_keep_first)
        self._drop([*new[1:], *old[1:]])
        if new and old and (not podstate.is_ready(old[0]) or self._available(new[0])):
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

    def _pods_on(self, node: str) -> tuple[list[Object], list[Object]]:
        """(pods of the present template, those of older ones), none that is being deleted."""
        found = [pod for pod in self.on_node.get(node) or [] if not objects.is_deleting(pod)]
        return [pod for pod in found if self._is_new(pod)], [pod for pod in found if not self._is_new(pod)]

    def _roll(self, nodes: Iterable[str], unavailable: int) -> None:
        """Delete old pods that are not available, and of the others as many as may be missing."""
        busy = 0
        broken: list[Object] = []
        healthy: list[Object] = []
        for node in nodes:
            new, old = self._pods_on(node)
            found = [*new, *old]
            busy += not found or not all(map(self._available, found))
            if old and not new:
                (healthy if self._available(old[0]) else broken).append(old[0])
        self._drop([*broken, *healthy[: max(unavailable - busy, 0)]])

    def _roll_with_surge(self, verdicts: Mapping[str, tuple[bool, bool]], desired: Set[str], surge: int) -> None:
        """Start new pods beside old ones. On nodes that are given up an old pod stays until enough others are available."""
        busy = available = 0
        broken: list[str] = []
        healthy: list[str] = []
        given_up: list[Object] = []
        for node in verdicts:
            new, old = self._pods_on(node)
            found = old or new
            available += bool(found) and self._available(found[0])
            busy += bool(old and new)
            if not old or new:
                continue
            if node in desired:
                (healthy if self._available(old[0]) else broken).append(node)
            elif self._available(old[0]):
                given_up.append(old[0])
            else:
                self._drop(old[:1])
        self.create_on += [*broken, *healthy[: max(surge - busy, 0)]]
        self._drop(given_up[: max(available - len(desired), 0)])

    def _is_new(self, pod: Object) -> bool:
        labels = objects.labels(pod)
        generation = objects.annotations(self.owner).get(GENERATION_ANNOTATION)
        return labels.get(history.REVISION_LABEL) == self.revision_hash or (
            generation is not None and labels.get(GENERATION_LABEL) == generation
        )

    def _available(self, pod: Object) -> bool:
        return podstate.is_available(pod, self.min_ready_s, self.now_s)

    def _status(self, nodes: Iterable[str], desired: Set[str]) -> Object:
        """Of several pods on a node the oldest speaks for it."""
        current = misplaced = ready = updated = available = 0
        for node in nodes:
            found = self.on_node.get(node)
            if not found:
                continue
            if node not in desired:
                misplaced += 1
                continue
            current += 1
            oldest = min(found, key=_keep_first)
            ready += podstate.is_ready(oldest)
            available += podstate.is_ready(oldest) and self._available(oldest)
            updated += self._is_new(oldest)
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
            "numberUnavailable": len(desired) - available,
            "collisionCount": old.get("collisionCount") or 0,
        }
        status |= {name: count for name, count in counts.items() if count}
        return status | ({"conditions": old["conditions"]} if old.get("conditions") else {})


def _keep_first(pod: Object) -> tuple[bool, str, str]:
    """Bound before unbound, older before younger."""
    return (not podstate.node_name(pod), pod["metadata"].get("creationTimestamp") or "", objects.name(pod))


def _same_status(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return all((old.get(name) or 0) == (new.get(name) or 0) for name in {*old, *new})
