"""``GET /containerLogs/{namespace}/{pod}/{container}``: the query becomes ``LogOptions``, the file becomes a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web
from multidict import MultiMapping

from steersman.aio.clock import Clock
from steersman.kubelet.logs import LogOptions, read_logs
from steersman.kubelet.runtimes.api import NotFound as RuntimeNotFound
from steersman.kubelet.runtimes.api import RuntimeService
from steersman.kubelet.server_api import ContainerLocation
from steersman.meta.errors import APIError, BadRequest
from steersman.meta.times import parse_time

_TRUE: Final = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "false", "FALSE", "False", ""))
_STREAMS: Final = {
    "All": frozenset(("stdout", "stderr")),
    "Stdout": frozenset(("stdout",)),
    "Stderr": frozenset(("stderr",)),
}


class InvalidLogOptions(APIError):
    """422: each value is a value, but not a possible one."""

    code, reason = 422, "Invalid"


def wants_previous(query: MultiMapping[str]) -> bool:
    return _flag(query, "previous")


def log_options(query: MultiMapping[str], *, now_s: float) -> LogOptions:
    """``PodLogOptions`` of a query. Raises ``BadRequest`` or ``InvalidLogOptions``."""
    tail = query.get("tail", query.get("tailLines"))
    tail_lines = None if tail in (None, "all") else _number(tail, minimum=0)
    since_seconds = query.get("sinceSeconds")
    since_time = query.get("sinceTime")
    if since_seconds is not None and since_time is not None:
        raise InvalidLogOptions('{"message": "Invalid request."}')
    since_s = None
    if since_seconds is not None:
        since_s = now_s - _number(since_seconds, minimum=1)
    elif since_time:
        try:
            since_s = parse_time(since_time)
        except ValueError as error:
            raise BadRequest('{"message": "Unable to decode query."}') from error
    limit = query.get("limitBytes")
    stream = query.get("stream", "All")
    if stream not in _STREAMS or (stream != "All" and tail_lines is not None):
        raise InvalidLogOptions('{"message": "Invalid request."}')
    return LogOptions(
        follow=_flag(query, "follow"),
        timestamps=_flag(query, "timestamps"),
        tail_lines=tail_lines,
        since_s=since_s,
        limit_bytes=None if limit is None else _number(limit, minimum=1),
        streams=_STREAMS[stream],
    )


async def serve(
    request: web.Request, location: ContainerLocation, options: LogOptions, runtime: RuntimeService, clock: Clock
) -> web.StreamResponse:
    """Stream the log. What goes wrong after the first byte can only end the stream; a client that goes away cancels it."""

    async def is_running() -> bool:
        try:
            status = await runtime.container_status(location.container_id)
        except RuntimeNotFound:
            return False
        return status.state in ("RUNNING", "CREATED")

    pieces = read_logs(Path(location.log_path), options, is_running=is_running, clock=clock)
    try:
        first = None if options.follow else await anext(pieces, b"")
    except FileNotFoundError as error:
        raise BadRequest(str(error)) from error
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    if first:
        await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


def _flag(query: MultiMapping[str], name: str) -> bool:
    text = query.get(name, "")
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise BadRequest('{"message": "Unable to decode query."}')


def _number(text: str | None, *, minimum: int) -> int:
    try:
        number = int(text or "")
    except ValueError as error:
        raise BadRequest('{"message": "Unable to decode query."}') from error
    if number < minimum:
        raise InvalidLogOptions('{"message": "Invalid request."}')
    return number
