"""The DNS server's sockets: UDP and TCP on one port, answered by a zone and a forwarder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Awaitable, Callable
from random import Random

from steersman.aio.clock import Clock
from steersman.dns.forward import Forwarder
from steersman.dns.message import (
    AAAA,
    IN,
    NOERROR,
    NXDOMAIN,
    REFUSED,
    TCP_BYTES,
    A,
    MalformedQuery,
    Question,
    Record,
    build_response,
    parse_question,
)
from steersman.dns.zone import Answer, Zone

TCP_IDLE_S = 10.0
ALIAS_DEPTH = 8
log = logging.getLogger(__name__)


class Resolver:
    """Answers one query: from the zone where the name is ours, else from elsewhere."""

    def __init__(self, zone: Zone, forwarder: Forwarder, *, rng: Random) -> None:
        self._zone = zone
        self._forwarder = forwarder
        self._rng = rng

    def answer_now(self, question: Question, *, limit: int) -> bytes | None:
        """The response where nobody else has to be asked, else None."""
        if question.klass != IN:
            return build_response(question, code=REFUSED, authoritative=False)
        answer = self._zone.lookup(question.name, question.type)
        if answer is None or (answer.alias and question.type in (A, AAAA)):
            return None
        return self._respond(question, answer, limit)

    async def answer(self, question: Question, query: bytes, *, over_tcp: bool, limit: int) -> bytes:
        """The response, whoever has to be asked for it."""
        found = self._zone.lookup(question.name, question.type)
        if found is None:
            return await self._forwarder.ask(question, query, over_tcp=over_tcp, limit=limit)
        records = [record.encode() for record in found.records]
        alias = found.alias
        for _ in range(ALIAS_DEPTH):
            if not alias:
                break
            following = self._zone.lookup(alias, question.type)
            if following is None:
                records += await self._ask_for_alias(question, alias)
                break
            records += [
                Record(record.type, record.ttl_s, record.data, name=record.name or alias).encode()
                for record in following.records
            ]
            alias = following.alias
        return build_response(question, answers=records, limit=limit)

    def _respond(self, question: Question, answer: Answer, limit: int) -> bytes:
        if not answer.records:
            code = NOERROR if answer.exists else NXDOMAIN
            return build_response(question, authority=[self._zone.authority().encode()], code=code, limit=limit)
        encoded = [record.encode() for record in answer.records]
        if len(encoded) > 1:
            self._rng.shuffle(encoded)
        return build_response(question, answers=encoded, limit=limit)

    async def _ask_for_alias(self, question: Question, alias: bytes) -> list[bytes]:
        """The addresses of a name that is not ours, as records of it."""
        import dns.message

        query = struct.pack("!HHHHHH", 0, 0x0100, 1, 0, 0, 0) + alias + struct.pack("!HH", question.type, IN)
        response = await self._forwarder.ask(parse_question(query), query, over_tcp=False, limit=TCP_BYTES)
        records: list[bytes] = []
        for entry in dns.message.from_wire(response).answer:
            owner = entry.name.to_wire()
            for item in entry:
                data = item.to_wire()
                records.append(Record(int(entry.rdtype), entry.ttl, data or b"", name=owner or b"").encode())
        return records


class DNSServer:
    """Listens on one address until closed."""

    def __init__(self, resolver: Resolver, *, clock: Clock) -> None:
        self._resolver = resolver
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self.queries = 0

    async def run(self, address: str, port: int) -> None:
        """Serve until cancelled. Raises ``OSError`` when the address is taken."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _UDP(self), local_addr=(address, port))
        listener = await asyncio.start_server(self._serve_stream, address, port)
        try:
            await loop.create_future()
        finally:
            transport.close()
            listener.close()
            for task in tuple(self._tasks):
                task.cancel()

    def handle(self, data: bytes, reply: Callable[[bytes], None]) -> None:
        """One datagram: answered at once, or in a task where somebody else has to be asked."""
        self.queries += 1
        try:
            question = parse_question(data)
        except MalformedQuery as error:
            if error.reply:
                reply(error.reply)
            return
        limit = question.udp_limit
        now = self._resolver.answer_now(question, limit=limit)
        if now is not None:
            reply(now)
            return
        self._spawn(self._reply_later(question, data, reply, limit))

    async def _reply_later(self, question: Question, data: bytes, reply: Callable[[bytes], None], limit: int) -> None:
        reply(await self._resolver.answer(question, data, over_tcp=False, limit=limit))

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            while True:
                length = await self._clock.wait_for(reader.readexactly(2), TCP_IDLE_S)
                data = await self._clock.wait_for(reader.readexactly(struct.unpack("!H", length)[0]), TCP_IDLE_S)
                self.queries += 1
                try:
                    question = parse_question(data)
                except MalformedQuery as error:
                    writer.write(struct.pack("!H", len(error.reply)) + error.reply if error.reply else b"")
                    break
                response = self._resolver.answer_now(question, limit=TCP_BYTES)
                if response is None:
                    response = await self._resolver.answer(question, data, over_tcp=True, limit=TCP_BYTES)
                writer.write(struct.pack("!H", len(response)) + response)
                await writer.drain()
        writer.close()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a query failed", exc_info=task.exception())


class _UDP(asyncio.DatagramProtocol):
    def __init__(self, server: DNSServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        transport = self._transport
        if transport is not None:
            self._server.handle(data, lambda response: transport.sendto(response, addr))
