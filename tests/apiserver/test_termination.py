"""SIGTERM under load: nothing that was accepted is lost, watches end properly, and nothing new is accepted afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

import steersman
from steersman.aio.clock import SystemClock
from steersman.store.drivers.sqlite import SQLiteStore
from steersman.testing.waiting import eventually
from tests.apiserver.authorities import TestAuthority

WORKERS = 8
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@dataclass
class Load:
    """What became of the requests of several clients that never pause."""

    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    is_over: bool = False


@dataclass
class Program:
    process: asyncio.subprocess.Process
    port: int
    store: Path
    session: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    async def status(self, path: str) -> int:
        try:
            async with self.session.get(self.url(path)) as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientConnectorError:
            return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    authority = TestAuthority(tmp_path)
    serving = authority.server()
    admin = authority.client_context(authority.client("admin", "system:masters"))
    port, store = _free_port(), tmp_path / "store.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "steersman.cli", "apiserver", f"--store=sqlite:{store}", "--bind-address=127.0.0.1",
        f"--secure-port={port}", f"--client-ca-file={authority.file}", f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}", "--shutdown-delay-duration=1s",
        env={**os.environ, "PYTHONPATH": str(Path(steersman.__file__).parents[1])},
    )  # fmt: skip
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=admin, limit=0)) as session:
        found = Program(process, port, store, session)

        async def is_ready() -> bool:
            return await found.status("/readyz") == 200

        try:
            await eventually(is_ready, timeout_s=60)
            yield found
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _create_for_ever(program: Program, load: Load, worker: int) -> None:
    number = 0
    while not load.is_over:
        name = f"m-{worker}-{number}"
        number += 1
        try:
            async with program.session.post(program.url(CONFIGMAPS), json={"metadata": {"name": name}}) as answer:
                await answer.read()
                if answer.status == 201:
                    load.acknowledged.append(name)
                else:
                    load.failures.append(f"{name}: status {answer.status}")
        except aiohttp.ClientConnectorError:
            load.refused += 1
            return
        except (aiohttp.ClientError, OSError) as error:
            load.failures.append(f"{name}: {error!r}")


async def _watch(program: Program) -> bytes:
    """Everything that a watch says. Raises ``aiohttp.ClientPayloadError`` where it does not end as it should."""
    async with program.session.get(program.url(f"{CONFIGMAPS}?watch=1")) as answer:
        return await answer.read()


async def test_sigterm_under_load_loses_nothing(program: Program) -> None:
    load = Load()
    watching = asyncio.ensure_future(_watch(program))
    working = [asyncio.ensure_future(_create_for_ever(program, load, worker)) for worker in range(WORKERS)]
    await eventually(lambda: len(load.acknowledged) > 100, timeout_s=60)

    program.process.send_signal(signal.SIGTERM)

    async def fails_readyz() -> bool:
        return await program.status("/readyz") == 500

    await eventually(fails_readyz, timeout_s=10)
    assert await program.status("/livez") == 200, "it is still alive, and answers for a while"
    before = len(load.acknowledged)
    await eventually(lambda: len(load.acknowledged) > before, timeout_s=10)
    assert await asyncio.wait_for(program.process.wait(), 40) == 0
    load.is_over = True
    await asyncio.wait_for(asyncio.gather(*working), 30)
    assert load.failures == []
    assert load.refused == WORKERS
    events = (await asyncio.wait_for(watching, 10)).splitlines()
    assert len(events) > 100
    assert await program.status("/livez") == 0

    store = SQLiteStore(program.store, SystemClock())
    await store.start()
    kept = {item.key.rpartition("/")[2] for item in (await store.range("/registry/configmaps/default/")).items}
    await store.close()
    assert set(load.acknowledged) <= kept
    assert {event.partition(b'"name":"')[2].partition(b'"')[0].decode() for event in events} <= kept


async def test_a_slow_reader_gets_all_that_was_accepted(program: Program) -> None:
    size_bytes = 700_000
    for name in ("a", "b", "c"):
        body = {"metadata": {"name": name}, "data": {"fill": "x" * size_bytes}}
        async with program.session.post(program.url(CONFIGMAPS), json=body) as answer:
            assert answer.status == 201
    async with program.session.get(program.url(CONFIGMAPS)) as answer:
        first = await answer.content.readexactly(1000)
        program.process.send_signal(signal.SIGTERM)

        async def listens_no_more() -> bool:
            return await program.status("/livez") == 0

        await eventually(listens_no_more, timeout_s=20)
        rest = await answer.read()
    assert len(first) + len(rest) > 3 * size_bytes
    assert rest.endswith(b"]}")
    assert await asyncio.wait_for(program.process.wait(), 40) == 0


async def test_a_second_signal_is_for_those_who_will_not_wait(program: Program) -> None:
    watching = asyncio.ensure_future(_watch(program))
    program.process.send_signal(signal.SIGTERM)

    async def fails_readyz() -> bool:
        return await program.status("/readyz") == 500

    await eventually(fails_readyz, timeout_s=10)
    program.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(program.process.wait(), 10) == 1
    await asyncio.gather(watching, return_exceptions=True)
