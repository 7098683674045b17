"""Scenarios without a cluster: nodes and pods come and go, the real queue and the real core place them.

A scenario is a YAML document:

    seed: 7                          # of the choice among equally good nodes
    configuration: {...}             # a KubeSchedulerConfiguration; optional
    steps:
    - create: {kind: Node, ...}      # an API object; also Pods and what plugins look up (Services, volumes, …)
      count: 6                       # so many of it, named <name>-0, <name>-1, …
      cycle:                         # fields that differ: the values are dealt out in turn
        metadata.labels.zone: [a, b, c]
    - delete: {kind: Pod, name: web-0}

After each step pods are placed until nothing more changes. Preempted pods are gone at once. Time is virtual: a second a
step. One seed and one scenario give one result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.scheduler.cluster import LISTED_RESOURCES, Cluster
from steersman.scheduler.configuration import ConfigurationError, read_configuration
from steersman.scheduler.core import Decision, NotReserved, SchedulerCore
from steersman.scheduler.diagnosis import not_placed
from steersman.scheduler.events import ClusterEvent, lookup_events, node_events, pod_events
from steersman.scheduler.framework import Nomination, NoNomination
from steersman.scheduler.plugin_calls import PluginFailed
from steersman.scheduler.pod_info import PodInfo, parse_pod
from steersman.scheduler.profiles import PluginSpec
from steersman.scheduler.queue import SchedulingQueue

_BY_KIND: Mapping[str, Resource] = {resource.kind: resource for resource in LISTED_RESOURCES}


class ScenarioError(ValueError):
    """The scenario cannot be read; the message says where."""


class Utilization(Struct, frozen=True, kw_only=True):
    """What a node has and what its pods request, by resource (CPU in milli)."""

    node_name: str
    allocatable: Mapping[str, int]
    requested: Mapping[str, int]
    pods: int
    allowed_pods: int

    def share(self, resource: str) -> float:
        """0 to 1 (more where pods were forced onto the node); 0 where the node has none."""
        if resource == "pods":
            return self.pods / self.allowed_pods if self.allowed_pods else 0.0
        have = self.allocatable.get(resource, 0)
        return self.requested.get(resource, 0) / have if have else 0.0


class Result(Struct, frozen=True, kw_only=True):
    """The end of a simulation."""

    placements: Mapping[str, str]
    """Pod to node, for pods that have one."""
    pending: Mapping[str, str]
    """Pod to why it has none."""
    preempted: tuple[str, ...]
    nodes: tuple[Utilization, ...]


class Simulation(Struct, kw_only=True, eq=False):
    """A scenario at work."""

    core: SchedulerCore
    queue: SchedulingQueue
    now_s: float = 0.0
    pods: dict[str, PodInfo] = field(default_factory=dict)
    """Every pod that exists, by key."""
    why: dict[str, str] = field(default_factory=dict)
    preempted: list[str] = field(default_factory=list)

    def create(self, obj: Object) -> None:
        kind = str(obj.get("kind"))
        if kind == "Node":
            old_row = self.core.cluster.nodes.rows.get(objects.name(obj))
            old = None if old_row is None else self.core.cluster.nodes.nodes[old_row]
            self.core.cluster.nodes.put_node(obj)
            self._tell(node_events(old, obj))
        elif kind == "Pod":
            self._create_pod(obj)
        elif kind in _BY_KIND:
            self._look_up(_BY_KIND[kind], obj)
        else:
            raise ScenarioError(f"kind {kind!r} does nothing here")

    def delete(self, kind: str, key: str) -> None:
        if kind == "Node":
            row = self.core.cluster.nodes.rows.get(key)
            old = None if row is None else self.core.cluster.nodes.nodes[row]
            self.core.cluster.nodes.remove_node(key)
            if old is not None:
                self._tell(node_events(old, None))
        elif kind == "Pod":
            self._delete_pod(key if "/" in key else f"default/{key}")
        elif kind in _BY_KIND:
            self._forget(_BY_KIND[kind], key)
        else:
            raise ScenarioError(f"delete: kind {kind!r} does nothing here")

    def settle(self) -> None:
        """Place pods until nothing more changes."""
        while True:
            while (queued := self.queue.pop(self.now_s)) is not None:
                self._try(queued.pod)
            deadline_s = self.queue.next_deadline_s()
            if deadline_s is None:
                return
            self.now_s = deadline_s

    def result(self) -> Result:
        table = self.core.cluster.nodes
        nodes = [
            Utilization(
                node_name=name,
                allocatable={
                    resource: int(table.allocatable[index, row]) for resource, index in table.resources.items()
                },
                requested={resource: int(table.requested[index, row]) for resource, index in table.resources.items()},
                pods=int(table.pod_count[row]),
                allowed_pods=int(table.allowed_pods[row]),
            )
            for name, row in table.rows.items()
        ]
        placed = {key: pod.node_name for key, pod in self.pods.items() if pod.node_name}
        pending = {key: self.why.get(key, "not tried") for key, pod in self.pods.items() if not pod.node_name}
        return Result(placements=placed, pending=pending, preempted=tuple(self.preempted), nodes=tuple(nodes))

    def _look_up(self, resource: Resource, obj: Object) -> None:
        if resource.namespaced:
            obj = {**obj, "metadata": {"namespace": "default", **obj.get("metadata", {})}}
        old = self.core.cluster.lister(resource).get(objects.key_of(obj))
        self.core.cluster.put(resource, obj)
        self._tell(lookup_events(resource, old, obj))

    def _forget(self, resource: Resource, key: str) -> None:
        key = f"default/{key}" if resource.namespaced and "/" not in key else key
        old = self.core.cluster.lister(resource).get(key)
        if old is None:
            raise ScenarioError(f"delete: there is no {resource.kind} {key}")
        self.core.cluster.remove(resource, key)
        self._tell(lookup_events(resource, old, None))

    def _create_pod(self, obj: Object) -> None:
        metadata = {"namespace": "default", **obj.get("metadata", {})}
        metadata.setdefault("uid", f"{metadata['namespace']}/{metadata['name']}")
        pod = parse_pod({**obj, "metadata": metadata})
        self.pods[pod.key] = pod
        if pod.node_name:
            self.core.cluster.nodes.add_pod(pod)
            self._tell(pod_events(None, pod.obj))
        elif self.core.framework_of(pod) is None:
            self.why[pod.key] = f"no profile is named {pod.scheduler_name}"
        else:
            self.queue.add(pod, self.now_s)

    def _delete_pod(self, key: str) -> None:
        pod = self.pods.pop(key, None)
        if pod is None:
            raise ScenarioError(f"delete: there is no pod {key}")
        self.queue.remove(pod.uid)
        self.core.cluster.nominations.withdraw(pod.uid)
        if self.core.cluster.nodes.remove_pod(pod.uid) is not None:
            self._tell(pod_events({**pod.obj, "spec": {**pod.obj["spec"], "nodeName": pod.node_name}}, None))

    def _try(self, pod: PodInfo) -> None:
        try:
            decision = self.core.decide(pod)
        except PluginFailed as failure:
            self._refuse(pod, str(failure), frozenset({failure.plugin}))
            return
        if not decision.node_name:
            self._not_placed(pod, decision)
            return
        assumed = self.core.assume(pod, decision.node_name)
        if isinstance(assumed, NotReserved):
            self._refuse(pod, not_placed(assumed.rejection.reasons), frozenset({assumed.plugin}))
            return
        self.queue.remove(pod.uid)
        self.pods[pod.key] = assumed
        self.why.pop(pod.key, None)
        spec = {**pod.obj["spec"], "nodeName": decision.node_name}
        self._tell(pod_events(None, {**pod.obj, "spec": spec}))

    def _refuse(self, pod: PodInfo, why: str, plugins: frozenset[str]) -> None:
        """Here a plugin that failed is not asked again until something changes: time alone would not mend it."""
        self.why[pod.key] = why
        self.queue.fail(pod.uid, plugins, self.now_s)

    def _not_placed(self, pod: PodInfo, decision: Decision) -> None:
        diagnosis, nomination = decision.diagnosis, decision.nomination
        assert diagnosis is not None
        self.why[pod.key] = diagnosis.message
        if isinstance(nomination, Nomination):
            self.core.cluster.nominations.nominate(pod, nomination.node_name)
            for victim in nomination.victims:
                self.preempted.append(victim.key)
                self._delete_pod(victim.key)
        elif isinstance(nomination, NoNomination) and nomination.clear_nomination:
            self.core.cluster.nominations.withdraw(pod.uid)
        self.queue.fail(pod.uid, diagnosis.plugins, self.now_s)

    def _tell(self, events: Sequence[ClusterEvent]) -> None:
        for event in events:
            self.queue.on_event(event, self.now_s)


def simulate(scenario: Mapping[str, Any], plugins: Sequence[PluginSpec]) -> Result:
    """Run a scenario to its end. Raises ``ScenarioError`` and ``ConfigurationError``."""
    for name in scenario:
        if name not in ("seed", "configuration", "steps"):
            raise ScenarioError(f'{name}: unknown field "{name}"')
    configuration = read_configuration(scenario.get("configuration") or {}, plugins)
    if configuration.extenders:
        raise ConfigurationError("extenders: Unsupported value: a simulation calls nobody")
    cluster = Cluster()
    simulation = Simulation(
        core=SchedulerCore(configuration.frameworks, cluster, seed=int(scenario.get("seed") or 0)),
        queue=SchedulingQueue(
            configuration.frameworks,
            cluster,
            initial_backoff_s=configuration.initial_backoff_s,
            max_backoff_s=configuration.max_backoff_s,
        ),
    )
    for index, step in enumerate(scenario.get("steps") or ()):
        _run(simulation, step, f"steps[{index}]")
        simulation.settle()
        simulation.now_s += 1.0
    return simulation.result()


def _run(simulation: Simulation, step: Mapping[str, Any], path: str) -> None:
    for name in step:
        if name not in ("create", "count", "cycle", "delete"):
            raise ScenarioError(f'{path}.{name}: unknown field "{name}"')
    if ("create" in step) == ("delete" in step):
        raise ScenarioError(f"{path}: needs either create or delete")
    if "delete" in step:
        try:
            simulation.delete(str(step["delete"].get("kind")), str(step["delete"].get("name")))
        except ScenarioError as error:
            raise ScenarioError(f"{path}.{error}") from error
        return
    count = step.get("count")
    for number in range(1 if count is None else int(count)):
        obj = _copy(step["create"])
        if count is not None:
            obj.setdefault("metadata", {})
            obj["metadata"]["name"] = f"{obj['metadata'].get('name', obj.get('kind', '').lower())}-{number}"
        if obj.get("kind") == "Node":
            labels = obj.setdefault("metadata", {}).setdefault("labels", {})
            labels.setdefault("kubernetes.io/hostname", objects.name(obj))
        for field_path, values in (step.get("cycle") or {}).items():
            _put(obj, field_path, values[number % len(values)])
        try:
            simulation.create(obj)
        except (ValueError, KeyError) as error:
            raise ScenarioError(f"{path}.create: {error}") from error


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(entry) for key, entry in value.items()}
    return [_copy(entry) for entry in value] if isinstance(value, list) else value


def _put(obj: Object, path: str, value: Any) -> None:
    """``metadata.labels.zone``; label keys with dots are written in brackets: ``metadata.labels[topology…/zone]``."""
    head, bracket, rest = path.partition("[")
    keys = [part for part in head.split(".") if part]
    if bracket:
        keys.append(rest.removesuffix("]"))
    for key in keys[:-1]:
        obj = obj.setdefault(key, {})
    obj[keys[-1]] = _copy(value)
