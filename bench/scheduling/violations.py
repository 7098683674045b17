"""Constraints of a workload's pods that their placements break. There must be none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.scheduling.workloads import HOSTNAME, ZONE, Object
from steersman.meta.quantities import to_int, to_milli

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_UNITS = {"pods": to_int, "cpu": to_milli, "memory": to_int}


def violations(nodes: Sequence[Object], pods: Sequence[Object]) -> list[str]:
    """``pods`` are those that have a node, in the end. Looked at is what the workloads use: room, required node affinity,
    required affinity and anti-affinity by ``color``, spreading over zones."""
    labels = {node["metadata"]["name"]: node["metadata"].get("labels") or {} for node in nodes}
    return [
        *_crowded(nodes, pods),
        *_misplaced(labels, pods),
        *_apart_or_together(labels, pods),
        *_skewed(labels, pods),
    ]


def _crowded(nodes: Sequence[Object], pods: Sequence[Object]) -> Iterator[str]:
    used: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        place = pod["spec"]["nodeName"]
        used[place, "pods"] += 1
        for container in pod["spec"]["containers"]:
            for resource, value in container["resources"]["requests"].items():
                used[place, resource] += _UNITS[resource](value)
    room = {node["metadata"]["name"]: node["status"].get("allocatable") or {} for node in nodes}
    for (place, resource), amount in used.items():
        if amount > _UNITS[resource](room[place].get(resource, 0)):
            yield f"{place} holds {amount} of {resource}"


def _misplaced(labels: Mapping[str, Mapping[str, str]], pods: Sequence[Object]) -> Iterator[str]:
    for pod in pods:
        terms = (_affinity(pod, "nodeAffinity", {})).get("nodeSelectorTerms")
        here = labels[pod["spec"]["nodeName"]]
        if terms and not any(
            all(here.get(each["key"]) in each["values"] for each in term["matchExpressions"]) for term in terms
        ):
            yield f"{pod['metadata']['name']} is on {pod['spec']['nodeName']} against its node affinity"


def _apart_or_together(labels: Mapping[str, Mapping[str, str]], pods: Sequence[Object]) -> Iterator[str]:
    """The first pod of a color may be alone although it wants company of its color."""
    by_domain = Counter((key, labels[_node(pod)].get(key), _color(pod)) for pod in pods for key in (HOSTNAME, ZONE))
    by_color = Counter(map(_color, pods))
    for pod in pods:
        for kind in ("podAffinity", "podAntiAffinity"):
            for term in _affinity(pod, kind, ()):
                key, color = term["topologyKey"], term["labelSelector"]["matchLabels"]["color"]
                company = by_domain[key, labels[_node(pod)].get(key), color] - (_color(pod) == color)
                is_first = _color(pod) == color and by_color[color] == 1
                if company if kind == "podAntiAffinity" else not (company or is_first):
                    yield f"{pod['metadata']['name']} has {company} others of {color} by {key} against its {kind}"


def _skewed(labels: Mapping[str, Mapping[str, str]], pods: Sequence[Object]) -> Iterator[str]:
    """By the last pod: every one before it made the skew no larger than it is allowed to be."""
    constraints = {str(each): each for pod in pods for each in pod["spec"].get("topologySpreadConstraints") or ()}
    for each in constraints.values():
        key, color = each["topologyKey"], each["labelSelector"]["matchLabels"]["color"]
        counts = Counter({here[key]: 0 for here in labels.values() if key in here})
        counts.update(labels[_node(pod)][key] for pod in pods if _color(pod) == color)
        if max(counts.values()) - min(counts.values()) > each["maxSkew"]:
            yield f"{color} is spread by {key} as {dict(counts)}"


def _affinity(pod: Object, kind: str, default: Any) -> Any:
    return ((pod["spec"].get("affinity") or {}).get(kind) or {}).get(_REQUIRED) or default


def _node(pod: Object) -> str:
    return str(pod["spec"]["nodeName"])


def _color(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get("color", ""))
