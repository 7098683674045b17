"""The revision log in SQLite: its tables and every statement on them. Synchronous; used from the driver's threads.

One row is one change of one key. A row's id is ``revision << 20 | ordinal within the transaction``, so that the log needs
no other order, and ``previous`` is the row that it supersedes, so that compaction need not search for what is dead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steersman.store.api import CompactedError, FutureRevisionError, KeyValue, RangeResult, StoreEvent, WatchBatch
from steersman.store.drivers.transaction import Change
from steersman.store.sorted_map import prefix_end

FORMAT = 1
"""``PRAGMA user_version`` of the tables below."""
ORDINAL_BITS = 20
MAX_OPERATIONS = 1 << ORDINAL_BITS
BUSY_TIMEOUT_S = 5.0
WRITER_CACHE_KIB = 16 << 10
"""Pages that the writer keeps: the index of 200,000 keys, so that a write, which looks its key up, reads nothing."""
WAL_LIMIT_BYTES = 64 << 20
"""To what the write-ahead log is cut back after a burst."""

_SCHEMA = """
CREATE TABLE log (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  create_revision INTEGER NOT NULL,
  version INTEGER NOT NULL,
  lease INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  value BLOB NOT NULL
);
CREATE INDEX log_by_key ON log (key, id, deleted);
CREATE INDEX log_by_lease ON log (lease) WHERE lease != 0;
CREATE TABLE lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_s INTEGER NOT NULL);
CREATE TABLE compaction (horizon INTEGER NOT NULL, swept INTEGER NOT NULL);
INSERT INTO compaction VALUES (0, 0);
"""

_LATEST = "SELECT id, create_revision, version, lease, deleted, value FROM log WHERE key = ? ORDER BY id DESC LIMIT 1"
_INSERT = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_AS_OF = """
SELECT id, create_revision, version, lease, deleted, value FROM log WHERE key = ? AND id < ? ORDER BY id DESC LIMIT 1
"""
_LIVE = """
SELECT max(id) AS id, deleted FROM log WHERE key >= ? AND key < ? AND id < ? GROUP BY key HAVING NOT deleted
"""
_RANGE = f"""
SELECT log.id, key, create_revision, version, lease, value
FROM ({_LIVE} ORDER BY key LIMIT ?) AS live CROSS JOIN log ON log.id = live.id
"""
_COUNT = f"SELECT count(*) FROM ({_LIVE})"
_HISTORY = """
SELECT log.id, log.key, log.create_revision, log.deleted, log.value,
  old.id, old.create_revision, old.version, old.lease, old.value
FROM log NOT INDEXED LEFT JOIN log AS old ON old.id = log.previous
WHERE log.id >= ? AND log.id < ? AND log.key >= ? AND log.key < ? ORDER BY log.id LIMIT ?
"""
_LEASED = """
SELECT key, lease FROM log WHERE lease != 0 AND id = (SELECT max(id) FROM log AS other WHERE other.key = log.key)
"""

_ABOVE_ALL_TEXT = b""
"""SQLite orders every BLOB above every TEXT."""


def connect(path: Path, *, writer: bool) -> sqlite3.Connection:
    """A connection; ``writer`` is the only one that writes and checkpoints. Raises ``sqlite3.Error``.

    SQLite before 3.51.3 can corrupt a write-ahead log that several connections checkpoint.
    """
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        if writer:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            _migrate(connection)
        else:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, FORMAT):
        raise sqlite3.DatabaseError(f"the file has format {found}; this version of Steersman reads format {FORMAT}")
    if found == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Reads inside see one state of the file."""
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        connection.execute("ROLLBACK")


