"""The SQLite driver keeps the Store's contract, and what only it promises."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from steersman.aio.clock import FakeClock
from steersman.store.api import CompactedError, Put, StoreUnavailable, WatchBatch
from steersman.store.drivers import sqlite_writer
from steersman.store.drivers.sqlite import SQLiteStore
from steersman.testing.store_suite import Driver, StoreSuite, eventually


class TestSQLite(StoreSuite):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Driver:
        clock = FakeClock()
        return Driver(open=lambda: SQLiteStore(tmp_path / "store.db", clock), clock=clock)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest_asyncio.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path, FakeClock())
    await store.start()
    yield store
    await store.close()


async def put(store: SQLiteStore, key: str, value: bytes = b"v") -> int:
    return (await store.transact([], [Put(key=key, value=value)])).revision


def rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM log").fetchone()[0])
    finally:
        connection.close()


async def test_a_second_store_on_the_file_is_refused(store: SQLiteStore, path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="in use"):
        await SQLiteStore(path, FakeClock()).start()


def test_a_file_that_is_no_store_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be mistaken for one" * 100)
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        asyncio.run(SQLiteStore(path, FakeClock()).start())


async def test_a_file_of_a_later_format_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnavailable, match="format 99"):
        await SQLiteStore(path, FakeClock()).start()


async def test_only_its_owner_reads_the_file(store: SQLiteStore, tmp_path: Path) -> None:
    await put(store, "/secret")
    await store.backup(tmp_path / "backup.db")
    names = ("store.db", "store.db-wal", "store.db-shm", "backup.db")
    assert [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in names] == [0o600] * 4


async def test_a_lease_expires_after_a_restart_too(path: Path) -> None:
    clock = FakeClock()
    store = SQLiteStore(path, clock)
    await store.start()
    lease = await store.grant_lease(10)
    await store.transact([], [Put(key="/leased", value=b"", lease=lease)])
    await store.close()
    again = SQLiteStore(path, clock)
    await again.start()
    await clock.advance(9)
    assert await again.get("/leased") is not None

    async def expired() -> bool:
        return await again.get("/leased") is None

    await eventually(Driver(open=lambda: again, clock=clock), expired)
    await again.close()


async def test_an_observer_sees_a_commit_before_its_writer_is_acknowledged(store: SQLiteStore) -> None:
    seen: list[WatchBatch] = []
    stop = store.observe(seen.append)
    value = b"some value"
    revision = await put(store, "/a", value)
    assert [batch.revision for batch in seen] == [revision]
    assert seen[0].events[0].value is value
    stop()
    await put(store, "/a")
    assert len(seen) == 1


async def test_each_commit_is_flushed_to_the_disk(store: SQLiteStore) -> None:
    connection = store._writer._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "not FULL"


async def test_writes_that_wait_are_committed_together(store: SQLiteStore) -> None:
    before = await store.revision()
    results = await asyncio.gather(*(put(store, f"/{i}") for i in range(1000)))
    assert sorted(results) == list(range(before + 1, before + 1001))


async def test_a_failing_disk_stops_the_store_and_a_restart_has_what_was_acknowledged(
    store: SQLiteStore, path: Path, tmp_path: Path
) -> None:
    acknowledged = await put(store, "/a")

    def fail() -> tuple[None, None]:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(StoreUnavailable):
        await store._write(fail)
    with pytest.raises(StoreUnavailable, match="started again"):
        await put(store, "/b")
    await store.close()
    again = SQLiteStore(path, FakeClock())
    await again.start()
    assert await again.revision() == acknowledged
    assert await put(again, "/b") == acknowledged + 1
    await again.close()


async def test_a_full_disk_fails_the_write_and_later_writes_succeed(store: SQLiteStore) -> None:
    before = await put(store, "/a")
    pages = store._writer._connection.execute("PRAGMA page_count").fetchone()[0]
    store._writer._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreUnavailable, match="full"):
        await put(store, "/b", b"x" * 1_000_000)
    store._writer._connection.execute("PRAGMA max_page_count = 1000000")
    assert await store.revision() == before
    assert await put(store, "/b", b"x" * 1_000_000) == before + 1


async def test_compaction_deletes_rows_and_goes_on_after_a_kill(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        await asyncio.gather(*(put(store, f"/{i}") for i in range(100)))
    horizon = await store.revision()
    writer = store._writer
    steps = 0
    sweep = writer._log.sweep

    def stop_after_one_step(count: int) -> int | None:
        nonlocal steps
        steps += 1
        if steps > 3:
            raise sqlite3.OperationalError("killed here")
        return sweep(100)

    monkeypatch.setattr(writer._log, "sweep", stop_after_one_step)
    with pytest.raises(StoreUnavailable):
        await store.compact(horizon)
    await store.close()
    assert rows(path) == 800
    monkeypatch.setattr(sqlite_writer, "SWEEP_ROWS", 100)
    again = SQLiteStore(path, FakeClock())
    await again.start()
    with pytest.raises(CompactedError):
        await again.get("/1", revision=horizon - 1)
    last = await put(again, "/1")
    await again.compact(last)
    assert rows(path) == 100
    assert len((await again.range("/")).items) == 100
    await again.close()


async def test_compaction_does_not_stop_writes(store: SQLiteStore, path: Path) -> None:
    for _ in range(10):
        await asyncio.gather(*(put(store, f"/{i}") for i in range(300)))
    compaction = asyncio.ensure_future(store.compact(await store.revision()))
    written = 0
    while not compaction.done():
        await put(store, "/new")
        written += 1
    await compaction
    assert written > 3
    assert rows(path) == 300 + written


async def test_a_backup_is_a_whole_store_and_writes_go_on_meanwhile(store: SQLiteStore, tmp_path: Path) -> None:
    for i in range(200):
        await put(store, f"/{i}", b"x" * 5000)
    target = tmp_path / "backup.db"
    backup = asyncio.ensure_future(store.backup(target))
    during = [await put(store, f"/during/{i}") for i in range(50)]
    await backup
    copy = SQLiteStore(target, FakeClock())
    await copy.start()
    revision = await copy.revision()
    assert during[0] - 1 <= revision <= during[-1]
    assert await copy.range("/") == await store.range("/", revision=revision)
    await copy.close()
    assert [name for name in os.listdir(tmp_path) if "partial" in name] == []


async def test_a_write_gets_its_turn_beside_a_loop_that_never_waits(store: SQLiteStore) -> None:
    """Its thread needs the interpreter's lock; the loop lets it go, and takes it again, all the time."""

    async def busy() -> None:
        while True:
            end_s = time.perf_counter() + 0.0002
            while time.perf_counter() < end_s:
                pass
            await asyncio.sleep(0)

    other = asyncio.create_task(busy())
    try:
        async with asyncio.timeout(10):
            for number in range(20):
                await put(store, f"/a/{number}")
    finally:
        other.cancel()
