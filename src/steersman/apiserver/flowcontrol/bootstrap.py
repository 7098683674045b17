"""The priority levels and flow schemas of every cluster, and how they are kept without taking away what users changed.

Mandatory ones are as they are. Suggested ones are updated while their annotation ``apf.kubernetes.io/autoupdate-spec`` says
so; with ``false`` they are the users'. Source: "Maintenance of the Mandatory and Suggested Configuration Objects" in the
Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.apiserver.requestinfo import parse_bool
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.schema.equality import same
from steersman.schema.groups.flowcontrol.mandatory import FLOW_SCHEMAS, PRIORITY_LEVELS

AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
_API_VERSION = "flowcontrol.apiserver.k8s.io/v1"
_EVERYBODY = ("system:unauthenticated", "system:authenticated")


def _level(shares: int, lendable_percent: int, queues: int, hand_size: int) -> Mapping[str, Any]:
    return {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": shares,
            "lendablePercent": lendable_percent,
            "limitResponse": {
                "type": "Queue",
                "queuing": {"queues": queues, "handSize": hand_size, "queueLengthLimit": 50},
            },
        },
    }


SUGGESTED_LEVELS: Mapping[str, Mapping[str, Any]] = {
    "system": _level(30, 33, 64, 6),
    "node-high": _level(40, 25, 64, 6),
    "leader-election": _level(10, 0, 16, 4),
    "workload-high": _level(40, 50, 128, 6),
    "workload-low": _level(100, 90, 128, 6),
    "global-default": _level(20, 50, 128, 6),
}


def _rule(verbs: Sequence[str], group: str, *resources: str, cluster_scope: bool) -> Mapping[str, Any]:
    rule: dict[str, Any] = {"verbs": [*verbs], "apiGroups": [group], "resources": [*resources], "namespaces": ["*"]}
    return {**rule, "clusterScope": True} if cluster_scope else rule


_EVERY_RESOURCE = _rule("*", "*", "*", cluster_scope=True)
_EVERY_PATH: Mapping[str, Any] = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def _groups(*names: str) -> Sequence[Mapping[str, Any]]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> Sequence[Mapping[str, Any]]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


_SYSTEM_ACCOUNTS = [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}}]


def _schema(
    level: str,
    precedence: int,
    subjects: Sequence[Mapping[str, Any]],
    *,
    by: str = "ByUser",
    resources: Sequence[Mapping[str, Any]] = (_EVERY_RESOURCE,),
    paths: Sequence[Mapping[str, Any]] = (_EVERY_PATH,),
) -> Mapping[str, Any]:
    rule: dict[str, Any] = {"subjects": [*subjects]}
    if resources:
        rule["resourceRules"] = [*resources]
    if paths:
        rule["nonResourceRules"] = [*paths]
    spec: dict[str, Any] = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
    if by:
        spec["distinguisherMethod"] = {"type": by}
    return {**spec, "rules": [rule]}


_MANAGER, _SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
_LEASES = "coordination.k8s.io"
SUGGESTED_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "system-nodes": _schema("system", 500, _groups("system:nodes")),
    "system-node-high": _schema(
        "node-high",
        400,
        _groups("system:nodes"),
        resources=(
            _rule("*", "", "nodes", "nodes/status", cluster_scope=True),
            _rule("*", _LEASES, "leases", cluster_scope=False),
        ),
        paths=(),
    ),
    "probes": _schema(
        "exempt",
        2,
        _groups(*_EVERYBODY),
        by="",
        resources=(),
        paths=({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]},),
    ),
    "system-leader-election": _schema(
        "leader-election",
        100,
        [*_users(_MANAGER, _SCHEDULER), *_SYSTEM_ACCOUNTS],
        resources=(_rule(("get", "create", "update"), _LEASES, "leases", cluster_scope=False),),
        paths=(),
    ),
    "kube-controller-manager": _schema("workload-high", 800, _users(_MANAGER), by="ByNamespace"),
    "kube-scheduler": _schema("workload-high", 800, _users(_SCHEDULER), by="ByNamespace"),
    "kube-system-service-accounts": _schema("workload-high", 900, _SYSTEM_ACCOUNTS, by="ByNamespace"),
    "service-accounts": _schema("workload-low", 9000, _groups("system:serviceaccounts")),
    "global-default": _schema("global-default", 9900, _groups(*_EVERYBODY)),
}


def levels() -> Sequence[Object]:
    """Every PriorityLevelConfiguration of a new cluster."""
    specs = {**SUGGESTED_LEVELS, **PRIORITY_LEVELS}
    return [_object("PriorityLevelConfiguration", name, spec) for name, spec in specs.items()]


def schemas() -> Sequence[Object]:
    """Every FlowSchema of a new cluster."""
    specs = {**SUGGESTED_SCHEMAS, **FLOW_SCHEMAS}
    return [_object("FlowSchema", name, spec) for name, spec in specs.items()]


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> Object:
    metadata = {"name": name, "annotations": {AUTOUPDATE: "true"}}
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def revised(current: Object, wanted: Object) -> Object | None:
    """``current`` as it has to be; None where it is so already."""
    name = objects.name(wanted)
    is_mandatory = name in (PRIORITY_LEVELS if wanted["kind"] == "PriorityLevelConfiguration" else FLOW_SCHEMAS)
    annotation = objects.annotations(current).get(AUTOUPDATE)
    says = None if annotation is None else parse_bool(annotation)
    updates = is_mandatory or (says if says is not None else objects.generation(current) == 1)
    changed = current
    if updates and not _is_as_wanted(current.get("spec") or {}, wanted["spec"]):
        changed = {**changed, "spec": _spec(current.get("spec") or {}, wanted["spec"])}
    if says is not updates:
        annotations = {**objects.annotations(current), AUTOUPDATE: "true" if updates else "false"}
        changed = objects.with_metadata(changed, annotations=annotations)
    return None if changed is current else changed


def _spec(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The wanted spec; how many seats the exempt level lends is the users' choice."""
    if wanted.get("type") == "Exempt" and current.get("exempt") is not None:
        return {**wanted, "exempt": current["exempt"]}
    return wanted


def _is_as_wanted(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return same(dict(current), dict(_spec(current, wanted)))


def is_unwanted(obj: Object, wanted: Sequence[Object]) -> bool:
    """It was made here by an earlier version, and nobody has taken it over."""
    annotation = objects.annotations(obj).get(AUTOUPDATE)
    if annotation is None or parse_bool(annotation) is not True:
        return False
    return all(objects.name(entry) != objects.name(obj) for entry in wanted)
