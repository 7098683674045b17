"""Judging nodes: which have stopped reporting, which taints that means, and how fast pods may be driven off them.

Source: "Nodes / node status", "Rate limits on eviction" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from steersman.controllers import taints
from steersman.controllers.config import ControllerManagerConfig
from steersman.meta import objects, times
from steersman.meta.objects import Object

JUDGED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_CONDITION_TAINTS: Mapping[tuple[str, str], str] = {
    ("Ready", "False"): taints.NOT_READY,
    ("Ready", "Unknown"): taints.UNREACHABLE,
    ("MemoryPressure", "True"): taints.MEMORY_PRESSURE,
    ("DiskPressure", "True"): taints.DISK_PRESSURE,
    ("NetworkUnavailable", "True"): taints.NETWORK_UNAVAILABLE,
    ("PIDPressure", "True"): taints.PID_PRESSURE,
}
_OURS = frozenset({*_CONDITION_TAINTS.values(), taints.UNSCHEDULABLE})
_EXCLUDED_LABEL = "node.kubernetes.io/exclude-disruption"
_OS_LABELS = (
    ("kubernetes.io/os", "beta.kubernetes.io/os"),
    ("kubernetes.io/arch", "beta.kubernetes.io/arch"),
)

ZoneState = Literal["Normal", "PartialDisruption", "FullDisruption"]
Zone = tuple[str, str]


class Plan(Struct, frozen=True, kw_only=True):
    """What to write about one node."""

    status: Object | None = None
    """The node whose conditions say that nothing is known of it."""
    went_silent: bool = False
    """It was Ready until now."""
    taints: list[Object] | None = None
    """spec.taints, where they change at once."""
    evict: str = ""
    """The NoExecute taint to add as soon as the zone's rate allows; empty: none."""
    labels: Mapping[str, str] | None = None
    requeue_after_s: float | None = None


def plan(
    node: Object, probed_s: float, now_s: float, config: ControllerManagerConfig, *, all_disrupted: bool = False
) -> Plan:
    """``probed_s`` is when anything was last heard of ``node``. With ``all_disrupted`` no node drives its pods away: it is
    more likely that the controller cannot see than that everything is down."""
    ready = objects.condition(node, "Ready")
    grace_s = config.node_monitor_grace_period_s if ready is not None else config.node_startup_grace_period_s
    status, went_silent, requeue_after_s = None, False, None
    if now_s > probed_s + grace_s:
        changed = _with_unknown(node, now_s)
        if changed is not node:
            status, went_silent, node = changed, ready is not None and ready["status"] == "True", changed
    else:
        requeue_after_s = probed_s + grace_s - now_s + 0.01
    wanted, evict = _taints(node, now_s, all_disrupted=all_disrupted)
    return Plan(
        status=status,
        went_silent=went_silent,
        taints=wanted if wanted != list(taints.of_node(node)) else None,
        evict=evict,
        labels=_labels(node),
        requeue_after_s=requeue_after_s,
    )


def _with_unknown(node: Object, now_s: float) -> Object:
    """``node`` with every judged condition Unknown; ``node`` itself where they are."""
    now, conditions = times.format_time(now_s), []
    old = (node.get("status") or {}).get("conditions") or []
    for entry in old:
        if entry["type"] in JUDGED_CONDITIONS and entry["status"] != "Unknown":
            entry = {
                **entry,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": now,
            }
        conditions.append(entry)
    present = {entry["type"] for entry in old}
    conditions += [
        {
            "type": kind,
            "status": "Unknown",
            "reason": "NodeStatusNeverUpdated",
            "message": "Kubelet never posted node status.",
            "lastHeartbeatTime": objects.metadata(node).get("creationTimestamp"),
            "lastTransitionTime": now,
        }
        for kind in JUDGED_CONDITIONS
        if kind not in present
    ]
    if conditions == old:
        return node
    return {**node, "status": {**(node.get("status") or {}), "conditions": conditions}}


