"""Whether a pod that was bound to this node can run here: the node's last word, as upstream's kubelet has it.

Pure. A pod that is refused fails with the reason; it is never tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from steersman.kubelet.podspec import is_static
from steersman.kubelet.sandbox_config import forbidden_sysctls
from steersman.kubelet.status import TERMINAL, Verdict
from steersman.kubelet.taints import tolerates
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.podtotals import pod_totals
from steersman.meta.quantities import to_int, to_milli
from steersman.meta.selectors import Requirement, label_selector_of_map


class Shortage(Struct, frozen=True, kw_only=True):
    """Of one resource; CPU in thousandths."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def missing(self) -> int:
        """What others would have to free."""
        return self.requested - (self.capacity - self.used)

    @property
    def verdict(self) -> Verdict:
        return Verdict(
            reason=f"OutOf{self.resource}",
            message=f"Node didn't have enough resource: {self.resource}, requested: {self.requested}, used: "
            f"{self.used}, capacity: {self.capacity}",
        )


class Findings(Struct, frozen=True, kw_only=True):
    """Why a pod does not fit its node."""

    shortages: tuple[Shortage, ...] = ()
    others: tuple[Verdict, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """The first reason."""
        if self.shortages:
            return self.shortages[0].verdict
        return self.others[0] if self.others else None


def admit(
    pod: Mapping[str, Any],
    *,
    others: Iterable[Object],
    node: Mapping[str, Any] | None,
    allocatable: Mapping[str, Any],
    allowed_sysctls: Iterable[str] = (),
) -> Verdict | None:
    """None when it may run; ``others`` are the node's other pods."""
    unsupported = refused(pod, node, allowed_sysctls)
    if unsupported is not None:
        return unsupported
    active = [other for other in others if (other.get("status") or {}).get("phase") not in TERMINAL]
    return findings(pod, active=active, node=node, allocatable=allocatable).verdict


def findings(
    pod: Mapping[str, Any], *, active: list[Object], node: Mapping[str, Any] | None, allocatable: Mapping[str, Any]
) -> Findings:
    """What the scheduler should have seen: resources, affinity, ports, taints. ``active``: the node's other pods that are not
    over."""
    found = []
    if node is not None and not matches_node(pod, node):
        message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        found.append(Verdict(reason="NodeAffinity", message=message))
    if _port_conflict(pod, active) is not None:
        message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        found.append(Verdict(reason="NodePorts", message=message))
    if node is not None and not is_static(pod) and _untolerated(pod, node) is not None:
        message = "Predicate TaintToleration failed: node(s) had untolerated taint(s)"
        found.append(Verdict(reason="TaintToleration", message=message))
    return Findings(shortages=tuple(_shortages(pod, active, allocatable)), others=tuple(found))


def refused(
    pod: Mapping[str, Any], node: Mapping[str, Any] | None, allowed_sysctls: Iterable[str] = ()
) -> Verdict | None:
    """What this kubelet does not have is refused by name rather than left out."""
    spec = pod["spec"]
    if objects.labels(pod).get("kubernetes.io/os", "linux") != "linux":
        message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Verdict(reason="PodOSSelectorNodeLabelDoesNotMatch", message=message)
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        message = "Failed to admit pod as the OS field doesn't match node OS"
        return Verdict(reason="PodOSNotSupported", message=message)
    forbidden = forbidden_sysctls(pod, allowed_sysctls)
    if forbidden:
        return Verdict(reason="SysctlForbidden", message=f'forbidden sysctl: "{forbidden[0]}" not allowlisted')
    policy = (spec.get("securityContext") or {}).get("supplementalGroupsPolicy")
    features = ((node or {}).get("status") or {}).get("features") or {}
    if policy == "Strict" and not features.get("supplementalGroupsPolicy"):
        message = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return Verdict(reason="SupplementalGroupsPolicyNotSupported", message=message)
    if spec.get("resourceClaims"):
        message = "dynamic resource allocation (spec.resourceClaims) is not supported by this kubelet"
        return Verdict(reason="UnexpectedAdmissionError", message=message)
    return None


def _shortages(pod: Mapping[str, Any], others: list[Object], allocatable: Mapping[str, Any]) -> Iterator[Shortage]:
    for name, amount in {"pods": 1, **pod_totals(pod["spec"], "requests")}.items():
        if amount == 0 or (name not in allocatable and _is_extended(name)):
            # Extended resources that a node does not know are the cluster's, or come with resource claims.
            continue
        used = len(others)
        if name != "pods":
            used = sum(pod_totals(other["spec"], "requests").get(name, 0) for other in others)
        capacity = 0
        if name in allocatable:
            capacity = to_milli(allocatable[name]) if name == "cpu" else to_int(allocatable[name])
        if used + amount > capacity:
            yield Shortage(resource=name, requested=amount, used=used, capacity=capacity)


def _is_extended(name: str) -> bool:
    domain, slash, _ = name.rpartition("/")
    return bool(slash) and not f".{domain}".endswith(".kubernetes.io") and not name.startswith("requests.")


def matches_node(pod: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """The pod's nodeSelector and required node affinity hold for ``node``."""
    labels = objects.labels(node)
    if not label_selector_of_map(pod["spec"].get("nodeSelector")).matches(labels):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or selects(required, node)


def selects(selector: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """One of the terms of a NodeSelector holds for ``node``."""
    terms = selector.get("nodeSelectorTerms") or ()
    return any(_term_matches(term, objects.labels(node), objects.name(node)) for term in terms)


def _term_matches(term: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_requirement(entry).matches(labels) for entry in expressions) and all(
        _requirement(entry).matches({"metadata.name": name}) for entry in fields
    )


def _requirement(entry: Mapping[str, Any]) -> Requirement:
    return Requirement(entry["key"], entry["operator"], frozenset(entry.get("values") or ()))


def _untolerated(pod: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A NoExecute taint that the pod does not tolerate: what only affects scheduling is none of the kubelet's business."""
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint.get("effect") == "NoExecute" and not tolerates(pod["spec"].get("tolerations") or (), taint):
            found: Mapping[str, Any] = taint
            return found
    return None


def _ports(pod: Mapping[str, Any]) -> Iterable[tuple[str, str, int]]:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("protocol") or "TCP", port.get("hostIP") or "0.0.0.0", int(port["hostPort"])


def _port_conflict(pod: Mapping[str, Any], others: Iterable[Object]) -> int | None:
    wanted = list(_ports(pod))
    if not wanted:
        return None
    taken = [entry for other in others for entry in _ports(other)]
    for protocol, address, number in wanted:
        for other_protocol, other_address, other_number in taken:
            overlap = address == other_address or "0.0.0.0" in (address, other_address)
            if (protocol, number) == (other_protocol, other_number) and overlap:
                return number
    return None
