"""How full a node would be, as a score: the strategies of NodeResourcesFit and the balance of its resources.

Integer arithmetic as upstream does it, so that equal clusters get equal scores.
Source: "Resource Bin Packing" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from steersman.scheduler.framework import MAX_NODE_SCORE, Scores
from steersman.scheduler.label_column import Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import ArgsError, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.pod_requests import is_scalar_resource

Amounts = NDArray[np.int64]
MAX_CUSTOM_SCORE = 10
"""Largest score of a shape point in configuration; scaled to ``MAX_NODE_SCORE``."""


class WeightedResource(Struct, frozen=True, kw_only=True):
    """A resource that counts in a score."""

    name: str
    weight: int


class Demand(Struct, frozen=True, kw_only=True):
    """What the pod asks of one scored resource: (name, amount, weight)."""

    resource: str
    amount: int
    weight: int


DEFAULT_RESOURCES = (WeightedResource(name="cpu", weight=1), WeightedResource(name="memory", weight=1))


def resources_of(entries: Sequence[Mapping[str, Any]] | None, path: str) -> tuple[WeightedResource, ...]:
    """``resources`` of plugin arguments. Raises ``ArgsError``."""
    if not entries:
        return DEFAULT_RESOURCES
    seen: set[str] = set()
    found = []
    for index, entry in enumerate(entries):
        reject_unknown(entry, ("name", "weight"), f"{path}[{index}]")
        name, weight = str(entry.get("name") or ""), entry.get("weight") or 1
        if name in seen:
            raise ArgsError(f'{path}[{index}].name: Duplicate value: "{name}"')
        if not isinstance(weight, int) or not 1 <= weight <= 100:
            raise ArgsError(f"{path}[{index}].weight: Invalid value: {weight!r}: not in valid range (0, 100]")
        seen.add(name)
        found.append(WeightedResource(name=name, weight=weight))
    return tuple(found)


def demands(pod: PodInfo, resources: Sequence[WeightedResource], *, non_zero: bool) -> tuple[Demand, ...]:
    """Scalar resources that the pod does not ask for are left out: they say nothing about its place. With ``non_zero``,
    which NodeResourcesFit scores, upstream counts what the containers request, whatever the pod as a whole does."""
    found = []
    requests = (non_zero and pod.requests.of_containers) or pod.requests
    for entry in resources:
        wanted = requests.amounts.get(entry.name, 0)
        if non_zero and entry.name == "cpu":
            wanted = requests.non_zero_milli_cpu
        elif non_zero and entry.name == "memory":
            wanted = requests.non_zero_memory_bytes
        if wanted or not is_scalar_resource(entry.name):
            found.append(Demand(resource=entry.name, amount=wanted, weight=entry.weight))
    return tuple(found)


def in_use(table: NodeTable, resource: str, rows: Rows, *, non_zero: bool) -> Amounts:
    """What the pods of each node request; ``non_zero`` counts defaults for CPU and memory that is not requested."""
    if non_zero and resource in ("cpu", "memory"):
        return table.non_zero_requested[0 if resource == "cpu" else 1, rows]
    index = table.resource(resource)
    return table.requested[index, rows]


def offered(table: NodeTable, resource: str, rows: Rows) -> Amounts:
    """What each node has of it. A resource that the table did not know makes its columns anew, so that is asked first."""
    index = table.resource(resource)
    return table.allocatable[index, rows]


def _weighted_mean(parts: Sequence[tuple[Scores, Amounts, int]], *, shape: tuple[int, ...]) -> Scores:
    """Mean of (score, allocatable, weight) over the resources that a node has, rounded down."""
    total = np.zeros(shape, dtype=np.int64)
    if all(np.count_nonzero(allocatable) == allocatable.size for _, allocatable, _ in parts):
        for score, _, weight in parts:
            total += score * weight if weight != 1 else score
        return total // max(sum(weight for _, _, weight in parts), 1)
    weights = np.zeros(shape, dtype=np.int64)
    for score, allocatable, weight in parts:
        has = allocatable != 0
        total += np.where(has, score * weight, 0)
        weights += np.where(has, weight, 0)
    return total // np.maximum(weights, 1)


def least_allocated(wanted: Sequence[Demand], table: NodeTable, rows: Rows) -> Scores:
    """Most of what is left: spreads pods."""
    parts = []
    for demand in wanted:
        allocatable = offered(table, demand.resource, rows)
        left = allocatable - in_use(table, demand.resource, rows, non_zero=True)
        left -= demand.amount
        np.maximum(left, 0, out=left)
        left *= MAX_NODE_SCORE
        left //= np.maximum(allocatable, 1)
        parts.append((left, allocatable, demand.weight))
    return _weighted_mean(parts, shape=table.alive[rows].shape)


def most_allocated(wanted: Sequence[Demand], table: NodeTable, rows: Rows) -> Scores:
    """Least of what is left: packs pods."""
    parts = []
    for demand in wanted:
        allocatable = offered(table, demand.resource, rows)
        used = in_use(table, demand.resource, rows, non_zero=True) + demand.amount
        score = np.minimum(used, allocatable) * MAX_NODE_SCORE // np.maximum(allocatable, 1)
        parts.append((score, allocatable, demand.weight))
    return _weighted_mean(parts, shape=table.alive[rows].shape)


class Shape(Struct, frozen=True, kw_only=True):
    """A broken line from utilisation (percent) to score (0 .. ``MAX_NODE_SCORE``)."""

    utilization: tuple[int, ...]
    score: tuple[int, ...]

    def at(self, utilization: Amounts) -> Scores:
        """Integer interpolation, cut towards zero."""
        result = np.full(utilization.shape, self.score[-1], dtype=np.int64)
        for index in range(len(self.utilization) - 1, 0, -1):
            below, above = self.utilization[index - 1], self.utilization[index]
            rise = (self.score[index] - self.score[index - 1]) * (utilization - below)
            step = np.sign(rise) * (np.abs(rise) // (above - below))
            result = np.where(utilization <= above, self.score[index - 1] + step, result)
        return np.where(utilization <= self.utilization[0], self.score[0], result)


def shape_of(points: Sequence[Mapping[str, Any]] | None, path: str) -> Shape:
    """Raises ``ArgsError``."""
    if not points:
        raise ArgsError(f"{path}: Required value: at least one point must be specified")
    utilization: list[int] = []
    score: list[int] = []
    for index, point in enumerate(points):
        reject_unknown(point, ("utilization", "score"), f"{path}[{index}]")
        at, value = int(point.get("utilization") or 0), int(point.get("score") or 0)
        if not 0 <= at <= 100:
            raise ArgsError(f"{path}[{index}].utilization: Invalid value: {at}: not in valid range [0-100]")
        if utilization and at <= utilization[-1]:
            raise ArgsError(
                f"{path}[{index}].utilization: Invalid value: {at}: utilization values must be sorted in increasing order"
            )
        if not 0 <= value <= MAX_CUSTOM_SCORE:
            raise ArgsError(f"{path}[{index}].score: Invalid value: {value}: not in valid range [0-{MAX_CUSTOM_SCORE}]")
        utilization.append(at)
        score.append(value * (MAX_NODE_SCORE // MAX_CUSTOM_SCORE))
    return Shape(utilization=tuple(utilization), score=tuple(score))


def requested_to_capacity_ratio(shape: Shape, wanted: Sequence[Demand], table: NodeTable, rows: Rows) -> Scores:
    """The shape's score at each resource's utilisation; resources that score 0 do not count."""
    size = table.alive[rows].shape
    total, weights = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    for demand in wanted:
        allocatable = offered(table, demand.resource, rows)
        used = in_use(table, demand.resource, rows, non_zero=True) + demand.amount
        utilization = np.where(used > allocatable, 100, used * 100 // np.maximum(allocatable, 1))
        score = np.where(allocatable > 0, shape.at(utilization), 0)
        total += score * demand.weight
        weights += np.where(score > 0, demand.weight, 0)
    return np.floor(total / np.maximum(weights, 1) + 0.5).astype(np.int64)


def balance(wanted: Sequence[Demand], table: NodeTable, rows: Rows) -> Scores:
    """How much more evenly used the node's resources would be: 75 for no change, towards 100 better, 50 worse."""
    after, before, has = [], [], []
    for demand in wanted:
        allocatable = offered(table, demand.resource, rows)
        used = in_use(table, demand.resource, rows, non_zero=False)
        divisor = np.maximum(allocatable, 1).astype(np.float64)
        has.append(allocatable != 0)
        after.append(np.minimum((used + demand.amount) / divisor, 1.0))
        before.append(np.minimum(used / divisor, 1.0))
    half = MAX_NODE_SCORE // 2
    both = np.logical_and(*has) if len(has) == 2 else None
    if both is not None and np.count_nonzero(both) == both.size:
        return half + (half + _evenness_of_two(*after) - _evenness_of_two(*before)) // 2
    return half + (half + _evenness(after, has) - _evenness(before, has)) // 2


