"""A scheduler that is deliberately slow and simple: one node and one pod at a time, straight from the documentation.

The property tests hold the vector plugins against it. It shares no code with them, except selectors and quantities.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.meta.selectors import Requirement, label_selector_of

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
WEIGHTS = {
    "TaintToleration": 3, "NodeAffinity": 2, "NodeResourcesFit": 1, "PodTopologySpread": 2, "InterPodAffinity": 2,
    "NodeResourcesBalancedAllocation": 1, "ImageLocality": 1,
}  # fmt: skip


@dataclass
class World:
    """Nodes, the pods on each of them, and namespaces."""

    nodes: list[Object]
    pods: dict[str, list[Object]] = field(default_factory=lambda: defaultdict(list))
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)

    def everywhere(self) -> Iterable[tuple[Object, Object]]:
        for node in self.nodes:
            for pod in self.pods[name(node)]:
                yield node, pod


def name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def request(pod: Object, resource: str, default: int = 0) -> int:
    """In milli for CPU, else in units; ``default`` per container that states nothing."""
    total = 0
    for container in pod["spec"]["containers"]:
        stated = ((container.get("resources") or {}).get("requests") or {}).get(resource)
        total += default if stated is None else whole(resource, stated)
    return total


def whole(resource: str, value: str) -> int:
    return math.ceil(quantity(value) * (1000 if resource == "cpu" else 1))


def allocatable(node: Object, resource: str) -> int:
    return whole(resource, node["status"]["allocatable"].get(resource, "0"))


# -- filter ------------------------------------------------------------------------------------------------------------


def tolerated(taint: Object, pod: Object) -> bool:
    for entry in pod["spec"].get("tolerations") or []:
        if entry.get("effect") and entry["effect"] != taint["effect"]:
            continue
        if entry.get("key") and entry["key"] != taint["key"]:
            continue
        if entry.get("operator") == "Exists" or entry.get("value", "") == taint.get("value", ""):
            return True
    return False


def untolerated(node: Object, pod: Object) -> bool:
    return any(
        taint["effect"] != "PreferNoSchedule" and not tolerated(taint, pod)
        for taint in node["spec"].get("taints") or []
    )


def matches_term(term: Object, node: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(
        Requirement(entry["key"], entry["operator"], frozenset(entry.get("values") or ())).matches(labels(node))
        for entry in expressions
    ) and all((name(node) in entry["values"]) == (entry["operator"] == "In") for entry in fields)


def node_affinity(pod: Object) -> Object:
    return (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}


def selected(node: Object, pod: Object) -> bool:
    for key, value in (pod["spec"].get("nodeSelector") or {}).items():
        if labels(node).get(key) != value:
            return False
    required = node_affinity(pod).get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(matches_term(term, node) for term in required["nodeSelectorTerms"])


def host_ports(pod: Object) -> list[tuple[str, int, str]]:
    return [
        (port.get("protocol", "TCP"), port["hostPort"], port.get("hostIP", "0.0.0.0"))
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or []
    ]


def ports_conflict(node: Object, pod: Object, world: World) -> bool:
    for protocol, port, address in host_ports(pod):
        for other in world.pods[name(node)]:
            for their_protocol, their_port, their_address in host_ports(other):
                same_address = address == their_address or "0.0.0.0" in (address, their_address)
                if (protocol, port) == (their_protocol, their_port) and same_address:
                    return True
    return False


def lacking(node: Object, pod: Object, world: World) -> list[str]:
    here = world.pods[name(node)]
    reasons = []
    if len(here) + 1 > allocatable(node, "pods"):
        reasons.append("Too many pods")
    wanted = {
        resource
        for container in pod["spec"]["containers"]
        for resource in (container.get("resources") or {}).get("requests") or {}
    }
    for resource in wanted:
        used = sum(request(other, resource) for other in here)
        if request(pod, resource) > allocatable(node, resource) - used and request(pod, resource):
            reasons.append(f"Insufficient {resource}")
    return reasons


def constraints(pod: Object, action: str) -> list[Object]:
    return [
        entry for entry in pod["spec"].get("topologySpreadConstraints") or [] if entry["whenUnsatisfiable"] == action
    ]


def counted(constraint: Object, node: Object, pod: Object) -> bool:
    if constraint.get("nodeAffinityPolicy", "Honor") == "Honor" and not selected(node, pod):
        return False
    return constraint.get("nodeTaintsPolicy", "Ignore") != "Honor" or not untolerated(node, pod)


def siblings(constraint: Object, node: Object, pod: Object, world: World) -> int:
    selector = label_selector_of(constraint.get("labelSelector"))
    if selector.is_everything:
        return 0
    return sum(
        1
        for other in world.pods[name(node)]
        if other["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and not other["metadata"].get("deletionTimestamp")
        and selector.matches(labels(other))
    )


def spread_failure(node: Object, pod: Object, world: World) -> str:
    hard = constraints(pod, "DoNotSchedule")
    for constraint in hard:
        key = constraint["topologyKey"]
        if key not in labels(node):
            return "node(s) didn't match pod topology spread constraints (missing required label)"
        counts: Counter[str] = Counter()
        for other in world.nodes:
            if all(each["topologyKey"] in labels(other) for each in hard) and counted(constraint, other, pod):
                counts[labels(other)[key]] += siblings(constraint, other, pod, world)
        least = min(counts.values(), default=0)
        if len(counts) < constraint.get("minDomains", 1):
            least = 0
        self_match = label_selector_of(constraint.get("labelSelector")).matches(labels(pod))
        if counts[labels(node)[key]] + self_match - least > constraint["maxSkew"]:
            return "node(s) didn't match pod topology spread constraints"
    return ""


def term_matches(term: Object, carrier: Object, other: Object, world: World) -> bool:
    namespace = other["metadata"]["namespace"]
    names, selector = term.get("namespaces") or [], term.get("namespaceSelector")
    if not names and selector is None:
        names = [carrier["metadata"]["namespace"]]
    in_namespace = namespace in names
    if selector is not None:
        in_namespace = in_namespace or label_selector_of(selector).matches(world.namespaces.get(namespace, {}))
    return in_namespace and label_selector_of(term.get("labelSelector")).matches(labels(other))


def terms(pod: Object, side: str, kind: str) -> list[Any]:
    field_name = f"{kind}DuringSchedulingIgnoredDuringExecution"
    return ((pod["spec"].get("affinity") or {}).get(side) or {}).get(field_name) or []


def same_domain(key: str, one: Object, other: Object) -> bool:
    return key in labels(one) and labels(one)[key] == labels(other).get(key)


def affinity_failure(node: Object, pod: Object, world: World) -> str:
    wanted = terms(pod, "podAffinity", "required")
    if wanted:
        friends = [
            where for where, other in world.everywhere() if all(term_matches(t, pod, other, world) for t in wanted)
        ]
        if any(term["topologyKey"] not in labels(node) for term in wanted):
            return "node(s) didn't match pod affinity rules"
        near = all(any(same_domain(term["topologyKey"], node, where) for where in friends) for term in wanted)
        known = any(term["topologyKey"] in labels(where) for where in friends for term in wanted)
        first = not known and all(term_matches(term, pod, pod, world) for term in wanted)
        if not near and not first:
            return "node(s) didn't match pod affinity rules"
    for where, other in world.everywhere():
        for term in terms(pod, "podAntiAffinity", "required"):
            if term_matches(term, pod, other, world) and same_domain(term["topologyKey"], node, where):
                return "node(s) didn't match pod anti-affinity rules"
    for where, other in world.everywhere():
        for term in terms(other, "podAntiAffinity", "required"):
            if term_matches(term, other, pod, world) and same_domain(term["topologyKey"], node, where):
                return "node(s) didn't satisfy existing pods anti-affinity rules"
    return ""


def reasons(node: Object, pod: Object, world: World) -> list[str]:
    """Why ``pod`` does not fit on ``node``, by the first plugin that says so; empty where it fits."""
    if node["spec"].get("unschedulable"):
        closed = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        if not tolerated(closed, pod):
            return ["node(s) were unschedulable"]
    if untolerated(node, pod):
        return ["node(s) had untolerated taint(s)"]
    if not selected(node, pod):
        return ["node(s) didn't match Pod's node affinity/selector"]
    if ports_conflict(node, pod, world):
        return ["node(s) didn't have free ports for the requested pod ports"]
    found = lacking(node, pod, world)
    if found:
        return found
    return [text] if (text := spread_failure(node, pod, world) or affinity_failure(node, pod, world)) else []


# -- score -------------------------------------------------------------------------------------------------------------


def normalized(raw: list[int], *, reverse: bool) -> list[int]:
    largest = max(raw, default=0)
    if largest == 0:
        return [100] * len(raw) if reverse else raw
    return [100 - 100 * score // largest if reverse else 100 * score // largest for score in raw]


def least_allocated(node: Object, pod: Object, world: World) -> int:
    scores = []
    for resource, default in (("cpu", 100), ("memory", 200 * 2**20)):
        capacity = allocatable(node, resource)
        if not capacity:
            continue
        used = sum(request(other, resource, default) for other in (*world.pods[name(node)], pod))
        scores.append(0 if used > capacity else (capacity - used) * 100 // capacity)
    return sum(scores) // len(scores) if scores else 0


def balance(node: Object, pod: Object, world: World) -> int:
    def evenness(pods: list[Object]) -> int:
        fractions = []
        for resource in ("cpu", "memory"):
            capacity = allocatable(node, resource)
            if capacity:
                fractions.append(min(1.0, sum(request(other, resource) for other in pods) / capacity))
        deviation = abs((fractions[0] - fractions[1]) / 2) if len(fractions) == 2 else 0.0
        return int((1 - deviation) * 100)

    here = world.pods[name(node)]
    return 50 + (50 + evenness([*here, pod]) - evenness(here)) // 2


def spread_scores(nodes: list[Object], pod: Object, world: World) -> list[int] | None:
    soft = constraints(pod, "ScheduleAnyway")
    if not soft:
        return None

    def complete(node: Object) -> bool:
        return all(each["topologyKey"] in labels(node) for each in soft)

    candidates = [node for node in nodes if complete(node)]
    raw: list[int | None] = []
    for node in nodes:
        if not complete(node):
            raw.append(None)
            continue
        total = 0.0
        for constraint in soft:
            key = constraint["topologyKey"]
            if key == HOSTNAME:
                count, size = siblings(constraint, node, pod, world), len(candidates)
            else:
                count = sum(
                    siblings(constraint, other, pod, world)
                    for other in world.nodes
                    if complete(other) and counted(constraint, other, pod) and same_domain(key, node, other)
                )
                size = len({labels(other)[key] for other in candidates})
            total += count * math.log(size + 2) + (constraint["maxSkew"] - 1)
        raw.append(math.floor(total + 0.5))
    present = [score for score in raw if score is not None]
    least, most = min(present, default=0), max(present, default=0)
    return [0 if score is None else (100 if most == 0 else 100 * (most + least - score) // most) for score in raw]


def affinity_scores(nodes: list[Object], pod: Object, world: World) -> list[int]:
    raw = []
    for node in nodes:
        score = 0
        for where, other in world.everywhere():
            gains = [
                *((t["podAffinityTerm"], pod, other, t["weight"]) for t in terms(pod, "podAffinity", "preferred")),
                *((t["podAffinityTerm"], pod, other, -t["weight"]) for t in terms(pod, "podAntiAffinity", "preferred")),
                *((t, other, pod, 1) for t in terms(other, "podAffinity", "required")),
                *((t["podAffinityTerm"], other, pod, t["weight"]) for t in terms(other, "podAffinity", "preferred")),
                *((t["podAffinityTerm"], other, pod, -t["weight"])
                  for t in terms(other, "podAntiAffinity", "preferred")),
            ]  # fmt: skip
            for term, carrier, target, weight in gains:
                if term_matches(term, carrier, target, world) and same_domain(term["topologyKey"], node, where):
                    score += weight
        raw.append(score)
    least, most = min(raw), max(raw)
    return [int(100 * ((score - least) / (most - least))) if most > least else 0 for score in raw]


def image_score(node: Object, pod: Object, world: World) -> int:
    def images(of: Object) -> dict[str, int]:
        return {each: entry["sizeBytes"] for entry in of["status"].get("images") or [] for each in entry["names"]}

    total = 0
    for container in pod["spec"]["containers"]:
        image = container["image"] if ":" in container["image"] else f"{container['image']}:latest"
        if image in images(node):
            spread = sum(image in images(other) for other in world.nodes) / len(world.nodes)
            total += int(images(node)[image] * spread)
    least, most = 23 * 2**20, 1000 * 2**20 * len(pod["spec"]["containers"])
    return 100 * (min(max(total, least), most) - least) // (most - least)


def scores(nodes: list[Object], pod: Object, world: World) -> dict[str, list[int]]:
    """Weighted scores of the feasible ``nodes`` by plugin; plugins without a say are left out or all zero."""
    found: dict[str, list[int]] = {
        "TaintToleration": normalized(
            [
                sum(
                    taint["effect"] == "PreferNoSchedule" and not tolerated(taint, pod)
                    for taint in node["spec"].get("taints") or []
                )
                for node in nodes
            ],
            reverse=True,
        ),
        "NodeAffinity": normalized(
            [
                sum(
                    entry["weight"]
                    for entry in node_affinity(pod).get("preferredDuringSchedulingIgnoredDuringExecution") or []
                    if matches_term(entry["preference"], node)
                )
                for node in nodes
            ],
            reverse=False,
        ),
        "NodeResourcesFit": [least_allocated(node, pod, world) for node in nodes],
        "InterPodAffinity": affinity_scores(nodes, pod, world),
        "ImageLocality": [image_score(node, pod, world) for node in nodes],
    }
    if request(pod, "cpu") or request(pod, "memory"):
        found["NodeResourcesBalancedAllocation"] = [balance(node, pod, world) for node in nodes]
    spread = spread_scores(nodes, pod, world)
    if spread is not None:
        found["PodTopologySpread"] = spread
    return {plugin: [WEIGHTS[plugin] * score for score in values] for plugin, values in found.items()}
