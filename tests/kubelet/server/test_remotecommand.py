"""Exec and attach over WebSocket in every version of the protocol, and over SPDY."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from steersman.aio.spdy import SPDYConnection, SPDYStream
from tests.kubelet.server.conftest import Running
from tests.kubelet.server.loopback import GOOD_TOKEN

EXEC = "/exec/default/web/main"
V5, V4, V1 = "v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


async def received(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """Everything until the server closes, by channel."""
    channels: dict[int, bytes] = {}
    async with asyncio.timeout(10):
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                channels[message.data[0]] = channels.get(message.data[0], b"") + message.data[1:]
            else:
                channel = int(message.data[0])
                channels[channel] = channels.get(channel, b"") + base64.b64decode(message.data[1:])
    return channels


async def test_v5_ends_standard_input_and_tells_success(running: Running) -> None:
    async with running.session() as session:
        socket = await session.ws_connect(f"{EXEC}?command=cat&input=1&output=1", protocols=[V5, V4])
        assert socket.protocol == V5
        assert (await socket.receive()).data == bytes((STDOUT,)), "the streams are open"
        await socket.send_bytes(bytes((STDIN,)) + b"hello ")
        await socket.send_bytes(bytes((STDIN,)) + b"world")
        await socket.send_bytes(bytes((255, STDIN)))
        channels = await received(socket)
    assert channels[STDOUT] == b"hello world"
    assert json.loads(channels[ERROR]) == {"metadata": {}, "status": "Success"}


async def test_v4_tells_the_exit_code_as_a_status(running: Running) -> None:
    async with running.session() as session:
        socket = await session.ws_connect(f"{EXEC}?command=exit&command=7&output=1&error=1", protocols=[V4])
        channels = await received(socket)
    status = json.loads(channels[ERROR])
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


async def test_outputs_are_separate(running: Running) -> None:
    async with running.session() as session:
        socket = await session.ws_connect(f"{EXEC}?command=both&output=1&error=1", protocols=[V4])
        channels = await received(socket)
    assert (channels[STDOUT], channels[STDERR]) == (b"to stdout", b"to stderr")


async def test_a_command_that_cannot_run_is_an_internal_error(running: Running) -> None:
    async with running.session() as session:
        socket = await session.ws_connect(f"{EXEC}?command=fail&output=1", protocols=[V5])
        status = json.loads((await received(socket))[ERROR])
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert "no such command" in status["message"]


async def test_base64_and_the_first_version_are_understood(running: Running) -> None:
    async with running.session() as session:
        socket = await session.ws_connect(
            f"{EXEC}?command=cat&input=1&output=1", protocols=["v4.base64.channel.k8s.io"]
        )
        assert (await socket.receive()).data == "1"
        await socket.send_str("0" + base64.b64encode(b"text").decode())
        assert (await socket.receive()).data == "1" + base64.b64encode(b"text").decode()
        await socket.close()
        socket = await session.ws_connect(f"{EXEC}?command=exit&command=3&output=1", protocols=[V1])
        channels = await received(socket)
        assert channels[ERROR].startswith(b"command terminated with non-zero exit code")
        socket = await session.ws_connect(f"{EXEC}?command=both&output=1&error=1")
        assert (await received(socket))[STDOUT] == b"to stdout"


async def test_the_terminal_is_resized(running: Running) -> None:
    async with running.session() as session:
        socket = await session.ws_connect(f"{EXEC}?command=size&input=1&output=1&error=1&tty=1", protocols=[V5])
        for width, height in ((80, 24), (0, 0)):
            await socket.send_bytes(bytes((RESIZE,)) + json.dumps({"Width": width, "Height": height}).encode())
        assert (await received(socket))[STDOUT] == b"80x24 0x0 "


async def test_a_client_that_goes_away_ends_the_session(running: Running) -> None:
    async with running.session() as session:
        socket = await session.ws_connect(f"{EXEC}?command=cat&input=1&output=1", protocols=[V5])
        await socket.receive()
        await socket.close()
    async with asyncio.timeout(5):
        await running.runtime.sessions[0].closed.wait()


async def test_attach_speaks_the_same(running: Running) -> None:
    async with running.session() as session:
        socket = await session.ws_connect("/attach/default/web/u1/main?input=1&output=1", protocols=[V5])
        await socket.send_bytes(b"\x00typed")
        await socket.send_bytes(bytes((255, STDIN)))
        assert (await received(socket))[STDOUT] == b"typed"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{EXEC}?command=ls", 400),
        (f"{EXEC}?output=1", 400),
        ("/exec/default/web/waiting?command=ls&output=1", 500),
        ("/exec/default/other/main?command=ls&output=1", 404),
        ("/exec/default/web/other-uid/main?command=ls&output=1", 404),
        (f"{EXEC}?command=ls&output=1", 400),
    ],
)
async def test_bad_requests_are_refused_before_any_upgrade(running: Running, path: str, status: int) -> None:
    async with running.session() as session, session.post(path) as response:
        assert response.status == status


# ---- SPDY --------------------------------------------------------------------------------------------------------


class Socket:
    """A client's connection after the upgrade."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(65536)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()


