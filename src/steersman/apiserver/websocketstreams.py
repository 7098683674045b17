"""Answers that come over time as WebSocket messages: container logs and watches, for clients that ask for an upgrade.

The client only listens; what it sends is read to see its close and its pings. Frames of a server are never masked and
never split here, which is all of RFC 6455 that this direction needs. Source: the subprotocols ``binary.k8s.io`` and
``base64.binary.k8s.io`` as kube-apiserver speaks them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Final

from steersman.apiserver.call import Call
from steersman.meta.errors import BadRequest
from steersman.meta.wire import Connection, Response

BINARY: Final = "binary.k8s.io"
BASE64: Final = "base64.binary.k8s.io"
MAX_CLIENT_FRAME_BYTES: Final = 64 * 1024
"""A client that sends more in one message than this has nothing to say to a stream; it is cut."""
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = "13"
_FINAL, _TEXT, _BYTES, _CLOSE, _PING, _PONG = 0x80, 0x1, 0x2, 0x8, 0x9, 0xA
_MASKED: Final = 0x80
_NORMAL: Final = struct.pack("!H", 1000)


def wants_websocket(call: Call) -> bool:
    return call.header("upgrade").lower() == "websocket" and "upgrade" in call.header("connection").lower()


def of_bytes(call: Call, chunks: AsyncIterator[bytes]) -> Response:
    """A stream of bytes: an empty message first, then one message a chunk, in the subprotocol the client offers.

    Raises ``BadRequest`` where there is no key or no subprotocol in common.
    """
    offered = [name.strip() for name in call.header("sec-websocket-protocol").split(",") if name.strip()]
    protocol = next((name for name in offered if name in (BINARY, BASE64)), "")
    if offered and not protocol:
        raise BadRequest(f"requested protocols are not supported: {', '.join(offered)}")

    async def messages() -> AsyncIterator[bytes]:
        yield _message(b"", as_base64=protocol == BASE64)
        async for chunk in chunks:
            yield _message(chunk, as_base64=protocol == BASE64)

    return _upgraded(call, messages(), protocol)


def of_frames(call: Call, frames: AsyncIterator[bytes], *, is_text: bool) -> Response:
    """One message per frame of ``frames``, e.g. per event of a watch. Raises ``BadRequest``."""

    async def messages() -> AsyncIterator[bytes]:
        async for frame in frames:
            yield frame_of(_TEXT if is_text else _BYTES, frame)

    return _upgraded(call, messages(), "")


def _message(chunk: bytes, *, as_base64: bool) -> bytes:
    return frame_of(_TEXT, base64.b64encode(chunk)) if as_base64 else frame_of(_BYTES, chunk)


def frame_of(opcode: int, payload: bytes) -> bytes:
    """A whole, unmasked message."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", _FINAL | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", _FINAL | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", _FINAL | opcode, 127, size)
    return head + payload


def _upgraded(call: Call, messages: AsyncIterator[bytes], protocol: str) -> Response:
    key = call.header("sec-websocket-key")
    if not key or call.header("sec-websocket-version") != _VERSION:
        raise BadRequest("not a WebSocket handshake: Sec-WebSocket-Key and Sec-WebSocket-Version: 13 are required")
    accepted = base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()
    headers: Mapping[str, str] = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": accepted,
        **({"sec-websocket-protocol": protocol} if protocol else {}),
    }

    async def talk(connection: Connection) -> None:
        sending = asyncio.ensure_future(_send(connection, messages))
        listening = asyncio.ensure_future(_listen(connection))
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)
            await _close_source(messages)

    return Response(status=101, headers=headers, upgrade=talk)


async def _send(connection: Connection, messages: AsyncIterator[bytes]) -> None:
    async for message in messages:
        await connection.write(message)
    await connection.write(frame_of(_CLOSE, _NORMAL))


async def _close_source(messages: AsyncIterator[bytes]) -> None:
    close = getattr(messages, "aclose", None)
    if close is not None:
        await close()


async def _listen(connection: Connection) -> None:
    """Until the client closes, goes, or sends what a listener has no use for."""
    received = bytearray()
    while True:
        data = await connection.read()
        if not data:
            return
        received += data
        while (frame := _taken(received)) is not None:
            opcode, payload = frame
            if opcode == _CLOSE:
                with contextlib.suppress(ConnectionError):
                    await connection.write(frame_of(_CLOSE, payload[:2]))
                return
            if opcode == _PING:
                await connection.write(frame_of(_PONG, payload))
        if len(received) > MAX_CLIENT_FRAME_BYTES:
            return


def _taken(received: bytearray) -> tuple[int, bytes] | None:
    """The first whole frame, removed from ``received``; None where it has not come yet."""
    if len(received) < 2:
        return None
    opcode, size, at = received[0] & 0x0F, received[1] & 0x7F, 2
    wide = {126: 2, 127: 8}.get(size, 0)
    if wide:
        size, at = int.from_bytes(received[2 : 2 + wide]), 2 + wide
    mask_bytes = 4 if received[1] & _MASKED else 0
    end = at + mask_bytes + size
    if len(received) < end:
        return None
    mask, payload = received[at : at + mask_bytes], received[at + mask_bytes : end]
    if mask:
        payload = bytearray(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    del received[:end]
    return opcode, bytes(payload)
