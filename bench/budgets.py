"""The budgets of docs/architecture.md, by the name of the figure that shows whether they are met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """At most or at least so much."""

    limit: float
    is_ceiling: bool

    def is_met(self, value: float) -> bool:
        return value <= self.limit if self.is_ceiling else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.is_ceiling else '≥'} {self.limit:,g}"


def at_most(limit: float) -> Budget:
    return Budget(limit, True)


def at_least(limit: float) -> Budget:
    return Budget(limit, False)


BUDGETS: Mapping[str, Budget] = {
    "api/start/ready_s": at_most(0.8),
    "api/get/per_core_second": at_least(10_000),
    "api/create/durable_per_second": at_least(2_000),
    "api/crd/servable_ms": at_most(100),
    "api/list/ms": at_most(150),
    "api/list/ten_at_once_get_stall_ms": at_most(50),
    "api/watch/deliveries_per_second": at_least(50_000),
    "api/watch_protobuf/deliveries_per_second": at_least(50_000),
    "api/growth/create_cost_100k_to_1k": at_most(1.5),
    "store/watch_1000_watchers/deliveries_per_s": at_least(50_000),
    "scheduler/SchedulingBasic/5000Nodes/pods_per_s": at_least(1_000),
    "scheduler/PodAntiAffinity/5000Nodes/pods_per_s": at_least(500),
    "scheduler/PodAffinity/5000Nodes/pods_per_s": at_least(500),
    "scheduler/PreferredPodAffinity/5000Nodes/pods_per_s": at_least(500),
    "scheduler/PreferredPodAntiAffinity/5000Nodes/pods_per_s": at_least(500),
    "scheduler/TopologySpreading/5000Nodes/pods_per_s": at_least(500),
    "scheduler/NodeAffinity/5000Nodes/pods_per_s": at_least(500),
    "scheduler-core/SchedulingBasic/5000Nodes/pods_per_s": at_least(5_000),
    "proxy/nftables_10000_services/load_s": at_most(3),
    "proxy/nftables_10000_services/change_ms": at_most(50),
    "up/one_node/ready_s": at_most(4),
    "up/one_node/resident_mb": at_most(200),
    "up/one_node/idle_cpu_percent": at_most(2),
}
