"""Endpoints and EndpointSlices of Services."""

from __future__ import annotations

from typing import Any

from steersman.controllers.kinds.endpoints import repacked, truncated
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTS, ENDPOINTSLICES, PODS, SERVICES
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World


def service(name: str = "web", **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "labels": {"tier": "front"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}], **spec},
    }


async def add_pods(world: World, count: int, *, ready: bool = True) -> list[Object]:
    start = len(await world.list(PODS))
    for number in range(start, start + count):
        created = await world.client.create(PODS, pod(f"web-{number}"))
        await world.run_pod(created, node="n1", address=f"10.0.{number // 250}.{number % 250 + 1}", ready=ready)
    await world.settle()
    return list(await world.list(PODS))


async def slices(world: World) -> list[Object]:
    return sorted(await world.list(ENDPOINTSLICES), key=objects.name)


def addresses(entries: list[Object]) -> set[str]:
    return {endpoint["addresses"][0] for entry in entries for endpoint in entry.get("endpoints") or ()}


async def test_endpoints_list_ready_and_unready_pods(world_of: StartWorld) -> None:
    world = await world_of("endpoints-controller")
    await world.add_nodes("n1")
    await add_pods(world, 1)
    await add_pods(world, 1, ready=False)
    await world.create(SERVICES, service())
    [subset] = (await world.get(ENDPOINTS, "web"))["subsets"]
    assert [address["ip"] for address in subset["addresses"]] == ["10.0.0.1"]
    assert [address["ip"] for address in subset["notReadyAddresses"]] == ["10.0.0.2"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert subset["addresses"][0]["targetRef"]["kind"] == "Pod"
    await world.client.delete(SERVICES, "web", namespace="default")
    await world.settle()
    assert not await world.exists(ENDPOINTS, "web")


async def test_endpoints_without_a_selector_are_the_users(world_of: StartWorld) -> None:
    world = await world_of("endpoints-controller", "endpointslice-controller")
    await world.create(SERVICES, service(selector=None))
    assert not await world.exists(ENDPOINTS, "web")
    assert not await world.list(ENDPOINTSLICES)


async def test_an_empty_slice_stands_for_a_service_without_pods(world_of: StartWorld) -> None:
    world = await world_of("endpointslice-controller")
    await world.create(SERVICES, service())
    [only] = await slices(world)
    assert not only.get("endpoints")
    assert only["addressType"] == "IPv4"
    assert objects.labels(only) == {
        "tier": "front",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    await world.add_nodes("n1")
    await add_pods(world, 2)
    [filled] = await slices(world)
    assert objects.name(filled) == objects.name(only)
    assert addresses([filled]) == {"10.0.0.1", "10.0.0.2"}
    endpoint = filled["endpoints"][0]
    assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}
    assert endpoint["nodeName"] == "n1"


async def test_endpoints_stay_in_their_slice_when_others_go(world_of: StartWorld) -> None:
    world = await world_of("endpointslice-controller", max_endpoints_per_slice=3)
    await world.add_nodes("n1")
    await world.create(SERVICES, service())
    pods = await add_pods(world, 7)
    before = {objects.name(entry): addresses([entry]) for entry in await slices(world)}
    assert sum(map(len, before.values())) == 7
    assert max(map(len, before.values())) == 3
    world.log.take()
    await world.client.delete(PODS, objects.name(pods[0]), namespace="default", grace_period_s=0)
    await world.settle()
    assert len(world.log.take()) == 1
    after = {objects.name(entry): addresses([entry]) for entry in await slices(world)}
    assert sum(name not in after or after[name] != before[name] for name in before) == 1


async def test_a_terminating_pod_is_served_but_not_ready(world_of: StartWorld) -> None:
    world = await world_of("endpointslice-controller", "endpoints-controller")
    await world.add_nodes("n1")
    await world.create(SERVICES, service())
    [only] = await add_pods(world, 1)
    await world.client.delete(PODS, objects.name(only), namespace="default")
    await world.settle()
    [entry] = await slices(world)
    assert entry["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert not (await world.get(ENDPOINTS, "web")).get("subsets")


async def test_hints_follow_the_traffic_distribution(world_of: StartWorld) -> None:
    world = await world_of("endpointslice-controller")
    await world.add_nodes("n1", **{"topology.kubernetes.io/zone": "a"})
    await world.create(SERVICES, service(trafficDistribution="PreferSameZone"))
    await add_pods(world, 1)
    [entry] = await slices(world)
    assert entry["endpoints"][0]["zone"] == "a"
    assert entry["endpoints"][0]["hints"] == {"forZones": [{"name": "a"}]}
    await world.patch(SERVICES, "web", {"spec": {"trafficDistribution": None}})
    [entry] = await slices(world)
    assert "hints" not in entry["endpoints"][0]


def test_subsets_with_the_same_ports_become_one() -> None:
    http, dns = {"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}
    packed = repacked(
        [
            {"addresses": [{"ip": "10.0.0.2"}], "ports": [http]},
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [http]},
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [dns]},
        ]
    )
    assert packed == [
        {"addresses": [{"ip": "10.0.0.1"}], "ports": [dns, http]},
        {"addresses": [{"ip": "10.0.0.2"}], "ports": [http]},
    ]
    assert repacked(packed) == packed


def test_at_most_a_thousand_addresses_ready_ones_first() -> None:
    ready = [{"ip": f"10.0.{number // 250}.{number % 250}"} for number in range(900)]
    unready = [{"ip": f"10.1.{number // 250}.{number % 250}"} for number in range(300)]
    cut, is_truncated = truncated([{"addresses": ready, "notReadyAddresses": unready}])
    assert is_truncated
    assert (len(cut[0]["addresses"]), len(cut[0]["notReadyAddresses"])) == (900, 100)
    assert truncated([{"addresses": ready}]) == ([{"addresses": ready}], False)
