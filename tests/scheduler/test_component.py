"""The scheduler against a real API server in this process: bindings, events, conditions, retries, preemption."""

from __future__ import annotations

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, NODES, PODS, PRIORITYCLASSES
from tests.scheduler.builders import node, pod
from tests.scheduler.conftest import Eventually, StartScheduler


async def node_of(client: Client, name: str) -> str:
    found = await client.get(PODS, name, namespace="default")
    return str(found["spec"].get("nodeName") or "")


async def events_of(client: Client, name: str) -> list[Object]:
    found = await client.list(EVENTS, namespace="default")
    return [event for event in found.items if event["involvedObject"]["name"] == name]


async def create(client: Client, *created: Object) -> None:
    for obj in created:
        kind = {"Node": NODES, "Pod": PODS, "PriorityClass": PRIORITYCLASSES}[obj["kind"]]
        body = {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "uid"}}
        await client.create(kind, body)
        if obj["kind"] == "Node":
            await client.update(NODES, {**await client.get(NODES, objects.name(obj)), "status": obj["status"]},
                                subresource="status")  # fmt: skip


async def test_a_pod_is_bound_and_an_event_says_so(
    client: Client, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, node("n1"), pod("p1", cpu="100m"))
    await start_scheduler()

    async def is_bound() -> bool:
        return await node_of(client, "p1") == "n1"

    async def is_told() -> bool:
        return any(
            (event["reason"], event["message"]) == ("Scheduled", "Successfully assigned default/p1 to n1")
            for event in await events_of(client, "p1")
        )

    await eventually(is_bound)
    await eventually(is_told)
    found = await client.get(PODS, "p1", namespace="default")
    assert objects.is_true(found, "PodScheduled")


async def test_a_pod_that_fits_nowhere_says_why_and_is_placed_when_a_node_comes(
    client: Client, clock: FakeClock, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    await create(client, node("small", cpu="1"), node("tainted", taints=[taint]), pod("p1", cpu="2"))
    scheduler = await start_scheduler()
    message = (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). "
        "no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )

    async def says_why() -> bool:
        entry = objects.condition(await client.get(PODS, "p1", namespace="default"), "PodScheduled") or {}
        told = [event["message"] for event in await events_of(client, "p1") if event["reason"] == "FailedScheduling"]
        return (entry.get("status"), entry.get("reason"), entry.get("message"), told) == (
            "False", "Unschedulable", message, [message],
        )  # fmt: skip

    await eventually(says_why)
    await create(client, node("large", cpu="8"))

    async def is_bound() -> bool:
        return await node_of(client, "p1") == "large"

    await clock.advance(2.0)
    await eventually(is_bound)
    assert scheduler.shell.queue.lengths().unschedulable == 0


async def test_a_pod_that_is_being_deleted_gets_no_node(
    client: Client, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    ending = pod("ending", cpu="2")
    ending["metadata"]["finalizers"] = ["example.com/slow"]
    await create(client, ending, pod("staying", cpu="1"))
    await client.delete(PODS, "ending", namespace="default", grace_period_s=0)
    await create(client, node("n1"))
    await start_scheduler()

    async def is_told() -> bool:
        told = [event["message"] for event in await events_of(client, "ending")]
        return told == ["skip schedule deleting pod: default/ending"] and await node_of(client, "staying") == "n1"

    await eventually(is_told)
    assert await node_of(client, "ending") == ""


async def test_a_pod_of_another_scheduler_is_left_alone(
    client: Client, clock: FakeClock, start_scheduler: StartScheduler
) -> None:
    await create(client, node("n1"), pod("p1", schedulerName="other"))
    await start_scheduler()
    await clock.advance(5.0)
    assert await node_of(client, "p1") == ""


async def test_gated_pods_wait_until_the_gates_are_gone(
    client: Client, clock: FakeClock, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, node("n1"), pod("p1", schedulingGates=[{"name": "example.com/gate"}]))
    scheduler = await start_scheduler()
    await clock.advance(30.0)
    assert await node_of(client, "p1") == ""
    assert scheduler.shell.queue.lengths().gated == 1
    gated = await client.get(PODS, "p1", namespace="default")
    await client.update(PODS, {**gated, "spec": {**gated["spec"], "schedulingGates": []}})

    async def is_bound() -> bool:
        return await node_of(client, "p1") == "n1"

    await eventually(is_bound)


async def test_preemption_deletes_the_lesser_pod_and_takes_its_place(
    client: Client, clock: FakeClock, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, node("n1", cpu="1"), pod("low", cpu="900m", priority=0))
    await start_scheduler()

    async def low_is_bound() -> bool:
        return await node_of(client, "low") == "n1"

    await eventually(low_is_bound)
    await create(client, pod("high", cpu="900m", priority=1000))

    async def low_is_gone() -> bool:
        listed = await client.list(PODS, namespace="default")
        low = [entry for entry in listed.items if objects.name(entry) == "low"]
        if low and objects.is_deleting(low[0]):
            await client.delete(PODS, "low", namespace="default", grace_period_s=0)
            low = []
        return not low

    async def high_is_bound() -> bool:
        return await node_of(client, "high") == "n1"

    await eventually(low_is_gone)
    told = [event["reason"] for event in await events_of(client, "low")]
    assert "Preempted" in told
    await clock.advance(2.0)
    await eventually(high_is_bound)


async def test_a_more_important_preemptor_takes_the_promise_of_a_lesser_one(
    client: Client, clock: FakeClock, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    """The victim ends slowly; whoever comes last and is worth most gets its room, and the API says so at once."""
    low = pod("low", cpu="900m", priority=0)
    low["metadata"]["finalizers"] = ["example.com/slow"]
    await create(client, node("n1", cpu="1"), low)
    await start_scheduler()

    async def promised_to(name: str) -> str:
        found = await client.get(PODS, name, namespace="default")
        return str((found.get("status") or {}).get("nominatedNodeName", ""))

    async def low_is_bound() -> bool:
        return await node_of(client, "low") == "n1"

    async def mid_is_promised() -> bool:
        return await promised_to("mid") == "n1"

    async def high_took_over() -> bool:
        return (await promised_to("mid"), await promised_to("high")) == ("", "n1")

    async def high_is_bound() -> bool:
        return await node_of(client, "high") == "n1"

    await eventually(low_is_bound)
    await create(client, pod("mid", cpu="900m", priority=10))
    await eventually(mid_is_promised)
    await create(client, pod("high", cpu="900m", priority=100))
    await eventually(high_took_over)
    await client.patch(PODS, "low", {"metadata": {"finalizers": None}}, namespace="default")
    await client.delete(PODS, "low", namespace="default", grace_period_s=0)
    await clock.advance(2.0)
    await eventually(high_is_bound)


async def test_a_burst_is_bound_completely_and_never_twice(
    client: Client, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, *(node(f"n{number}", pods="10") for number in range(5)))
    await start_scheduler()
    await create(client, *(pod(f"p{number}", cpu="10m") for number in range(50)))

    async def all_bound() -> bool:
        listed = await client.list(PODS, namespace="default")
        return all(entry["spec"].get("nodeName") for entry in listed.items)

    await eventually(all_bound)
    listed = await client.list(PODS, namespace="default")
    per_node = [entry["spec"]["nodeName"] for entry in listed.items]
    assert {name: per_node.count(name) for name in set(per_node)} == {f"n{number}": 10 for number in range(5)}
