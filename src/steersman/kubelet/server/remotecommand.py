"""Exec and attach between a client's streams and a container's.

The client's end is a ``RemoteStreams``: ``websocket`` and ``spdy_streams`` each make one from an upgraded request, so
that what happens with the bytes is written once, here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol

from aiohttp import web
from msgspec import Struct
from multidict import MultiMapping

from steersman.kubelet.runtimes.api import RuntimeServiceError, Session
from steersman.meta.errors import BadRequest

StreamName = Literal["stdin", "stdout", "stderr", "error", "resize"]

V5: Final = "v5.channel.k8s.io"
V4: Final = "v4.channel.k8s.io"
V3: Final = "v3.channel.k8s.io"
V2: Final = "v2.channel.k8s.io"
V1: Final = "channel.k8s.io"
V4_BASE64: Final = "v4.base64.channel.k8s.io"
V1_BASE64: Final = "base64.channel.k8s.io"
MAX_RESIZE_BYTES: Final = 4096


class StreamOptions(Struct, frozen=True, kw_only=True):
    """Which streams a client wants."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, query: MultiMapping[str]) -> StreamOptions:
        """From a kubelet request's query (``input``, ``output``, ``error``, ``tty``). Raises ``BadRequest``."""
        stdin, stdout, stderr, tty = (query.get(name) == "1" for name in ("input", "output", "error", "tty"))
        if tty and stderr:
            stderr = False  # a terminal has one output
        if not (stdin or stdout or stderr):
            raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
        return cls(stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)


class TerminalSize(Struct, frozen=True, kw_only=True):
    width: int
    height: int

    @classmethod
    def parse(cls, text: bytes) -> TerminalSize | None:
        """``{"Width":80,"Height":24}``; None for anything else."""
        try:
            size = json.loads(text)
            return cls(width=int(size["Width"]) & 0xFFFF, height=int(size["Height"]) & 0xFFFF)
        except (ValueError, KeyError, TypeError):
            return None


class RemoteStreams(Protocol):
    """The client's end of an exec or attach."""

    writes_status: bool
    """The error stream carries a ``v1.Status`` (from v4 on), not a text."""

    async def read_stdin(self) -> bytes:
        """The next input; empty at its end. Raises ``ConnectionError`` when the client is gone."""

    async def read_resize(self) -> TerminalSize | None:
        """The terminal's next size; None when there will be no more."""

    async def write(self, stream: StreamName, data: bytes) -> None: ...

    async def wait_closed(self) -> None:
        """Until the client is gone."""

    async def close(self) -> None:
        """After everything written has been sent."""


class StreamsRequest(Protocol):
    """Makes the client's end from a request, negotiating its protocol."""

    async def open(self, request: web.Request, options: StreamOptions) -> tuple[RemoteStreams, web.StreamResponse]: ...


async def serve(session: Session, streams: RemoteStreams, options: StreamOptions, command: Sequence[str]) -> None:
    """Carry bytes both ways until the process has ended or the client is gone, and tell the client how it ended."""
    inputs = [asyncio.create_task(_forward_stdin(session, streams), name="stdin")] if options.stdin else []
    if options.tty:
        inputs.append(asyncio.create_task(_forward_resizes(session, streams), name="resize"))
    outputs = asyncio.create_task(_forward_outputs(session, streams, command), name="output")
    gone = asyncio.create_task(streams.wait_closed(), name="client")
    try:
        await asyncio.wait({outputs, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        tasks = [*inputs, outputs, gone]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await session.close()
        with contextlib.suppress(ConnectionError):
            await streams.close()


async def _forward_stdin(session: Session, streams: RemoteStreams) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await streams.read_stdin():
            await session.write_stdin(data)
        await session.close_stdin()


async def _forward_resizes(session: Session, streams: RemoteStreams) -> None:
    with contextlib.suppress(ConnectionError):
        while (size := await streams.read_resize()) is not None:
            await session.resize(width=size.width, height=size.height)


async def _forward_outputs(session: Session, streams: RemoteStreams, command: Sequence[str]) -> None:
    with contextlib.suppress(ConnectionError):
        while (output := await session.read()) is not None:
            await streams.write(output.stream, output.data)
        try:
            code = await session.wait()
        except RuntimeServiceError as error:
            status = failure_status(f"error executing command in container: {error}")
        else:
            status = exit_status(code, command)
        if streams.writes_status:
            await streams.write("error", json.dumps(status).encode())
        elif status["status"] != "Success":
            await streams.write("error", status["message"].encode())


def exit_status(code: int, command: Sequence[str]) -> dict[str, Any]:
    """The ``v1.Status`` that tells a client how its command ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    words = " ".join(command)
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: error executing command [{words}], exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure_status(message: str) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
