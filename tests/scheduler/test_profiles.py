"""Profiles of one scheduler at work: each pod is placed, held or refused by the plugins of the profile it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.component import DEFAULT_PLUGINS
from steersman.scheduler.configuration import SchedulerConfiguration, read_configuration
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.external import adapted
from steersman.scheduler.framework import Wait
from steersman.scheduler.pod_info import PodInfo, parse_pod
from steersman.scheduler.profiles import PluginSpec
from tests.scheduler.builders import cluster_of, node, pod
from tests.scheduler.conftest import Eventually, StartScheduler
from tests.scheduler.test_component import create, events_of, node_of
from tests.scheduler.test_configuration import HEAD


def strategy(kind: str, **more: Any) -> Object:
    args = {"scoringStrategy": {"type": kind, **more}}
    return {"schedulerName": kind, "pluginConfig": [{"name": "NodeResourcesFit", "args": args}]}


SHAPE = {"requestedToCapacityRatio": {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]}}
WEIGHTS = {"resources": [
    {"name": "intel.com/foo", "weight": 5}, {"name": "memory", "weight": 1}, {"name": "cpu", "weight": 3}]}  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (strategy("LeastAllocated"), {"n1": 56, "n2": 12}),
        (strategy("MostAllocated"), {"n1": 43, "n2": 87}),
        (strategy("RequestedToCapacityRatio", **SHAPE), {"n1": 44, "n2": 88}),
        (strategy("RequestedToCapacityRatio", **SHAPE, **WEIGHTS), {"n1": 60, "n2": 69}),
        (strategy("LeastAllocated", **WEIGHTS), {"n1": 40, "n2": 30}),
    ],
)
def test_each_strategy_scores_as_documented(profile: Object, expected: Mapping[str, int]) -> None:
    """The nodes and the last but one row are the example of "Resource Bin Packing", on a scale to 100."""
    foo = "intel.com/foo"
    cluster = cluster_of(
        node("n1", cpu="8", memory="1Gi", more={foo: "4"}), node("n2", cpu="8", memory="1Gi", more={foo: "8"}),
        pod("x", cpu="1", memory="256Mi", requests={foo: "1"}, node_name="n1"),
        pod("y", cpu="6", memory="512Mi", requests={foo: "2"}, node_name="n2"),
    )  # fmt: skip
    core = SchedulerCore(read_configuration({**HEAD, "profiles": [profile]}, DEFAULT_PLUGINS).frameworks, cluster)
    wanted = pod(cpu="2", memory="256Mi", requests={foo: "2"}, schedulerName=profile["schedulerName"])
    decision = core.decide(parse_pod(wanted), runners_up=1)
    assert {score.node_name: score.by_plugin["NodeResourcesFit"] for score in decision.best} == expected


def test_affinity_of_the_profile_is_added_to_that_of_every_pod() -> None:
    def at_least(disk: str) -> Object:
        return {"matchExpressions": [{"key": "disk", "operator": "In", "values": [disk]}]}

    added = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [at_least("ssd"), at_least("nvme")]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 3, "preference": at_least("nvme")}],
    }
    profile = {"pluginConfig": [{"name": "NodeAffinity", "args": {"addedAffinity": added}}]}
    nodes = [node("plain"), node("ssd", labels={"disk": "ssd"}), node("nvme", labels={"disk": "nvme"})]
    frameworks = read_configuration({**HEAD, "profiles": [profile]}, DEFAULT_PLUGINS).frameworks
    decision = SchedulerCore(frameworks, cluster_of(*nodes)).decide(parse_pod(pod()), runners_up=2)
    assert {score.node_name: score.by_plugin["NodeAffinity"] for score in decision.best} == {"nvme": 200, "ssd": 0}
    refused = SchedulerCore(frameworks, cluster_of(nodes[0])).decide(parse_pod(pod()))
    assert refused.diagnosis is not None
    assert refused.diagnosis.reasons == {"node(s) didn't match scheduler-enforced node affinity": 1}


def test_a_pod_is_placed_by_the_profile_it_names() -> None:
    profiles = [strategy("LeastAllocated"), strategy("MostAllocated")]
    cluster = cluster_of(node("idle"), node("busy"), pod("x", cpu="1", memory="8Gi", node_name="busy"))
    core = SchedulerCore(read_configuration({**HEAD, "profiles": profiles}, DEFAULT_PLUGINS).frameworks, cluster)
    placed = [
        core.decide(parse_pod(pod(cpu="1", memory="8Gi", schedulerName=name))).node_name for name in core.frameworks
    ]
    assert placed == ["idle", "busy"]


class Broken:
    NAME = "Broken"

    def score(self, pod: Any, node: Any) -> int:
        raise RuntimeError("no idea")


class Closed:
    NAME = "Closed"

    def permit(self, pod: Any, node_name: str) -> str:
        return "closed for today"


class Held:
    """A plugin of the framework itself, which can hold pods."""

    NAME = "Held"

    def permit(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Wait:
        return Wait(timeout_s=60.0)


def with_plugins() -> SchedulerConfiguration:
    """A profile for each of the plugins above, and the default one."""
    specs = [
        PluginSpec(name="Broken", make=lambda args: adapted(Broken, args), is_default=False),
        PluginSpec(name="Closed", make=lambda args: adapted(Closed, args), is_default=False),
        PluginSpec(name="Held", make=lambda args: Held(), is_default=False),
    ]
    profiles = [{"schedulerName": "default-scheduler"}] + [
        {"schedulerName": spec.name, "plugins": {"multiPoint": {"enabled": [{"name": spec.name}]}}} for spec in specs
    ]
    document = {**HEAD, "leaderElection": {"leaderElect": False}, "profiles": profiles}
    return read_configuration(document, [*DEFAULT_PLUGINS, *specs])


async def why_not(client: Client, name: str) -> tuple[str, str]:
    entry = objects.condition(await client.get(PODS, name, namespace="default"), "PodScheduled") or {}
    return str(entry.get("reason")), str(entry.get("message"))


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        ("Broken", ("SchedulerError", 'running Score plugins: plugin "Broken" failed with: RuntimeError: no idea')),
        ("Closed", ("Unschedulable", "0/1 nodes are available: 1 closed for today.")),
    ],
)
async def test_a_plugin_that_fails_or_refuses_is_told_of_and_holds_up_nobody_else(
    client: Client, start_scheduler: StartScheduler, eventually: Eventually, plugin: str, expected: tuple[str, str]
) -> None:
    nodes = [node("n1"), node("n2")] if plugin == "Broken" else [node("n1")]
    await create(client, *nodes, pod("bad", schedulerName=plugin), pod("good"))
    await start_scheduler(with_plugins())

    async def is_told() -> bool:
        return await why_not(client, "bad") == expected and bool(await node_of(client, "good"))

    await eventually(is_told)
    assert await node_of(client, "bad") == ""


async def test_a_pod_that_a_plugin_holds_is_bound_when_it_is_allowed(
    client: Client, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, node("n1"), pod("p1", schedulerName="Held"))
    scheduler = await start_scheduler(with_plugins())
    waiting = scheduler.shell.binder.waiting

    async def is_held() -> bool:
        found = await client.get(PODS, "p1", namespace="default")
        return len(waiting) == 1 and found["status"].get("nominatedNodeName") == "n1"

    await eventually(is_held)
    assert await node_of(client, "p1") == ""
    next(iter(waiting.values())).allow("Held")

    async def is_bound() -> bool:
        return await node_of(client, "p1") == "n1"

    await eventually(is_bound)


async def test_a_held_pod_that_is_preempted_is_called_back_and_not_deleted(
    client: Client, clock: FakeClock, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, node("n1", cpu="1"), pod("held", cpu="900m", priority=0, schedulerName="Held"))
    scheduler = await start_scheduler(with_plugins())

    async def is_held() -> bool:
        return len(scheduler.shell.binder.waiting) == 1

    async def vip_is_bound() -> bool:
        return await node_of(client, "vip") == "n1"

    await eventually(is_held)
    await create(client, pod("vip", cpu="900m", priority=10))
    await eventually(vip_is_bound)
    held = await client.get(PODS, "held", namespace="default")
    assert not objects.is_deleting(held)
    assert objects.condition(held, "DisruptionTarget") is None
    vip = await client.get(PODS, "vip", namespace="default")
    told = f"Preempted by pod {objects.uid(vip)} on node n1 (in kube-scheduler memory)."

    async def is_told() -> bool:
        return told in [event["message"] for event in await events_of(client, "held")]

    await eventually(is_told)


async def test_a_pod_that_is_held_for_too_long_is_rejected(
    client: Client, clock: FakeClock, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, node("n1"), pod("p1", schedulerName="Held"))
    scheduler = await start_scheduler(with_plugins())

    async def is_held() -> bool:
        return len(scheduler.shell.binder.waiting) == 1

    await eventually(is_held)
    await clock.advance(61.0)

    async def is_rejected() -> bool:
        reason, message = await why_not(client, "p1")
        return reason == "Unschedulable" and "rejected due to timeout after waiting 1m0s at plugin Held" in message

    await eventually(is_rejected)
    assert await node_of(client, "p1") == ""