def _taints(node: Object, now_s: float, *, all_disrupted: bool) -> tuple[list[Object], str]:
    """(spec.taints as it should be now, the NoExecute taint to add when the rate allows)."""
    have = list(taints.of_node(node))
    by_condition = {
        key
        for entry in (node.get("status") or {}).get("conditions") or ()
        if (key := _CONDITION_TAINTS.get((entry["type"], entry["status"]))) is not None
    }
    if (node.get("spec") or {}).get("unschedulable"):
        by_condition.add(taints.UNSCHEDULABLE)
    wanted = taints.without(have, _OURS - by_condition, "NoSchedule")
    wanted += [
        taints.made(key, "NoSchedule", now_s)
        for key in sorted(by_condition)
        if not taints.has(wanted, key, "NoSchedule")
    ]
    both = (taints.NOT_READY, taints.UNREACHABLE)
    ready = objects.condition(node, "Ready")
    verdict = ready["status"] if ready is not None else "True"
    if verdict == "True" or all_disrupted:
        return taints.without(wanted, both, "NoExecute"), ""
    key, other = both if verdict == "False" else both[::-1]
    if taints.has(wanted, key, "NoExecute"):
        return taints.without(wanted, (other,), "NoExecute"), ""
    if taints.has(wanted, other, "NoExecute"):
        return [*taints.without(wanted, (other,), "NoExecute"), taints.made(key, "NoExecute", now_s)], ""
    return wanted, key


def _labels(node: Object) -> Mapping[str, str] | None:
    """Old labels that are missing or contradict the ones that replace them."""
    labels = objects.labels(node)
    wrong = {old: labels[new] for new, old in _OS_LABELS if new in labels and labels[new] != labels.get(old)}
    return wrong or None


def zone_of(node: Mapping[str, Any]) -> Zone:
    labels = objects.labels(node)
    return (
        labels.get("topology.kubernetes.io/region") or labels.get("failure-domain.beta.kubernetes.io/region") or "",
        labels.get("topology.kubernetes.io/zone") or labels.get("failure-domain.beta.kubernetes.io/zone") or "",
    )


class _ZoneCount(Struct):
    ready: int = 0
    not_ready: int = 0
    next_eviction_s: float = 0.0


class Zones(Struct):
    """How many nodes of each zone are ready, and when its next node may drive its pods away."""

    config: ControllerManagerConfig
    _nodes: dict[str, tuple[Zone, bool]] = field(default_factory=dict)
    _counts: dict[Zone, _ZoneCount] = field(default_factory=dict)

    def note(self, name: str, node: Mapping[str, Any] | None) -> None:
        """``node`` is now so; None: it is gone."""
        before = self._nodes.pop(name, None)
        if before is not None:
            self._count(before, -1)
            zone = self._counts[before[0]]
            if not zone.ready and not zone.not_ready:
                del self._counts[before[0]]
        if node is not None and _EXCLUDED_LABEL not in objects.labels(node):
            self._nodes[name] = (zone_of(node), objects.is_true(node, "Ready"))
            self._count(self._nodes[name], 1)

    def _count(self, entry: tuple[Zone, bool], by: int) -> None:
        zone, is_ready = entry
        count = self._counts.setdefault(zone, _ZoneCount())
        if is_ready:
            count.ready += by
        else:
            count.not_ready += by

    def state(self, zone: Zone) -> ZoneState:
        count = self._counts.get(zone) or _ZoneCount()
        if count.not_ready and not count.ready:
            return "FullDisruption"
        share = count.not_ready / max(count.ready + count.not_ready, 1)
        return (
            "PartialDisruption" if count.not_ready > 2 and share >= self.config.unhealthy_zone_threshold else "Normal"
        )

    def states(self) -> dict[Zone, ZoneState]:
        return {zone: self.state(zone) for zone in self._counts}

    @property
    def all_disrupted(self) -> bool:
        return bool(self._counts) and all(count.not_ready and not count.ready for count in self._counts.values())

    def eviction_wait_s(self, zone: Zone, now_s: float) -> float | None:
        """Seconds until a node of ``zone`` may be tainted (0: now, and the turn is taken); None: not in this state."""
        count = self._counts.setdefault(zone, _ZoneCount())
        rate = self.config.node_eviction_rate
        if self.state(zone) == "PartialDisruption":
            is_large = count.ready + count.not_ready > self.config.large_cluster_size_threshold
            rate = self.config.secondary_node_eviction_rate if is_large else 0.0
        if rate <= 0:
            return None
        if now_s < count.next_eviction_s:
            return count.next_eviction_s - now_s
        count.next_eviction_s = now_s + 1 / rate
        return 0.0
