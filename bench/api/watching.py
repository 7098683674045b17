"""One writer, a thousand watchers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import cast

from bench.api.serving import JSON, PROTOBUF, Server, creating, encoded, get, once

WATCHERS = 1_000
EVENTS = 50
_MAPS = "/api/v1/namespaces/kube-public/configmaps"
_MARKS: dict[str, tuple[str, bytes]] = {"watch": (JSON, b'{"type":"'), "watch_protobuf": (PROTOBUF, b"ADDED")}
"""What stands once in each frame."""


class _Watcher(asyncio.Protocol):
    """Counts the events it is sent."""

    def __init__(self, path: str, accept: str, mark: bytes) -> None:
        self._request = get(path, accept=accept)
        self._mark = mark
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.WriteTransport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self.events += data.count(self._mark)


async def fan_out(running: Server, results: dict[str, float]) -> None:
    for case, (accept, mark) in _MARKS.items():
        watchers = await _watchers(running, accept, mark)
        seconds, cpu_s = await _deliveries(running, case, [watcher for _, watcher in watchers])
        results[f"{case}/deliveries_per_second"] = WATCHERS * EVENTS / seconds
        results[f"{case}/deliveries_per_core_second"] = WATCHERS * EVENTS / cpu_s
        results[f"{case}/resident_mb"] = running.resident_mb()
        for transport, _ in watchers:
            transport.close()


async def _watchers(running: Server, accept: str, mark: bytes) -> list[tuple[asyncio.BaseTransport, _Watcher]]:
    loop = asyncio.get_running_loop()
    version = json.loads(await once(running, get(_MAPS)))["metadata"]["resourceVersion"]
    make: Callable[[], _Watcher] = lambda: _Watcher(f"{_MAPS}?watch=1&resourceVersion={version}", accept, mark)  # noqa: E731
    opened: list[tuple[asyncio.BaseTransport, _Watcher]] = []
    for _ in range(WATCHERS // 50):
        connecting = (loop.create_connection(make, "127.0.0.1", running.port, ssl=running.tls) for _ in range(50))
        opened += await asyncio.gather(*connecting)
    return opened


async def _deliveries(running: Server, case: str, watchers: list[_Watcher]) -> tuple[float, float]:
    """(seconds, seconds of the server's CPU) until every watcher has every event."""
    connection = await running.connect()
    loop = asyncio.get_running_loop()
    data = {"text": "x" * 600}

    async def write(name: str) -> None:
        await connection.request(*creating(_MAPS, encoded({"metadata": {"name": f"{case.replace('_', '-')}-{name}"}, "data": data})))  # fmt: skip

    async def until(count: int) -> None:
        async with asyncio.timeout(60):
            while sum(watcher.events for watcher in watchers) < count:  # noqa: ASYNC110 - the counters are all there is
                await asyncio.sleep(0.001)

    await write("first")
    await until(WATCHERS)
    cpu_s, began_s = running.cpu_s(), loop.time()
    for number in range(EVENTS):
        await write(f"event-{number}")
    await until(WATCHERS * (EVENTS + 1))
    took = loop.time() - began_s, running.cpu_s() - cpu_s
    connection.close()
    return took
