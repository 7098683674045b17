"""NodeResourcesFit: the node has what the pod requests; scored by how full the node would be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.scheduler.cluster import DEVICE_CLASS_PREFIX, Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import (
    Codes,
    EnqueuePlugin,
    FilterPlugin,
    PreFilterPlugin,
    PreScorePlugin,
    Rejection,
    ScorePlugin,
    Scores,
)
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, ArgsError, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.pod_requests import amount, is_extended_resource, is_scheduled, pod_requests
from steersman.scheduler.resource_scoring import (
    DEFAULT_RESOURCES,
    Shape,
    WeightedResource,
    demands,
    least_allocated,
    most_allocated,
    requested_to_capacity_ratio,
    resources_of,
    shape_of,
)

Strategy = Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"]
_STRATEGIES: dict[str, Strategy] = {
    "LeastAllocated": "LeastAllocated",
    "MostAllocated": "MostAllocated",
    "RequestedToCapacityRatio": "RequestedToCapacityRatio",
}

_PODS_BIT = 1
_UNRESOLVABLE_BIT = 1 << 62
"""Codes are bit sets: too many pods, then one bit for each requested resource, and whether the node is too small
even when empty."""


class Wanted(Struct, frozen=True, kw_only=True):
    """The resources a pod requests: (name, row of the table's columns, amount)."""

    resources: tuple[tuple[str, int, int], ...]
    by_devices: frozenset[str]
    """Devices stand for these on nodes that do not offer them; that is the business of DynamicResources."""


class NodeResourcesFit(Struct, frozen=True, kw_only=True):
    NAME: ClassVar[str] = "NodeResourcesFit"
    LOCAL: ClassVar[bool] = True
    READS_PODS: ClassVar[bool] = True
    READS_AMOUNTS: ClassVar[bool] = True

    ignored_resources: frozenset[str] = frozenset()
    ignored_groups: frozenset[str] = frozenset()
    strategy: Strategy = "LeastAllocated"
    resources: tuple[WeightedResource, ...] = DEFAULT_RESOURCES
    shape: Shape | None = None

    @classmethod
    def from_args(cls, args: Args) -> NodeResourcesFit:
        reject_unknown(args, ("ignoredResources", "ignoredResourceGroups", "scoringStrategy"))
        chosen = args.get("scoringStrategy") or {}
        reject_unknown(chosen, ("type", "resources", "requestedToCapacityRatio"), "scoringStrategy")
        strategy = _STRATEGIES.get(chosen.get("type") or "LeastAllocated")
        if strategy is None:
            raise ArgsError(f'scoringStrategy.type: Unsupported value: "{chosen["type"]}"')
        shape = None
        if strategy == "RequestedToCapacityRatio":
            ratio = chosen.get("requestedToCapacityRatio") or {}
            reject_unknown(ratio, ("shape",), "scoringStrategy.requestedToCapacityRatio")
            shape = shape_of(ratio.get("shape"), "scoringStrategy.requestedToCapacityRatio.shape")
        groups = frozenset(args.get("ignoredResourceGroups") or ())
        for group in groups:
            if "/" in group:
                raise ArgsError(
                    f"ignoredResourceGroups: Invalid value: \"{group}\": resource group name can't contain '/'"
                )
        return cls(
            ignored_resources=frozenset(args.get("ignoredResources") or ()),
            ignored_groups=groups,
            strategy=strategy,
            resources=resources_of(chosen.get("resources"), "scoringStrategy.resources"),
            shape=shape,
        )

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Wanted:
        resources = tuple(
            (name, cluster.nodes.resource(name), value)
            for name, value in pod.requests.amounts.items()
            if value > 0 and is_scheduled(name) and not self._is_ignored(name)
        )
        by_devices = frozenset(
            name for name, _, _ in resources if "/" in name and cluster.device_class_of(name) is not None
        )
        return Wanted(resources=resources, by_devices=by_devices)

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        codes = (table.pod_count[rows] >= table.allowed_pods[rows]).astype(np.int64)
        for bit, (name, index, value) in enumerate(state.resources, start=1):
            allocatable = table.allocatable[index, rows]
            short = value > allocatable - table.requested[index, rows]
            if name in state.by_devices:
                short &= allocatable > 0
            if np.count_nonzero(short):
                codes += np.where(short, 1 << bit, 0)
                codes |= np.where(short & (value > allocatable), _UNRESOLVABLE_BIT, 0)
        return codes

    def rejection(self, state: Any, code: int) -> Rejection:
        reasons = ["Too many pods"] if code & _PODS_BIT else []
        reasons += [f"Insufficient {name}" for bit, (name, _, _) in enumerate(state.resources, 1) if code & (1 << bit)]
        return Rejection(reasons=tuple(reasons), unresolvable=bool(code & _UNRESOLVABLE_BIT))

    def pre_score(self, pod: PodInfo, cluster: Cluster, feasible: Mask) -> Any:
        return demands(pod, self.resources, non_zero=True)

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        match self.strategy:
            case "LeastAllocated":
                return least_allocated(state, table, rows)
            case "MostAllocated":
                return most_allocated(state, table, rows)
            case _:
                assert self.shape is not None
                return requested_to_capacity_ratio(self.shape, state, table, rows)

    def events(self) -> Sequence[EventInterest]:
        return (
            EventInterest(resource="Pod", actions=frozenset({"Delete", "UpdatePodScaleDown"}), hint=_pod_makes_room),
            EventInterest(
                resource="Node", actions=frozenset({"Add", "UpdateNodeAllocatable"}), hint=self._node_has_room_now
            ),
            EventInterest(resource="DeviceClass", actions=frozenset({"Add", "Update"}), hint=_stands_for_request),
        )

    def _is_ignored(self, resource: str) -> bool:
        if not is_extended_resource(resource):
            return False
        return resource in self.ignored_resources or resource.partition("/")[0] in self.ignored_groups

    def _node_has_room_now(self, pod: PodInfo, event: ClusterEvent) -> bool:
        wanted = {name: value for name, value in pod.requests.amounts.items() if value > 0 and is_scheduled(name)}
        after = _allocatable(event.new or {})
        if after.get("pods", 0) < 1 or any(value > after.get(name, 0) for name, value in wanted.items()):
            return False
        if event.old is None:
            return True
        before = _allocatable(event.old)
        return any(after.get(name, 0) > before.get(name, 0) for name in ("pods", *wanted))


def _allocatable(node: Object) -> dict[str, int]:
    stated = (node.get("status") or {}).get("allocatable") or {}
    return {name: amount(name, value) for name, value in stated.items()}


def _stands_for_request(pod: PodInfo, event: ClusterEvent) -> bool:
    """A device class was made, or stands for another resource than before, and the pod asks for that."""
    now = _stands_for(event.new or {})
    return not now.isdisjoint(pod.requests.amounts) and (event.old is None or _stands_for(event.old) != now)


def _stands_for(device_class: Object) -> set[str]:
    stated = (device_class.get("spec") or {}).get("extendedResourceName")
    return {DEVICE_CLASS_PREFIX + objects.name(device_class), *([stated] if stated else [])}


def _pod_makes_room(pod: PodInfo, event: ClusterEvent) -> bool:
    old, new = event.old or {}, event.new
    if new is None:
        return bool((old.get("spec") or {}).get("nodeName") or (old.get("status") or {}).get("nominatedNodeName"))
    if new["metadata"].get("uid") == pod.uid:
        return True
    if not (new.get("spec") or {}).get("nodeName"):
        return False
    before, after = pod_requests(old).amounts, pod_requests(new).amounts
    return any(before.get(name, 0) > after.get(name, 0) for name, value in pod.requests.amounts.items() if value > 0)


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin, PreScorePlugin, ScorePlugin, EnqueuePlugin]:
    plugin = NodeResourcesFit()
    return plugin, plugin, plugin, plugin, plugin
