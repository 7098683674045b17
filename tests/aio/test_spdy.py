"""SPDY/3.1: two ends of one byte stream."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from steersman.aio.spdy import DICTIONARY, STREAM_BUFFER_BYTES, SPDYConnection, SPDYError


class Pipe:
    """One end of a pair of byte streams that hand on pieces of at most ``piece`` bytes."""

    def __init__(self, inbox: asyncio.Queue[bytes], outbox: asyncio.Queue[bytes], piece: int) -> None:
        self._inbox, self._outbox, self._piece = inbox, outbox, piece

    async def read(self) -> bytes:
        return await self._inbox.get()

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), self._piece):
            await self._outbox.put(data[start : start + self._piece])

    async def close(self) -> None:
        await self._outbox.put(b"")


@asynccontextmanager
async def connected(piece: int = 1 << 20) -> AsyncIterator[tuple[SPDYConnection, SPDYConnection]]:
    there: asyncio.Queue[bytes] = asyncio.Queue(64)
    back: asyncio.Queue[bytes] = asyncio.Queue(64)
    client = SPDYConnection(Pipe(back, there, piece), server=False)
    server = SPDYConnection(Pipe(there, back, piece), server=True)
    tasks = [asyncio.create_task(client.run()), asyncio.create_task(server.run())]
    try:
        yield client, server
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_the_dictionary_is_the_published_one() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
async def test_headers_and_bytes_arrive_however_they_are_cut(piece: int) -> None:
    async with connected(piece) as (client, server):
        sent = await client.open_stream({"streamType": "stdin", "X-Other": "ä"})
        received = await server.accept()
        assert received is not None
        assert received.headers == {"streamtype": "stdin", "x-other": "ä"}
        await sent.write(b"hello")
        await sent.close_write()
        assert await _all(received.read) == b"hello"
        await received.write(b"answer")
        await received.close_write()
        assert await _all(sent.read) == b"answer"


async def test_header_compression_keeps_its_state_over_streams() -> None:
    async with connected() as (client, server):
        for number in range(5):
            await client.open_stream({"streamtype": "data", "port": str(number)})
            accepted = await server.accept()
            assert accepted is not None and accepted.headers["port"] == str(number)


async def test_both_sides_open_streams() -> None:
    async with connected() as (client, server):
        await server.open_stream({"from": "server"})
        await client.open_stream({"from": "client"})
        first, second = await client.accept(), await server.accept()
        assert first is not None and second is not None
        assert (first.headers["from"], second.headers["from"]) == ("server", "client")


async def test_a_large_write_arrives_whole_and_a_slow_reader_stops_the_writer() -> None:
    payload = bytes(range(256)) * (4 * STREAM_BUFFER_BYTES // 256)
    async with connected(16 * 1024) as (client, server):
        sent = await client.open_stream({})
        received = await server.accept()
        assert received is not None

        async def write() -> None:
            await sent.write(payload)
            await sent.close_write()

        writing = asyncio.create_task(write())
        for _ in range(1000):
            await asyncio.sleep(0)
        assert received._buffered_bytes < 2 * STREAM_BUFFER_BYTES
        assert await _all(received.read) == payload
        await writing


async def test_a_reset_fails_the_other_side() -> None:
    async with connected() as (client, server):
        sent = await client.open_stream({})
        received = await server.accept()
        assert received is not None
        await received.reset()
        with pytest.raises(SPDYError, match="reset by the peer"):
            await sent.read()
        with pytest.raises(SPDYError):
            await sent.write(b"x")


async def test_the_end_of_the_connection_ends_everything() -> None:
    async with connected() as (client, server):
        sent = await client.open_stream({})
        await server.accept()
        await server.close()
        with pytest.raises(SPDYError):
            await sent.read()
        assert await client.accept() is None
        with pytest.raises(SPDYError, match="closed"):
            await server.open_stream({})


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (struct.pack(">HHI", 0x8002, 1, 0), "version 2"),
        (struct.pack(">HHI", 0x8003, 1, 0), "too short"),
        (struct.pack(">HHI", 0x8003, 77, 0), "unknown control frame 77"),
        (struct.pack(">HHIIIH", 0x8003, 1, 12, 1, 0, 0) + b"\xff\xff", "header block"),
        (struct.pack(">HHI", 0x8003, 8, 0xFFFFFF), "control frame of"),
        (b"\x80\x03\x00", "inside a frame"),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(frame: bytes, why: str) -> None:
    inbox: asyncio.Queue[bytes] = asyncio.Queue()
    server = SPDYConnection(Pipe(inbox, asyncio.Queue(), 1024), server=True)
    inbox.put_nowait(frame)
    inbox.put_nowait(b"")
    with pytest.raises(SPDYError, match=why):
        await server.run()


async def test_a_header_bomb_is_refused() -> None:
    packer = zlib.compressobj(wbits=15, zdict=DICTIONARY)
    block = packer.compress(b"\x00" * (64 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)
    frame = struct.pack(">IIBB", 1, 0, 0, 0) + block
    inbox: asyncio.Queue[bytes] = asyncio.Queue()
    inbox.put_nowait(b"\x80\x03\x00\x01\x00" + len(frame).to_bytes(3, "big") + frame)
    with pytest.raises(SPDYError, match="more than"):
        await SPDYConnection(Pipe(inbox, asyncio.Queue(), 1024), server=True).run()


async def _all(read: object) -> bytes:
    assert callable(read)
    data = b""
    while piece := await read():
        data += piece
    return data