def _evenness_of_two(one: NDArray[np.float64], other: NDArray[np.float64]) -> Scores:
    """``_evenness`` where every node has both of two resources."""
    return ((1 - np.abs((one - other) / 2)) * MAX_NODE_SCORE).astype(np.int64)


def _evenness(fractions: Sequence[NDArray[np.float64]], has: Sequence[NDArray[np.bool_]]) -> Scores:
    """(1 - standard deviation of the fractions of the resources a node has) · ``MAX_NODE_SCORE``, cut."""
    if len(fractions) == 2:
        deviation = np.where(has[0] & has[1], np.abs((fractions[0] - fractions[1]) / 2), 0.0)
    else:
        count = sum(entry.astype(np.int64) for entry in has)
        divisor = np.maximum(count, 1)
        mean = sum(np.where(own, part, 0.0) for part, own in zip(fractions, has, strict=True)) / divisor
        squares = sum(np.where(own, (part - mean) ** 2, 0.0) for part, own in zip(fractions, has, strict=True))
        low = np.minimum.reduce([np.where(own, part, np.inf) for part, own in zip(fractions, has, strict=True)])
        high = np.maximum.reduce([np.where(own, part, -np.inf) for part, own in zip(fractions, has, strict=True)])
        spread = np.where(count == 2, high - low, 0.0) / 2
        deviation = np.where(count > 2, np.sqrt(squares / divisor), spread)
    return ((1 - deviation) * MAX_NODE_SCORE).astype(np.int64)
