"""What the scheduler counts and measures, as a monitoring system reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.scheduler.component import Scheduler, SchedulerConfig
from tests.scheduler.builders import node, pod
from tests.scheduler.conftest import Eventually, StartScheduler
from tests.scheduler.test_component import create, node_of

PROFILE = {"profile": "default-scheduler"}


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"scheduler_{name}", labels)


async def test_a_pod_that_is_placed_at_its_second_try(
    client: Client, clock: FakeClock, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    metrics = Metrics()
    await start_scheduler(registry=metrics.registry)
    await create(client, pod("late", cpu="1"))
    await create(client, pod("gated", schedulingGates=[{"name": "g"}]))

    async def is_refused() -> bool:
        return metrics("schedule_attempts_total", result="unschedulable", **PROFILE) == 1

    await eventually(is_refused)
    assert metrics("pending_pods", queue="unschedulable") == 1
    assert metrics("pending_pods", queue="gated") == 1
    assert metrics("unschedulable_pods", plugin="SchedulingGates", **PROFILE) == 1
    await clock.advance(7.0)
    await create(client, node("n1"))

    async def is_placed() -> bool:
        return metrics("schedule_attempts_total", result="scheduled", **PROFILE) == 1

    await eventually(is_placed)
    assert await node_of(client, "late") == "n1"
    assert metrics("scheduling_attempt_duration_seconds_count", result="scheduled", **PROFILE) == 1
    assert metrics("pod_scheduling_attempts_sum") == 2
    assert metrics("pod_scheduling_sli_duration_seconds_sum", attempts="2") == 7.0
    assert metrics("queue_incoming_pods_total", queue="active", event="NodeAdd") == 1
    assert (
        metrics("framework_extension_point_duration_seconds_count", extension_point="Bind", status="Success", **PROFILE)
        == 1
    )
    assert metrics("cache_size", type="nodes") == 1
    assert metrics("cache_size", type="pods") == 1
    assert metrics("goroutines", operation="binding") == 0
    assert metrics("pending_pods", queue="unschedulable") == 0
    assert b"# TYPE scheduler_queue_incoming_pods_total counter" in generate_latest(metrics.registry)


async def test_preemption_is_counted_whether_it_helps_or_not(
    client: Client, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    metrics = Metrics()
    await start_scheduler(registry=metrics.registry)
    await create(client, node("n1", cpu="2"))
    await create(client, pod("victim", cpu="2", priority=0, terminationGracePeriodSeconds=0))

    async def is_full() -> bool:
        return await node_of(client, "victim") == "n1"

    await eventually(is_full)
    await create(client, pod("huge", cpu="3", priority=10))
    await create(client, pod("vip", cpu="2", priority=10))

    async def is_placed() -> bool:
        return await node_of(client, "vip") == "n1"

    await eventually(is_placed)
    assert metrics("preemption_victims_sum") == 1
    assert metrics("preemption_victims_count") == 1
    assert (metrics("preemption_attempts_total") or 0) >= 2


def test_schedulers_of_one_process_count_apart(client: Client, clock: FakeClock) -> None:
    registries = [CollectorRegistry(), CollectorRegistry()]
    made = [Scheduler(client=client, clock=clock, config=SchedulerConfig(), registry=each) for each in registries]
    assert len(made) == 2
    assert all(each.get_sample_value("scheduler_cache_size", {"type": "nodes"}) == 0 for each in registries)
