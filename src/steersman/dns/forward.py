"""Questions about names that are not ours: asked of the machine's own resolvers, with a small cache.

At most ``IN_FLIGHT_LIMIT`` questions are under way; more are answered SERVFAIL at once. A server that does not answer within
``TIMEOUT_S`` is passed over for the next one.
"""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from collections.abc import Sequence
from random import Random

from steersman.aio.clock import Clock
from steersman.dns.message import SERVFAIL, TCP_BYTES, Question, build_response

TIMEOUT_S = 2.0
IN_FLIGHT_LIMIT = 1000
CACHE_LIMIT = 10000
CACHE_S = 30.0


class Forwarder:
    """Asks ``servers`` (address, port) in turn."""

    def __init__(self, servers: Sequence[tuple[str, int]], *, clock: Clock, rng: Random) -> None:
        self._servers = tuple(servers)
        self._clock = clock
        self._rng = rng
        self._in_flight = 0
        self._cache: OrderedDict[tuple[bytes, int, bool], tuple[float, bytes]] = OrderedDict()

    async def ask(self, question: Question, query: bytes, *, over_tcp: bool, limit: int) -> bytes:
        """The response for the client, at most ``limit`` bytes over UDP."""
        key = (question.name, question.type, bool(question.edns_bytes))
        cached = self._cache.get(key)
        if cached is not None and cached[0] > self._clock.monotonic():
            return self._fit(_for(cached[1], question), question, limit)
        if not self._servers or self._in_flight >= IN_FLIGHT_LIMIT:
            return build_response(question, code=SERVFAIL, authoritative=False)
        self._in_flight += 1
        try:
            response = await self._ask_servers(query, over_tcp=over_tcp)
        finally:
            self._in_flight -= 1
        if response is None:
            return build_response(question, code=SERVFAIL, authoritative=False)
        self._remember(key, response)
        return self._fit(_for(response, question), question, limit)

    def _fit(self, response: bytes, question: Question, limit: int) -> bytes:
        if len(response) <= limit:
            return response
        return build_response(question, answers=[b"\x00" * TCP_BYTES], authoritative=False, limit=limit)

    async def _ask_servers(self, query: bytes, *, over_tcp: bool) -> bytes | None:
        for address, port in self._servers:
            identity = self._rng.getrandbits(16)
            own = _with_id(query, identity)
            try:
                response = None if over_tcp else await self._over_udp(own, identity, address, port)
                if response is None or response[2] & 0x02:
                    response = await self._over_tcp(own, address, port)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                continue
            if len(response) >= 12 and response[3] & 0x0F != SERVFAIL:
                return response
        return None

    async def _over_udp(self, query: bytes, identity: int, address: str, port: int) -> bytes:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Asker(answer, identity), remote_addr=(address, port)
        )
        try:
            transport.sendto(query)
            return await self._clock.wait_for(answer, TIMEOUT_S)
        finally:
            transport.close()

    async def _over_tcp(self, query: bytes, address: str, port: int) -> bytes:
        async def exchange() -> bytes:
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write(struct.pack("!H", len(query)) + query)
                await writer.drain()
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                return await reader.readexactly(length)
            finally:
                writer.close()

        return await self._clock.wait_for(exchange(), TIMEOUT_S)

    def _remember(self, key: tuple[bytes, int, bool], response: bytes) -> None:
        import dns.exception
        import dns.message

        try:
            parsed = dns.message.from_wire(response)
        except dns.exception.DNSException:
            return
        ttls = [entry.ttl for section in (parsed.answer, parsed.authority) for entry in section]
        lifetime_s = min([CACHE_S, *map(float, ttls)]) if ttls else 0.0
        if lifetime_s > 0:
            self._cache[key] = (self._clock.monotonic() + lifetime_s, response)
            self._cache.move_to_end(key)
            if len(self._cache) > CACHE_LIMIT:
                self._cache.popitem(last=False)


class _Asker(asyncio.DatagramProtocol):
    """Takes the first datagram that answers our question; a forged one has to guess its number and our port."""

    def __init__(self, answer: asyncio.Future[bytes], identity: int) -> None:
        self._answer = answer
        self._identity = identity

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) >= 12 and data[:2] == struct.pack("!H", self._identity) and not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


def _with_id(message: bytes, identity: int) -> bytes:
    return struct.pack("!H", identity) + message[2:]


def _for(response: bytes, question: Question) -> bytes:
    """``response`` for whoever asked ``question``: its number, and the name as this client spelled it (some check that)."""
    end = 12 + len(question.raw)
    if response[12:end].lower() == question.raw.lower():
        response = response[:12] + question.raw + response[end:]
    return _with_id(response, question.id)


def resolvers_of(resolv_conf: str) -> list[tuple[str, int]]:
    """The ``nameserver`` lines of a resolv.conf."""
    servers = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            servers.append((words[1], 53))
    return servers
