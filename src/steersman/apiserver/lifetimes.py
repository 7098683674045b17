"""Until when a response lasts: of streams, watches and upgraded connections long after the request was answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from steersman.apiserver.watching import Watch
from steersman.meta.wire import Connection, Response


def lasts(response: Response) -> bool:
    """There is more to come than ``response`` itself."""
    return response.stream is not None or response.watch is not None or response.upgrade is not None


def at_end(response: Response, ended: Callable[[], None]) -> Response:
    """A response that calls ``ended`` once it is over, however it ends; at once where nothing is to come."""
    if response.stream is not None:
        return replace(response, stream=_Until(response.stream, ended))
    if isinstance(response.watch, Watch):
        response.watch.when_ended(ended)
        return response
    if response.watch is not None:
        return replace(response, watch=_Until(response.watch, ended))
    if response.upgrade is not None:
        return replace(response, upgrade=_until(response.upgrade, ended))
    ended()
    return response


def counting(response: Response, ended: Callable[[int], None]) -> Response:
    """``at_end`` of a stream, which is told how many bytes there were."""
    if response.stream is None:
        return at_end(response, lambda: ended(0))
    counted = _Counted(response.stream)
    return replace(response, stream=_Until(counted, lambda: ended(counted.size_bytes)))


class _Counted:
    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self.size_bytes = 0

    def __aiter__(self) -> _Counted:
        return self

    async def __anext__(self) -> bytes:
        data = await self._source.__anext__()
        self.size_bytes += len(data)
        return data

    async def aclose(self) -> None:
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()


class _Until:
    """An iterator that says when it is exhausted or closed, also where it was never begun."""

    def __init__(self, source: AsyncIterator[Any], ended: Callable[[], None]) -> None:
        self._source = source
        self._ended: Callable[[], None] | None = ended

    def __aiter__(self) -> _Until:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._source.__anext__()
        except BaseException:
            self._end()
            raise

    async def aclose(self) -> None:
        try:
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()


def _until(
    upgrade: Callable[[Connection], Awaitable[None]], ended: Callable[[], None]
) -> Callable[[Connection], Awaitable[None]]:
    async def upgraded(connection: Connection) -> None:
        try:
            await upgrade(connection)
        finally:
            ended()

    return upgraded
