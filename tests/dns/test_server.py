"""The server on real sockets of the loopback, asked by dnspython's own client."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from random import Random

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from steersman.aio.clock import SystemClock
from steersman.aio.tasks import TaskGroup
from steersman.dns.forward import Forwarder
from steersman.dns.server import DNSServer, Resolver
from steersman.dns.zone import Zone
from tests.dns.test_zone import DOMAIN, HEADLESS, PODS, service

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def serve(group: TaskGroup, zone: Zone, upstreams: list[tuple[str, int]]) -> int:
    forwarder = Forwarder(upstreams, clock=SystemClock(), rng=Random(1))
    port = free_port()
    server = DNSServer(Resolver(zone, forwarder, rng=Random(2)), clock=SystemClock())
    group.spawn(server.run(HOST, port), name=f"server-{port}")
    return port


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server of the cluster's zone that asks a second one, of example.org, for everything else."""
    elsewhere, zone = Zone("example.org"), Zone(DOMAIN)
    elsewhere.put_service(service("host", "ns", clusterIP="192.0.2.1"), [])
    zone.set_namespaces(["default"])
    zone.put_service(service(), [])
    zone.put_service(HEADLESS, [PODS])
    many = {"addressType": "IPv4", "endpoints": [{"addresses": [f"10.2.0.{last}"]} for last in range(1, 100)]}
    zone.put_service(service("many", clusterIP="None"), [many])
    zone.put_service(service("out", type="ExternalName", externalName="host.ns.svc.example.org"), [])
    zone.put_service(service("alias", type="ExternalName", externalName="web.default.svc.cluster.local"), [])
    async with TaskGroup("test") as group:
        upstream = serve(group, elsewhere, [])
        own = serve(group, zone, [(HOST, upstream)])
        await asyncio.sleep(0.05)
        yield own


async def ask(port: int, name: str, kind: str = "A", *, tcp: bool = False) -> tuple[str, list[str]]:
    query = dns.message.make_query(name, kind)
    asker = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    response = await asker(query, HOST, port=port, timeout=5)
    found = sorted(str(item) for entry in response.answer for item in entry)
    return dns.rcode.to_text(response.rcode()), found


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.default.svc.cluster.local", "A", ("NOERROR", ["10.96.0.9"])),
        ("WEB.Default.svc.cluster.local", "A", ("NOERROR", ["10.96.0.9"])),
        ("web.default.svc.cluster.local", "AAAA", ("NOERROR", [])),
        ("no.default.svc.cluster.local", "A", ("NXDOMAIN", [])),
        ("host.ns.svc.example.org", "A", ("NOERROR", ["192.0.2.1"])),
        ("HOST.ns.svc.example.org", "A", ("NOERROR", ["192.0.2.1"])),
        ("no.ns.svc.example.org", "A", ("NXDOMAIN", [])),
        ("out.default.svc.cluster.local", "A", ("NOERROR", ["192.0.2.1", "host.ns.svc.example.org."])),
        ("alias.default.svc.cluster.local", "A", ("NOERROR", ["10.96.0.9", "web.default.svc.cluster.local."])),
        ("elsewhere.test", "A", ("SERVFAIL", [])),
    ],
)
async def test_questions(port: int, name: str, kind: str, tcp: bool, expected: tuple[str, list[str]]) -> None:
    assert await ask(port, name, kind, tcp=tcp) == expected


async def test_the_second_client_reads_its_own_spelling_in_a_remembered_answer(port: int) -> None:
    for name in ("host.ns.svc.example.org", "hOsT.ns.svc.example.org"):
        response = await dns.asyncquery.udp(dns.message.make_query(name, "A"), HOST, port=port, timeout=5)
        assert response.question[0].name.to_text() == f"{name}."


async def test_an_answer_too_long_for_udp_is_cut_and_whole_over_tcp(port: int) -> None:
    query = dns.message.make_query("many.default.svc.cluster.local", "A")
    response, used_tcp = await dns.asyncquery.udp_with_fallback(query, HOST, port=port, timeout=5)
    assert used_tcp
    assert len(response.answer[0]) == 99


async def test_a_malformed_query_is_told_so_over_tcp(port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(struct.pack("!HHHHHHH", 12, 7, 0, 0, 0, 0, 0))
    (length,) = struct.unpack("!H", await asyncio.wait_for(reader.readexactly(2), 5))
    assert dns.message.from_wire(await reader.readexactly(length)).rcode() == dns.rcode.FORMERR
    writer.close()
    await writer.wait_closed()
