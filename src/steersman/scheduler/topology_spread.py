"""Topology spread constraints as they stand in pods and in configuration, parsed once.

Source: "Pod Topology Spread Constraints" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import Struct

from steersman.meta import objects
from steersman.meta.resources import REPLICASETS, REPLICATIONCONTROLLERS, SERVICES, STATEFULSETS
from steersman.meta.selectors import EVERYTHING, LabelSelector, label_selector_of_map
from steersman.scheduler.affinity import selector_or_nothing, with_label_keys
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.pod_info import PodInfo

Action = Literal["DoNotSchedule", "ScheduleAnyway"]
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


class Constraint(Struct, frozen=True, kw_only=True):
    """One constraint of one pod."""

    max_skew: int
    topology_key: str
    selector: LabelSelector
    min_domains: int = 1
    honors_affinity: bool = True
    """Only nodes that the pod's node affinity allows count as domains."""
    honors_taints: bool = False
    """Only nodes whose taints the pod tolerates count as domains."""


SYSTEM_DEFAULTS: tuple[Mapping[str, Any], ...] = (
    {"topologyKey": HOSTNAME, "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 3},
    {"topologyKey": ZONE, "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 5},
)


def constraints_of(
    entries: Sequence[Mapping[str, Any]], action: Action, labels: Mapping[str, str]
) -> tuple[Constraint, ...]:
    """The constraints with this ``whenUnsatisfiable``, for a pod with ``labels``."""
    wanted = [entry for entry in entries if entry.get("whenUnsatisfiable", "DoNotSchedule") == action]
    if not wanted:
        return ()
    keys = sorted({key for entry in wanted for key in entry.get("matchLabelKeys") or ()})
    return _constraints(msgspec.json.encode([wanted, {key: labels[key] for key in keys if key in labels}]))


@lru_cache(maxsize=2048)
def _constraints(encoded: bytes) -> tuple[Constraint, ...]:
    entries, labels = msgspec.json.decode(encoded)
    return tuple(
        Constraint(
            max_skew=int(entry.get("maxSkew") or 1),
            topology_key=str(entry.get("topologyKey") or ""),
            selector=with_label_keys(
                selector_or_nothing(entry.get("labelSelector")), entry.get("matchLabelKeys") or (), labels, equal=True
            ),
            min_domains=int(entry.get("minDomains") or 1),
            honors_affinity=entry.get("nodeAffinityPolicy", "Honor") == "Honor",
            honors_taints=entry.get("nodeTaintsPolicy", "Ignore") == "Honor",
        )
        for entry in entries
    )


def default_selector(pod: PodInfo, cluster: Cluster) -> LabelSelector:
    """What selects the pod and its siblings: the Services that select it and the controller that owns it. Everything where
    there is neither."""
    merged: dict[str, str] = {}
    for service in cluster.lister(SERVICES).of_namespace(pod.namespace):
        selector = (service.get("spec") or {}).get("selector")
        if selector and all(pod.labels.get(key) == value for key, value in selector.items()):
            merged.update(selector)
    owner = objects.controller_of(pod.obj)
    resource = _OWNERS.get((str(owner.get("apiVersion")), str(owner.get("kind")))) if owner else None
    if owner is None or resource is None:
        return label_selector_of_map(merged) if merged else EVERYTHING
    found = cluster.lister(resource).get(objects.make_key(pod.namespace, str(owner.get("name"))))
    stated = ((found or {}).get("spec") or {}).get("selector")
    if found is not None and resource is REPLICATIONCONTROLLERS:
        merged.update(stated or {})
        stated = None
    selector_of_owner = selector_or_nothing(stated) if stated else EVERYTHING
    requirements = (*label_selector_of_map(merged).requirements, *selector_of_owner.requirements)
    return LabelSelector(requirements, selector_of_owner.matches_nothing) if requirements else EVERYTHING


_OWNERS = {
    ("v1", "ReplicationController"): REPLICATIONCONTROLLERS,
    ("apps/v1", "ReplicaSet"): REPLICASETS,
    ("apps/v1", "StatefulSet"): STATEFULSETS,
}