def horizon(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT horizon FROM compaction").fetchone()[0])


def current_revision(connection: sqlite3.Connection) -> int:
    """1 for an empty log. Compaction never removes rows of the highest revision."""
    last = connection.execute("SELECT max(id) FROM log").fetchone()[0]
    return 1 if last is None else int(last) >> ORDINAL_BITS


def leased_keys(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    return connection.execute(_LEASED).fetchall()


def read_key(connection: sqlite3.Connection, key: str, revision: int) -> KeyValue | None:
    """``key`` as of ``revision`` (0: now). Raises ``CompactedError`` and ``FutureRevisionError``."""
    with snapshot(connection):
        at = _readable(connection, revision)
        row = connection.execute(_AS_OF, (key, (at + 1) << ORDINAL_BITS)).fetchone()
    return _version(key, row)


def read_range(connection: sqlite3.Connection, prefix: str, start: str, limit: int, revision: int) -> RangeResult:
    """Raises ``CompactedError`` and ``FutureRevisionError``."""
    with snapshot(connection):
        at = _readable(connection, revision)
        bounds = (max(prefix, start), _upper(prefix), (at + 1) << ORDINAL_BITS)
        rows = connection.execute(_RANGE, (*bounds, limit or -1)).fetchall()
        count = connection.execute(_COUNT, bounds).fetchone()[0] if limit else len(rows)
    items = [
        KeyValue(
            key=key,
            value=value,
            create_revision=create_revision,
            mod_revision=id >> ORDINAL_BITS,
            version=version,
            lease=lease,
        )
        for id, key, create_revision, version, lease, value in rows
    ]
    items.sort(key=lambda item: item.key)
    return RangeResult(items=items, revision=at, count=count)


def read_history(connection: sqlite3.Connection, prefix: str, first_revision: int, limit: int) -> WatchBatch:
    """The changes from ``first_revision`` on, about ``limit`` of them, whole revisions. Raises ``CompactedError``."""
    with snapshot(connection):
        compacted = horizon(connection)
        if first_revision < compacted:
            raise CompactedError(compacted)
        revision = current_revision(connection)
        bounds = (prefix, _upper(prefix))
        rows = connection.execute(
            _HISTORY, (first_revision << ORDINAL_BITS, (revision + 1) << ORDINAL_BITS, *bounds, limit)
        ).fetchall()
        if len(rows) == limit:
            revision = rows[-1][0] >> ORDINAL_BITS
            after = (rows[-1][0] + 1, (revision + 1) << ORDINAL_BITS)
            rows += connection.execute(_HISTORY, (*after, *bounds, -1)).fetchall()
    return WatchBatch(revision=revision, events=[_event(row) for row in rows])


class RevisionLog:
    """The writer's side: what is read and written inside its transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids: dict[str, int] = {}
        self._seen: dict[str, KeyValue | None] = {}

    def begin(self) -> None:
        """A new transaction of the Store begins; several of them share one of SQLite's."""
        self._ids.clear()
        self._seen.clear()

    def latest(self, key: str) -> KeyValue | None:
        if key in self._seen:
            return self._seen[key]
        row = self._connection.execute(_LATEST, (key,)).fetchone()
        version = self._seen[key] = _version(key, row)
        if version is not None:
            self._ids[key] = row[0]
        return version

    def append(self, made: Sequence[Change], revision: int) -> None:
        """Write ``made``, whose keys were looked up with ``latest`` in this transaction."""
        rows = []
        for ordinal, change in enumerate(made):
            event, version = change.event, change.version
            superseded = self._ids[event.key] if event.previous else 0
            written = (version.version, version.lease, superseded, 0) if version else (0, 0, superseded, 1)
            id = revision << ORDINAL_BITS | ordinal
            rows.append((id, event.key, event.create_revision, *written, event.value))
        self._connection.executemany(_INSERT, rows)

    def begin_compaction(self, revision: int, current: int) -> None:
        """Reads below ``revision`` fail once this is committed. Raises ``CompactedError`` and ``FutureRevisionError``."""
        if revision > current:
            raise FutureRevisionError(revision)
        compacted = horizon(self._connection)
        if revision <= compacted:
            raise CompactedError(compacted)
        self._connection.execute("UPDATE compaction SET horizon = ?", (revision,))

    def sweep(self, rows: int) -> int | None:
        """Delete what the next ``rows`` changes up to the horizon have superseded; the horizon once nothing is left.

        How far it got is written in the same transaction: a process that is killed goes on from there.
        """
        compacted, swept = self._connection.execute("SELECT horizon, swept FROM compaction").fetchone()
        end = (compacted + 1) << ORDINAL_BITS
        found: list[tuple[int, int, int]] = self._connection.execute(
            "SELECT id, previous, deleted FROM log WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", (swept, end, rows)
        ).fetchall()
        kept_from = compacted << ORDINAL_BITS
        dead = [(previous,) for _, previous, _ in found if previous]
        dead += [(id,) for id, _, deleted in found if deleted and id < kept_from]
        self._connection.executemany("DELETE FROM log WHERE id = ?", dead)
        more = len(found) == rows
        reached = found[-1][0] + 1 if more else kept_from
        if reached != swept:
            self._connection.execute("UPDATE compaction SET swept = ?", (reached,))
        return None if more else compacted


def _readable(connection: sqlite3.Connection, revision: int) -> int:
    current = current_revision(connection)
    if revision > current:
        raise FutureRevisionError(revision)
    if revision:
        compacted = horizon(connection)
        if revision < compacted:
            raise CompactedError(compacted)
    return revision or current


def _upper(prefix: str) -> str | bytes:
    end = prefix_end(prefix)
    return _ABOVE_ALL_TEXT if end is None else end


def _version(key: str, row: Sequence[Any] | None) -> KeyValue | None:
    if row is None or row[4]:
        return None
    id, create_revision, version, lease, _, value = row
    return KeyValue(
        key=key,
        value=value,
        create_revision=create_revision,
        mod_revision=id >> ORDINAL_BITS,
        version=version,
        lease=lease,
    )


def _event(row: Sequence[Any]) -> StoreEvent:
    id, key, create_revision, deleted, value, old_id, *old = row
    previous = None
    if old_id is not None:
        old_create_revision, version, lease, old_value = old
        previous = KeyValue(
            key=key,
            value=old_value,
            create_revision=old_create_revision,
            mod_revision=old_id >> ORDINAL_BITS,
            version=version,
            lease=lease,
        )
    return StoreEvent(
        type="delete" if deleted else "put",
        key=key,
        revision=id >> ORDINAL_BITS,
        value=value,
        create_revision=create_revision,
        previous=previous,
    )
