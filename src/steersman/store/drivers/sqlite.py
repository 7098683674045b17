"""The embedded store: an append-only revision log in one SQLite file, durable before a write is acknowledged.

All writes and checkpoints go over one connection (``sqlite_writer``); reads have connections and threads of their own, each
read in one snapshot. A lock file beside the database keeps a second process out.

Queues: writes under way are at most ``PENDING_WRITES``; beyond that callers wait their turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from steersman.aio import threads
from steersman.aio.clock import Clock
from steersman.store.api import (
    Compare,
    EmbeddedStore,
    KeyValue,
    Operation,
    RangeResult,
    Store,
    StoreUnavailable,
    TransactionResult,
    WatchBatch,
)
from steersman.store.drivers import sqlite_log
from steersman.store.drivers.leases import LeaseTimer
from steersman.store.drivers.sqlite_writer import Outcome, Work, Writer
from steersman.store.drivers.transaction import check
from steersman.store.drivers.watching import WatchHub

PENDING_WRITES = 4096
READERS = 2

P = ParamSpec("P")
T = TypeVar("T")


class SQLiteStore:
    """The store in the file ``path``, which is created where it does not exist (its directory must)."""

    def __init__(self, path: str | os.PathLike[str], clock: Clock) -> None:
        self._path = Path(path)
        self._hub = WatchHub(self._read_history, clock)
        self._timer = LeaseTimer(clock, self.revoke_lease)
        self._pending = asyncio.Semaphore(PENDING_WRITES)
        self._compactions: list[tuple[int, asyncio.Future[None]]] = []
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop
        self._writer: Writer
        self._lock = -1

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        threads.insist()
        self._lock = _lock(self._path)
        self._writer = Writer(self._path, deliver=self._deliver, swept=self._swept)
        try:
            leases = await asyncio.to_thread(self._writer.open)
            for _ in range(READERS):
                self._readers.put(sqlite_log.connect(self._path, writer=False))
        except sqlite3.Error as error:
            os.close(self._lock)
            raise StoreUnavailable(f"{self._path} cannot be opened: {error}") from error
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader", initializer=threads.exact_timers)
        self._writer.start()
        self._hub.revision = self._writer.revision
        for lease, ttl_s in leases.items():
            self._timer.grant(lease, ttl_s)

    async def close(self) -> None:
        readers, self._threads = self._threads, None
        if readers is None:
            return
        await self._timer.close()
        await asyncio.to_thread(readers.shutdown)
        for _ in range(READERS):
            self._readers.get().close()
        await self._writer.close()
        closed = StoreUnavailable("the store is closed")
        self._hub.fail(closed)
        self._swept(0, closed)
        os.close(self._lock)

    async def revision(self) -> int:
        self._open()
        return self._hub.revision

    async def size_bytes(self) -> int:
        self._open()
        return sum(_size_bytes(file) for file in (self._path, self._path.with_name(f"{self._path.name}-wal")))

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        return await self._read(sqlite_log.read_key, key, revision)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> RangeResult:
        return await self._read(sqlite_log.read_range, prefix, start, limit, revision)

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        check(operations)
        if len(operations) > sqlite_log.MAX_OPERATIONS:
            raise ValueError(f"a transaction has at most {sqlite_log.MAX_OPERATIONS} operations")
        result: TransactionResult = await self._write(lambda: self._writer.transact(compares, operations))
        return result

    def watch(self, prefix: str, *, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        return self._hub.watch(prefix, start_revision)

    def observe(self, observer: Callable[[WatchBatch], None]) -> Callable[[], None]:
        return self._hub.observe(observer)

    async def compact(self, revision: int) -> None:
        """Reads below ``revision`` fail at once; what they read is deleted in steps between writes.

        Returns when that is done. A cancelled or killed caller does not stop it: it goes on, also after a restart.
        """
        self._open()
        swept: asyncio.Future[None] = self._loop.create_future()
        waiting = (revision, swept)
        self._compactions.append(waiting)
        try:
            await self._write(lambda: self._writer.compact(revision))
            await swept
        finally:
            if waiting in self._compactions:
                self._compactions.remove(waiting)

    async def grant_lease(self, ttl_s: int) -> int:
        lease: int = await self._write(lambda: self._writer.grant_lease(ttl_s))
        self._timer.grant(lease, ttl_s)
        return lease

    async def renew_lease(self, lease: int) -> None:
        self._open()
        self._timer.renew(lease)

    async def revoke_lease(self, lease: int) -> None:
        await self._write(lambda: self._writer.revoke_lease(lease))
        self._timer.forget(lease)

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a copy of the store as it is now to ``path``, whole or not at all. Writes go on meanwhile.

        Raises ``StoreUnavailable``.
        """
        await self._read(_backup, Path(path))

    # -- threads

    def _open(self) -> ThreadPoolExecutor:
        if self._threads is None:
            raise StoreUnavailable("the store is not open")
        return self._threads

    async def _read(self, query: Callable[..., T], *args: Any) -> T:
        return await self._loop.run_in_executor(self._open(), self._query, query, args)

    def _query(self, query: Callable[..., T], args: Sequence[Any]) -> T:
        connection = self._readers.get()
        try:
            return query(connection, *args)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path} cannot be read: {error}") from error
        finally:
            self._readers.put(connection)

    async def _read_history(self, prefix: str, first_revision: int, limit: int) -> WatchBatch:
        return await self._read(sqlite_log.read_history, prefix, first_revision, limit)

    async def _write(self, work: Work) -> Any:
        async with self._pending:
            self._open()
            acknowledged: asyncio.Future[Any] = self._loop.create_future()
            self._writer.submit(acknowledged, work)
            return await acknowledged

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        """A batch is durable: first everyone who watches sees it, then its writers are acknowledged."""
        for outcome in outcomes:
            if outcome.batch is not None:
                self._hub.publish(outcome.batch)
        for outcome in outcomes:
            acknowledged: asyncio.Future[Any] = outcome.token
            if acknowledged.done():
                continue
            if outcome.error is not None:
                acknowledged.set_exception(outcome.error)
            else:
                acknowledged.set_result(outcome.result)

    def _swept(self, horizon: int, error: Exception | None) -> None:
        for revision, swept in self._compactions:
            if swept.done():
                continue
            if error is not None:
                swept.set_exception(error)
            elif revision <= horizon:
                swept.set_result(None)


def _create_private(path: Path) -> None:
    """Secrets are in the file: only its owner reads it. SQLite gives the files beside it the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _lock(path: Path) -> int:
    """The open lock file of ``path``, which exists then. Raises ``StoreUnavailable`` while another store has it."""
    try:
        _create_private(path)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreUnavailable(f"{path} is in use by another process") from error
    return lock


def _backup(connection: sqlite3.Connection, path: Path) -> None:
    """All pages in one step: a stepped backup starts anew with each write and may never end."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    _create_private(partial)
    with contextlib.closing(sqlite3.connect(partial)) as copy:
        connection.backup(copy, pages=-1)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _conforms(store: SQLiteStore) -> tuple[Store, EmbeddedStore]:
    return store, store


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
