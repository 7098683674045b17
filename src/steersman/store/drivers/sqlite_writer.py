"""The one connection that writes: queued writes are applied together, made durable together, and only then acknowledged.

Statements run on the event loop: they change pages in memory, some 20 us a write. What waits for the disk, and what compaction
deletes, is done by a thread, whose the connection is meanwhile. While it makes a batch durable, the next one gathers in the
queue: that is all there is to group commit. A thread that ran the statements as well would need the interpreter's lock five
times a write and two dozen times a batch, and waiting for it beside a busy loop costs more than everything else about a write
(``waiting_cpu_us`` of ``bench/store.py``).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from steersman.aio import threads
from steersman.store.api import (
    CompactedError,
    Compare,
    Delete,
    FutureRevisionError,
    LeaseNotFound,
    Operation,
    StoreUnavailable,
    TransactionResult,
    WatchBatch,
)
from steersman.store.drivers.leases import LeasedKeys
from steersman.store.drivers.sqlite_log import RevisionLog, connect, current_revision, leased_keys
from steersman.store.drivers.transaction import changes, failed_compare

log = logging.getLogger(__name__)

BATCH = 64
"""Writes per durable transaction: applying them holds the event loop up for about a millisecond."""
BUSY_TURN_S = 0.001
"""A turn of the loop that takes as long has many others to serve."""
GATHER_S = 0.004
"""How long a batch may gather on a busy loop. Each costs the loop some 100 us: the thread takes the interpreter's lock twice."""
SWEEP_ROWS = 256
"""Changes that a step of compaction looks at; a step shares the transaction of a batch where there is one."""