async def upgrade(running: Running, path: str, *protocols: str) -> tuple[bytes, Socket]:
    """The response's head, and the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port, ssl=running.tls())
    lines = [
        f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {GOOD_TOKEN}", "Connection: Upgrade",
        "Upgrade: SPDY/3.1", *(f"X-Stream-Protocol-Version: {protocol}" for protocol in protocols), "Content-Length: 0",
    ]  # fmt: skip
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101"):
        head += await reader.read(4096)
    return head, Socket(reader, writer)


@asynccontextmanager
async def spdy(running: Running, path: str, *protocols: str) -> AsyncIterator[SPDYConnection]:
    head, socket = await upgrade(running, path, *protocols)
    assert head.startswith(b"HTTP/1.1 101"), head
    connection = SPDYConnection(socket, server=False)
    reader = asyncio.create_task(connection.run())
    try:
        yield connection
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await socket.close()


async def streams(connection: SPDYConnection, *names: str) -> list[SPDYStream]:
    return [await connection.open_stream({"streamType": name}) for name in names]


async def everything(stream: SPDYStream) -> bytes:
    data = b""
    async with asyncio.timeout(10):
        while piece := await stream.read():
            data += piece
    return data


async def test_spdy_carries_all_streams(running: Running) -> None:
    async with spdy(running, f"{EXEC}?command=cat&input=1&output=1&error=1", V4, "v3.channel.k8s.io") as connection:
        error, stdin, stdout, stderr = await streams(connection, "error", "stdin", "stdout", "stderr")
        await stdin.write(b"x" * 100_000)
        await stdin.close_write()
        assert len(await everything(stdout)) == 100_000
        assert await everything(stderr) == b""
        assert json.loads(await everything(error))["status"] == "Success"


async def test_spdy_resizes_and_waits_for_every_stream(running: Running) -> None:
    async with spdy(running, f"{EXEC}?command=size&input=1&output=1&tty=1", V4) as connection:
        _, _, stdout, resize = await streams(connection, "error", "stdin", "stdout", "resize")
        await resize.write(b'{"Width":132,"Height":43}\n{"Width":0,')
        await resize.write(b'"Height":0}\n')
        assert await everything(stdout) == b"132x43 0x0 "


async def test_older_spdy_protocols_tell_failures_as_text(running: Running) -> None:
    async with spdy(running, f"{EXEC}?command=exit&command=2&output=1", "v2.channel.k8s.io") as connection:
        error, _ = await streams(connection, "error", "stdout")
        assert (await everything(error)).startswith(b"command terminated with non-zero exit code")


async def test_a_spdy_client_that_goes_away_ends_the_session(running: Running) -> None:
    async with spdy(running, f"{EXEC}?command=cat&input=1&output=1", V4) as connection:
        await streams(connection, "error", "stdin", "stdout")
        await asyncio.wait_for(running.runtime.begun.wait(), 5)
    await asyncio.wait_for(running.runtime.sessions[0].closed.wait(), 5)


async def test_an_unknown_protocol_is_refused_with_what_is_known(running: Running) -> None:
    head, socket = await upgrade(running, f"{EXEC}?command=cat&output=1", "v9.channel.k8s.io")
    await socket.close()
    assert head.startswith(b"HTTP/1.1 403")
    assert b"server accepts [v4.channel.k8s.io v3.channel.k8s.io" in head


# ---- port-forward ------------------------------------------------------------------------------------------------

FORWARD = "/portForward/default/web"


async def pair(connection: SPDYConnection, port: int, number: int) -> tuple[SPDYStream, SPDYStream]:
    headers = {"port": str(port), "requestID": str(number)}
    error = await connection.open_stream({"streamType": "error", **headers})
    await error.close_write()
    return error, await connection.open_stream({"streamType": "data", **headers})


async def check_forwarding(connection: SPDYConnection) -> None:
    """Two connections at once, and one to a port nobody listens on."""
    first, second = await pair(connection, 80, 0), await pair(connection, 81, 1)
    for (_, data), text in ((first, b"one"), (second, b"two")):
        await data.write(text)
        assert await data.read() == text.upper()
        await data.close_write()
    for error, data in (first, second):
        assert (await everything(data), await everything(error)) == (b"", b"")
    error, _ = await pair(connection, 9, 2)
    assert b"error forwarding port 9 to pod web_default" in await everything(error)


async def test_ports_are_forwarded_over_spdy(running: Running) -> None:
    async with spdy(running, FORWARD, "portforward.k8s.io") as connection:
        await check_forwarding(connection)


async def test_ports_are_forwarded_over_spdy_inside_a_websocket(running: Running) -> None:
    class Tunnel:
        def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
            self._socket = socket

        async def read(self) -> bytes:
            message: Any = await self._socket.receive()
            return message.data if message.type is aiohttp.WSMsgType.BINARY else b""

        async def write(self, data: bytes) -> None:
            await self._socket.send_bytes(data)

        async def close(self) -> None:
            await self._socket.close()

    async with running.session() as session:
        socket = await session.ws_connect(FORWARD, protocols=["SPDY/3.1+portforward.k8s.io"])
        assert socket.protocol == "SPDY/3.1+portforward.k8s.io"
        connection = SPDYConnection(Tunnel(socket), server=False)
        reader = asyncio.create_task(connection.run())
        await check_forwarding(connection)
        await connection.close()
        await asyncio.gather(reader, return_exceptions=True)


async def test_ports_are_forwarded_over_channels(running: Running) -> None:
    async with running.session() as session:
        socket = await session.ws_connect(f"{FORWARD}?port=80,9", protocols=[V4])
        first = [(await socket.receive()).data for _ in range(4)]
        assert sorted(first) == [b"\x00\x50\x00", b"\x01\x50\x00", b"\x02\x09\x00", b"\x03\x09\x00"]
        refused = (await socket.receive()).data
        assert refused[:1] == b"\x03" and b"refused" in refused
        await socket.send_bytes(b"\x00shout")
        assert (await socket.receive()).data == b"\x00SHOUT"
        await socket.close()


@pytest.mark.parametrize(
    ("path", "status"), [(FORWARD, 400), (f"{FORWARD}?port=x", 400), ("/portForward/default/no", 404)]
)
async def test_bad_forwards_are_refused(running: Running, path: str, status: int) -> None:
    async with running.session() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(path, protocols=[V4])
        assert caught.value.status == status
