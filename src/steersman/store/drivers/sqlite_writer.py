"""The one thread that writes: takes queued writes, commits them together, and only then acknowledges each.

While a batch is being made durable, the next one gathers in the queue: that is all there is to group commit.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

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

BATCH = 256
"""Writes per durable transaction."""
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
_STOP: tuple[Any, None] = (None, None)


class Writer:
    """Everything here but ``submit``, ``start`` and ``join`` runs on the writer's thread."""

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
        self._queue: queue.SimpleQueue[tuple[Any, Work | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._broken: StoreUnavailable | None = None
        self._sweeping = True
        self._sweep_paused = False
        self._connection: sqlite3.Connection
        self._log: RevisionLog
        self._leased: LeasedKeys
        self.revision = 1

    def start(self) -> dict[int, int]:
        """Open the file and begin; the leases in it and their ttl_s. Raises ``sqlite3.Error``. Not on the event loop."""
        self._connection = connect(self._path, writer=True)
        self._log = RevisionLog(self._connection)
        leases = self._load()
        self._thread.start()
        return leases

    def submit(self, token: Any, work: Work) -> None:
        self._queue.put((token, work))

    def join(self) -> None:
        """Finish what was submitted and close the file, which every other connection must have left. Blocks."""
        self._queue.put(_STOP)
        self._thread.join()
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

    # -- the thread

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

    def _run(self) -> None:
        threads.exact_timers()
        while True:
            batch = self._take()
            stop = bool(batch) and batch[-1] is _STOP
            writes = [(token, work) for token, work in batch if work is not None]
            if writes or not stop:
                self._commit(writes)
            if stop:
                return

    def _take(self) -> list[tuple[Any, Work | None]]:
        """What is queued; waits for something unless there is something to sweep."""
        batch: list[tuple[Any, Work | None]] = []
        try:
            batch.append(self._queue.get(block=not self._sweeping or self._sweep_paused))
            while len(batch) < BATCH and batch[-1] is not _STOP:
                batch.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _commit(self, writes: Sequence[tuple[Any, Work]]) -> None:
        try:
            if self._broken is not None:
                raise self._broken
            outcomes = self._write(writes)
        except (sqlite3.Error, StoreUnavailable) as error:
            outcomes = self._fail(writes, error)
        if outcomes:
            self._deliver(outcomes)

    def _write(self, writes: Sequence[tuple[Any, Work]]) -> list[Outcome]:
        self._connection.execute("BEGIN IMMEDIATE")
        outcomes = []
        for token, work in writes:
            try:
                result, batch = work()
            except _REFUSALS as refusal:
                outcomes.append(Outcome(token=token, error=refusal))
            else:
                outcomes.append(Outcome(token=token, result=result, batch=batch))
        swept = self._log.sweep(SWEEP_ROWS) if self._sweeping else None
        self._connection.execute("COMMIT")
        self._sweep_paused = False
        if swept is not None:
            self._sweeping = False
            self._swept(swept, None)
        return outcomes

    def _fail(self, writes: Sequence[tuple[Any, Work]], error: Exception) -> list[Outcome]:
        """Nothing of the batch was written. After an I/O error nothing more is: what the disk has is not known then."""
        if isinstance(error, sqlite3.Error):
            log.error("a batch of %d writes failed", len(writes), exc_info=error)
            if getattr(error, "sqlite_errorcode", None) not in _RECOVERABLE:
                self._broken = StoreUnavailable(f"the store failed and has to be started again: {error}")
            try:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._load()
            except sqlite3.Error as second:
                self._broken = StoreUnavailable(f"the store failed and has to be started again: {second}")
        self._sweep_paused = True
        if self._broken is not None:
            self._swept(0, self._broken)
        unavailable = error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error))
        return [Outcome(token=token, error=unavailable) for token, _ in writes]
