"""Pods with resource claims against a real API server in this process."""

from __future__ import annotations

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import DEVICECLASSES, PODS, RESOURCECLAIMS, RESOURCESLICES
from tests.scheduler.builders import node, pod
from tests.scheduler.conftest import Eventually, StartScheduler
from tests.scheduler.devices.builders import DRIVER, claim, device, device_class, request, resource_slice
from tests.scheduler.test_component import create, node_of


async def make_devices(client: Client, *slices: Object, device_class_spec: Object | None = None) -> None:
    await client.create(DEVICECLASSES, device_class("gpu", f'device.driver == "{DRIVER}"', **(device_class_spec or {})))
    for each in slices:
        await client.create(RESOURCESLICES, each)


async def make_claim(client: Client, name: str, *requests: Object) -> None:
    made = claim(name, *requests)
    await client.create(RESOURCECLAIMS, {"metadata": {"name": name, "namespace": "default"}, "spec": made["spec"]})


def using(name: str, *claims: str) -> Object:
    return pod(name, resourceClaims=[{"name": f"entry-{each}", "resourceClaimName": each} for each in claims])


async def test_a_claim_is_allocated_and_reserved_before_its_pod_is_bound(
    client: Client, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, node("a"), node("b"))
    await make_devices(client, resource_slice("sb", device("b1"), device("b2"), node="b"))
    await make_claim(client, "c", request("r", count=2))
    await create(client, using("p1", "c"), using("p2", "c"))
    await start_scheduler()

    async def both_are_bound() -> bool:
        return [await node_of(client, name) for name in ("p1", "p2")] == ["b", "b"]

    await eventually(both_are_bound)
    stored = await client.get(RESOURCECLAIMS, "c", namespace="default")
    assert objects.finalizers(stored) == ["resource.kubernetes.io/delete-protection"]
    status = stored["status"]
    assert [entry["device"] for entry in status["allocation"]["devices"]["results"]] == ["b1", "b2"]
    assert status["allocation"]["allocationTimestamp"]
    assert {entry["name"] for entry in status["reservedFor"]} == {"p1", "p2"}


async def test_a_pod_waits_for_its_claim_and_then_for_a_device(
    client: Client, clock: FakeClock, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, node("a"))
    await make_devices(client, resource_slice("sa", device("a1"), node="a"))
    await make_claim(client, "first")
    await create(client, using("p1", "first"), using("p2", "second"))
    scheduler = await start_scheduler()

    async def first_is_bound() -> bool:
        return await node_of(client, "p1") == "a"

    await eventually(first_is_bound)
    assert scheduler.shell.queue.lengths().gated == 1
    await make_claim(client, "second")

    async def second_is_told() -> bool:
        entry = objects.condition(await client.get(PODS, "p2", namespace="default"), "PodScheduled") or {}
        return "0/1 nodes are available: 1 cannot allocate all claims." in entry.get("message", "")

    await eventually(second_is_told)
    await client.delete(PODS, "p1", namespace="default", grace_period_s=0)
    freed = await client.get(RESOURCECLAIMS, "first", namespace="default")
    await client.update(RESOURCECLAIMS, {**freed, "status": {}}, subresource="status")

    async def second_is_bound() -> bool:
        return await node_of(client, "p2") == "a"

    await clock.advance(2.0)
    await eventually(second_is_bound)


async def test_an_extended_resource_is_satisfied_by_devices(
    client: Client, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    await create(client, node("a"), node("b"))
    slices = resource_slice("sb", device("b1"), device("b2"), node="b")
    await make_devices(client, slices, device_class_spec={"extendedResourceName": "example.com/gpu"})
    wanted = pod("p1", requests={"example.com/gpu": "2"})
    resources = wanted["spec"]["containers"][0]["resources"]
    resources["limits"] = resources["requests"]
    await create(client, wanted)
    await start_scheduler()

    async def is_bound() -> bool:
        return await node_of(client, "p1") == "b"

    await eventually(is_bound)
    stored = await client.get(PODS, "p1", namespace="default")
    told = stored["status"]["extendedResourceClaimStatus"]
    made = await client.get(RESOURCECLAIMS, told["resourceClaimName"], namespace="default")
    assert objects.is_controlled_by(made, stored)
    assert [entry["device"] for entry in made["status"]["allocation"]["devices"]["results"]] == ["b1", "b2"]
    assert told["requestMappings"] == [
        {"containerName": "main", "resourceName": "example.com/gpu", "requestName": "container-0-request-0"}
    ]
