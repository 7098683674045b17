"""Cluster DNS: queries a second over UDP on loopback, 10,000 Services in the zone, and the cost of one answer."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from typing import cast

from steersman.aio.clock import SystemClock
from steersman.dns.forward import Forwarder
from steersman.dns.message import IN, A, encode_name, parse_question
from steersman.dns.server import DNSServer, Resolver
from steersman.dns.zone import Zone

SERVICES = 10_000
QUERIES = 20_000
PORT = 15353


def run() -> dict[str, float]:
    zone = Zone("cluster.local")
    began_s = time.perf_counter()
    for number in range(SERVICES):
        zone.put_service(_service(number), ())
    fill_s = time.perf_counter() - began_s
    rng = random.Random(1)
    resolver = Resolver(zone, Forwarder((), clock=SystemClock(), rng=rng), rng=rng)
    queries = [_query(f"service-{rng.randrange(SERVICES)}.default.svc.cluster.local") for _ in range(QUERIES)]
    began_s = time.perf_counter()
    for query in queries:
        resolver.answer_now(parse_question(query), limit=512)
    answer_s = time.perf_counter() - began_s
    return {
        "dns/zone_10000_services/fill_us_per_service": fill_s / SERVICES * 1e6,
        "dns/answer/us": answer_s / QUERIES * 1e6,
        "dns/udp/queries_per_s": asyncio.run(_over_udp(resolver, queries)),
    }


async def _over_udp(resolver: Resolver, queries: list[bytes]) -> float:
    server = asyncio.ensure_future(DNSServer(resolver, clock=SystemClock()).run("127.0.0.1", PORT))
    await asyncio.sleep(0.1)
    loop = asyncio.get_running_loop()
    client = _Client(queries)
    began_s = time.perf_counter()
    transport, _ = await loop.create_datagram_endpoint(lambda: client, remote_addr=("127.0.0.1", PORT))
    await client.done
    elapsed_s = time.perf_counter() - began_s
    transport.close()
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)
    return QUERIES / elapsed_s


class _Client(asyncio.DatagramProtocol):
    """Keeps 32 queries under way."""

    def __init__(self, queries: list[bytes]) -> None:
        self._left = list(queries)
        self._answered = 0
        self._total = len(queries)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        for _ in range(32):
            self._send()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._answered += 1
        if self._answered == self._total:
            self.done.set_result(None)
        elif self._left:
            self._send()

    def _send(self) -> None:
        self._transport.sendto(self._left.pop())


def _query(name: str) -> bytes:
    return struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0) + encode_name(name) + struct.pack("!HH", A, IN)


def _service(number: int) -> dict[str, object]:
    return {
        "metadata": {"name": f"service-{number}", "namespace": "default"},
        "spec": {
            "clusterIP": f"10.96.{number // 250}.{number % 250 + 1}",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    }