_REFUSALS = (LeaseNotFound, CompactedError, FutureRevisionError)
_RECOVERABLE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM})


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one queued write."""

    token: Any
    """As given with the write."""
    result: Any = None
    error: Exception | None = None
    batch: WatchBatch | None = None
    """What it changed."""


Work = Callable[[], tuple[Any, WatchBatch | None]]
"""One write inside the transaction: its result and what it changed. Raises one of ``_REFUSALS`` before changing anything."""


class _Batch(Struct, kw_only=True):
    """Writes that share a transaction; on its way between the loop and the thread."""

    writes: Sequence[tuple[Any, Work]]
    outcomes: list[Outcome] = field(default_factory=list)
    error: Exception | None = None
    """Why it cannot be committed."""
    swept: int | None = None
    """The horizon, where compaction has got there."""
    end_of_sweeping: Exception | None = None
    """Why compaction will never get there."""


class Writer:
    """Used on one event loop. The thread has the connection, and what is kept beside it, while a batch is with it."""

    def __init__(
        self,
        path: Path,
        *,
        deliver: Callable[[Sequence[Outcome]], None],
        swept: Callable[[int, Exception | None], None],
    ) -> None:
        self._path = path
        self._deliver = deliver
        self._swept = swept
        self._waiting: deque[tuple[Any, Work]] = deque()
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._is_due = False
        self._is_busy = False
        self._ended: asyncio.Future[None] | None = None
        self._broken: StoreUnavailable | None = None
        self._sweeping = True
        self._sweep_paused = False
        self._connection: sqlite3.Connection
        self._log: RevisionLog
        self._leased: LeasedKeys
        self.revision = 1

    def open(self) -> dict[int, int]:
        """Open the file; the leases in it and their ttl_s. Raises ``sqlite3.Error``. Not on the event loop."""
        self._connection = connect(self._path, writer=True)
        self._log = RevisionLog(self._connection)
        return self._load()

    def start(self) -> None:
        """Begin to write, and to sweep where a compaction did not come to its end."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        self._begin_soon()

    def submit(self, token: Any, work: Work) -> None:
        """Have ``work`` done; ``deliver`` is given its outcome under ``token``."""
        self._waiting.append((token, work))
        self._begin_soon()

    async def close(self) -> None:
        """Finish what was submitted and close the file, which every other connection must have left."""
        self._ended = self._loop.create_future()
        self._begin_soon()
        await self._ended
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    # -- work

    def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> tuple[Any, WatchBatch | None]:
        self._leased.check(operations)
        self._log.begin()
        current = failed_compare(compares, self._log.latest)
        if current is not None:
            return TransactionResult(succeeded=False, revision=self.revision, current=current), None
        batch = self._apply(operations)
        return TransactionResult(succeeded=True, revision=self.revision), batch

    def grant_lease(self, ttl_s: int) -> tuple[Any, WatchBatch | None]:
        lease = self._connection.execute("INSERT INTO lease (ttl_s) VALUES (?)", (ttl_s,)).lastrowid
        assert lease is not None
        self._leased.grant(lease)
        return lease, None

    def revoke_lease(self, lease: int) -> tuple[Any, WatchBatch | None]:
        keys = self._leased.revoke(lease)
        self._log.begin()
        self._connection.execute("DELETE FROM lease WHERE id = ?", (lease,))
        return None, self._apply([Delete(key=key) for key in keys])

    def compact(self, revision: int) -> tuple[Any, WatchBatch | None]:
        self._log.begin_compaction(revision, self.revision)
        self._sweeping = True
        return None, None

    def _apply(self, operations: Sequence[Operation]) -> WatchBatch | None:
        made = changes(operations, self._log.latest, self.revision + 1)
        if not made:
            return None
        self._log.append(made, self.revision + 1)
        self.revision += 1
        self._leased.apply(made)
        return WatchBatch(revision=self.revision, events=[change.event for change in made])

    # -- batches, on the loop

    def _begin_soon(self) -> None:
        """Not at once: what else is submitted in this turn of the loop comes with it."""
        if not self._is_due and not self._is_busy:
            self._is_due = True
            now_s = self._loop.time()
            self._loop.call_soon(self._gather, now_s, now_s)

    def _gather(self, since_s: float, turn_s: float) -> None:
        """Begin, unless the loop is so busy that no writer would go on sooner for it: then more writes come along."""
        now_s = self._loop.time()
        is_busy = now_s - turn_s >= BUSY_TURN_S
        if is_busy and now_s - since_s < GATHER_S and len(self._waiting) < BATCH:
            self._loop.call_soon(self._gather, since_s, now_s)
        else:
            self._begin()

    def _begin(self) -> None:
        """Apply what is waiting and let the thread make it durable."""
        self._is_due = False
        sweeps = self._sweeping and not self._sweep_paused and self._ended is None
        if self._waiting or sweeps:
            self._is_busy = True
            writes = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._batches.put(self._applied(writes))
        elif self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _applied(self, writes: Sequence[tuple[Any, Work]]) -> _Batch:
        batch = _Batch(writes=writes, error=self._broken)
        if batch.error is not None:
            return batch
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for token, work in writes:
                try:
                    result, changed = work()
                except _REFUSALS as refusal:
                    batch.outcomes.append(Outcome(token=token, error=refusal))
                else:
                    batch.outcomes.append(Outcome(token=token, result=result, batch=changed))
        except sqlite3.Error as error:
            batch.error = error
        return batch

    def _done(self, batch: _Batch) -> None:
        self._is_busy = False
        self._begin_soon()
        if batch.swept is not None or batch.end_of_sweeping is not None:
            self._swept(batch.swept or 0, batch.end_of_sweeping)
        if batch.outcomes:
            self._deliver(batch.outcomes)

    # -- the thread

    def _run(self) -> None:
        threads.exact_timers()
        while (batch := self._batches.get()) is not None:
            try:
                if batch.error is not None:
                    raise batch.error
                self._commit(batch)
            except (sqlite3.Error, StoreUnavailable) as error:
                self._fail(batch, error)
            self._loop.call_soon_threadsafe(self._done, batch)

    def _commit(self, batch: _Batch) -> None:
        if self._sweeping:
            batch.swept = self._log.sweep(SWEEP_ROWS)
        self._connection.commit()
        self._sweep_paused = False
        if batch.swept is not None:
            self._sweeping = False

    def _load(self) -> dict[int, int]:
        """State that is kept beside the file, read from it; also after a batch was rolled back."""
        self.revision = current_revision(self._connection)
        self._leased = LeasedKeys()
        leases = dict(self._connection.execute("SELECT id, ttl_s FROM lease").fetchall())
        for lease in leases:
            self._leased.grant(lease)
        for key, lease in leased_keys(self._connection):
            self._leased.attach(key, lease)
        return leases

    def _fail(self, batch: _Batch, error: Exception) -> None:
        """Nothing of the batch was written. After an I/O error nothing more is: what the disk has is not known then."""
        if isinstance(error, sqlite3.Error):
            log.error("a batch of %d writes failed", len(batch.writes), exc_info=error)
            if getattr(error, "sqlite_errorcode", None) not in _RECOVERABLE:
                self._broken = StoreUnavailable(f"the store failed and has to be started again: {error}")
            try:
                if self._connection.in_transaction:
                    self._connection.rollback()
                self._load()
            except sqlite3.Error as second:
                self._broken = StoreUnavailable(f"the store failed and has to be started again: {second}")
        self._sweep_paused = True
        batch.swept, batch.end_of_sweeping = None, self._broken
        unavailable = error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error))
        batch.outcomes = [Outcome(token=token, error=unavailable) for token, _ in batch.writes]
