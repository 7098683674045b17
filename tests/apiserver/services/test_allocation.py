"""What Services are given: addresses, families, node ports."""

from __future__ import annotations

import random
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, ServiceNetwork
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import IPADDRESSES, SERVICES
from steersman.store.drivers.memory import MemoryStore


def service(name: str = "a", **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80, "name": "http"}], "selector": {"app": name}, **spec},
    }


async def _addresses(client: Client) -> set[str]:
    return {item["metadata"]["name"] for item in (await client.list(IPADDRESSES)).items}


async def test_a_service_gets_an_address_of_its_own(client: Client, clock: FakeClock) -> None:
    created = await client.create(SERVICES, service())
    spec = created["spec"]
    assert spec["clusterIP"].startswith("10.96.")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    booked = await client.get(IPADDRESSES, spec["clusterIP"])
    assert booked["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "a"}
    await client.delete(SERVICES, "a", namespace="default")
    assert spec["clusterIP"] not in await _addresses(client)


async def test_the_kubernetes_service_has_the_first_address(client: Client) -> None:
    assert (await client.get(SERVICES, "kubernetes", namespace="default"))["spec"]["clusterIP"] == "10.96.0.1"


async def test_a_wanted_address_is_given_once(client: Client) -> None:
    created = await client.create(SERVICES, service(clusterIP="10.96.0.77"))
    assert created["spec"]["clusterIPs"] == ["10.96.0.77"]
    with pytest.raises(Invalid, match=r"failed to allocate IP 10.96.0.77: provided IP is already allocated"):
        await client.create(SERVICES, service("b", clusterIP="10.96.0.77"))


@pytest.mark.parametrize("address", ["10.1.2.3", "10.96.0.0", "10.96.255.255"])
async def test_an_address_outside_is_refused(client: Client, address: str) -> None:
    with pytest.raises(Invalid, match=r"not in the valid range. The range of valid IPs is 10.96.0.0/16"):
        await client.create(SERVICES, service(clusterIP=address))


async def test_a_refused_service_keeps_nothing(client: Client, clock: FakeClock) -> None:
    before = await _addresses(client)
    with pytest.raises(Invalid):
        await client.create(SERVICES, service("Not_a_name"))
    await clock.settle()
    assert await _addresses(client) == before


async def test_a_headless_service_gets_none(client: Client) -> None:
    spec = (await client.create(SERVICES, service(clusterIP="None")))["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])
    without_selector = service("b", clusterIP="None", selector=None)
    spec = (await client.create(SERVICES, without_selector))["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")


async def test_an_external_name_gets_none(client: Client) -> None:
    spec = (await client.create(SERVICES, service(type="ExternalName", externalName="example.com")))["spec"]
    assert "clusterIP" not in spec
    assert "ipFamilies" not in spec


async def test_node_ports_are_given_shared_and_freed(client: Client, clock: FakeClock) -> None:
    ports = [{"port": 53, "protocol": "TCP", "name": "tcp"}, {"port": 53, "protocol": "UDP", "name": "udp"}]
    created = await client.create(SERVICES, service(type="NodePort", ports=ports))
    first, second = (port["nodePort"] for port in created["spec"]["ports"])
    assert first == second
    assert 30000 <= first <= 32767
    taken = service("b", type="NodePort", ports=[{"port": 80, "nodePort": first}])
    with pytest.raises(Invalid, match=rf"spec\.ports\[0\].nodePort: Invalid value: {first}: provided port is already"):
        await client.create(SERVICES, taken)
    await client.delete(SERVICES, "a", namespace="default")
    await client.create(SERVICES, taken)


async def test_a_node_port_outside_is_refused(client: Client) -> None:
    with pytest.raises(Invalid, match="The range of valid ports is 30000-32767"):
        await client.create(SERVICES, service(type="NodePort", ports=[{"port": 80, "nodePort": 80}]))


async def test_an_update_that_names_nothing_keeps_what_was_given(client: Client) -> None:
    created = await client.create(SERVICES, service(type="NodePort"))
    updated = await client.update(SERVICES, service(type="NodePort", selector={"app": "other"}))
    assert updated["spec"]["clusterIP"] == created["spec"]["clusterIP"]
    assert updated["spec"]["ports"][0]["nodePort"] == created["spec"]["ports"][0]["nodePort"]


async def test_changing_the_type_frees_what_is_not_needed(client: Client, clock: FakeClock) -> None:
    created = await client.create(SERVICES, service(type="NodePort"))
    port = created["spec"]["ports"][0]["nodePort"]
    external = service(type="ExternalName", externalName="example.com", ports=[])
    await client.update(SERVICES, external)
    await clock.settle()
    assert created["spec"]["clusterIP"] not in await _addresses(client)
    await client.create(SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}]))


async def test_a_dry_run_takes_nothing(client: Client, clock: FakeClock) -> None:
    before = await _addresses(client)
    answer = await client.request(
        "POST",
        "/api/v1/namespaces/default/services",
        query={"dryRun": "All"},
        body=b'{"metadata":{"name":"a"},"spec":{"type":"NodePort","ports":[{"port":80}]}}',
    )
    assert answer.status == 201
    assert answer.content["spec"]["clusterIP"]
    await clock.settle()
    assert await _addresses(client) == before


async def test_dual_stack(clock: FakeClock) -> None:
    config = APIServerConfig(services=ServiceNetwork(cidrs=("10.96.0.0/16", "fd00:10:96::/112")))
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    client = Client(InProcessTransport(server.handle))
    spec = (await client.create(SERVICES, service(ipFamilyPolicy="PreferDualStack")))["spec"]
    assert spec["ipFamilies"] == ["IPv4", "IPv6"]
    assert [":" in address for address in spec["clusterIPs"]] == [False, True]
    current = await client.get(SERVICES, "a", namespace="default")
    single = {**current, "spec": {**current["spec"], "ipFamilyPolicy": "SingleStack"}}
    spec = (await client.update(SERVICES, single))["spec"]
    assert (spec["ipFamilies"], len(spec["clusterIPs"])) == (["IPv4"], 1)
    await server.close()


async def test_dual_stack_must_be_configured(client: Client) -> None:
    with pytest.raises(Invalid, match="this cluster is not configured for dual-stack services"):
        await client.create(SERVICES, service(ipFamilyPolicy="RequireDualStack"))


async def test_a_start_repairs_the_books(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    config = APIServerConfig()
    server = APIServer(store=store, clock=clock, config=config, rng=random.Random(7))
    await server.start()
    client = Client(InProcessTransport(server.handle))
    created = await client.create(SERVICES, service(type="NodePort"))
    address, port = created["spec"]["clusterIP"], created["spec"]["ports"][0]["nodePort"]
    await client.delete(IPADDRESSES, address)
    await client.create(IPADDRESSES, {"metadata": {"name": "10.96.7.7"}, "spec": {"parentRef": {
        "resource": "services", "namespace": "default", "name": "gone"}}})  # fmt: skip
    await server._nodeports.replace(())
    await server.close()
    again = APIServer(store=store, clock=clock, config=config, rng=random.Random(8))
    await again.start()
    client = Client(InProcessTransport(again.handle))
    assert address in await _addresses(client)
    assert "10.96.7.7" not in await _addresses(client)
    with pytest.raises(Invalid, match="already allocated"):
        await client.create(SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}]))
    await again.close()
