"""Whether a pod that was bound to this node can run here: the node's last word, as upstream's kubelet has it.

Pure. A pod that is refused fails with the reason; it is never tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.kubelet.podspec import is_static
from steersman.kubelet.sandbox_config import forbidden_sysctls
from steersman.kubelet.status import TERMINAL, Verdict
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import to_int, to_milli
from steersman.meta.selectors import Requirement, label_selector_of_map
from steersman.schema.groups.core.podspec.totals import pod_totals


def admit(
    pod: Mapping[str, Any],
    *,
    others: Iterable[Object],
    node: Mapping[str, Any] | None,
    allocatable: Mapping[str, Any],
    allowed_sysctls: Iterable[str] = (),
) -> Verdict | None:
    """None when it may run; ``others`` are the node's other pods."""
    unsupported = _unsupported(pod, node, allowed_sysctls)
    if unsupported is not None:
        return unsupported
    active = [other for other in others if (other.get("status") or {}).get("phase") not in TERMINAL]
    shortage = _shortage(pod, active, allocatable)
    if shortage is not None:
        return shortage
    if node is not None and not is_static(pod):
        if not matches_node(pod, node):
            return Verdict(
                reason="NodeAffinity",
                message="Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
            )
        taint = _untolerated(pod, node)
        if taint is not None:
            return Verdict(
                reason="TaintToleration",
                message="Predicate TaintToleration failed: node(s) had untolerated taint(s)",
            )
    port = _port_conflict(pod, active)
    if port is not None:
        return Verdict(
            reason="NodePorts",
            message="Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        )
    return None


def _unsupported(
    pod: Mapping[str, Any], node: Mapping[str, Any] | None, allowed_sysctls: Iterable[str]
) -> Verdict | None:
    """What this kubelet does not have is refused by name rather than left out."""
    spec = pod["spec"]
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


def _shortage(pod: Mapping[str, Any], others: list[Object], allocatable: Mapping[str, Any]) -> Verdict | None:
    wanted = pod_totals(pod["spec"], "requests")
    used: dict[str, int] = {}
    for other in others:
        for name, amount in pod_totals(other["spec"], "requests").items():
            used[name] = used.get(name, 0) + amount
    wanted["pods"] = 1
    used["pods"] = len(others)
    for name, amount in wanted.items():
        if amount == 0:
            continue
        if name not in allocatable:
            total = 0
        else:
            total = to_milli(allocatable[name]) if name == "cpu" else to_int(allocatable[name])
        if used.get(name, 0) + amount > total:
            return Verdict(
                reason=f"OutOf{name}",
                message=f"Node didn't have enough resource: {name}, requested: {amount}, used: "
                f"{used.get(name, 0)}, capacity: {total}",
            )
    return None


def matches_node(pod: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """The pod's nodeSelector and required node affinity hold for ``node``."""
    labels = objects.labels(node)
    if not label_selector_of_map(pod["spec"].get("nodeSelector")).matches(labels):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term_matches(term, labels, objects.name(node)) for term in required.get("nodeSelectorTerms") or ())


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
        if taint.get("effect") == "NoExecute" and not any(
            _tolerates(entry, taint) for entry in pod["spec"].get("tolerations") or ()
        ):
            found: Mapping[str, Any] = taint
            return found
    return None


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    key = toleration.get("key") or ""
    if key and key != taint.get("key"):
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


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
