"""A process that writes is killed at random moments: what it acknowledged is there, whole, and no revision comes twice."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

from steersman.aio.clock import FakeClock
from steersman.store.drivers.sqlite import SQLiteStore
from steersman.store.sorted_map import SortedMap

KILLS = 6
PROGRAM = Path(__file__).with_name("sqlite_writer_process.py")


def write_until_killed(path: Path, lines: int) -> list[tuple[int, int, int]]:
    """Acknowledged (writer, count, revision), from a writer that is killed after about ``lines`` of them."""
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait() < 0, "the writer ended by itself"
    complete = [*said, *rest.splitlines(keepends=True)]
    return [
        (int(writer), int(count), int(revision))
        for writer, count, revision in (line.split() for line in complete if line.endswith(b"\n"))
    ]


async def check(path: Path, acknowledged: list[tuple[int, int, int]], highest_before: int) -> int:
    """The revision that the store has after the kill."""
    assert min(revision for _, _, revision in acknowledged) > highest_before
    assert len({revision for _, _, revision in acknowledged}) == len(acknowledged)
    store = SQLiteStore(path, FakeClock())
    await store.start()
    try:
        highest = await store.revision()
        assert highest >= max(revision for _, _, revision in acknowledged)
        for writer in {writer for writer, _, _ in acknowledged}:
            counted, pair = await store.get(f"/count/{writer}"), await store.get(f"/pair/{writer}")
            assert counted is not None
            assert pair is not None
            assert counted.value == pair.value
            assert counted.mod_revision == pair.mod_revision
            last_count, last_revision = max((c, r) for w, c, r in acknowledged if w == writer)
            count = int(counted.value.split()[0])
            assert count in (last_count, last_count + 1)
            assert (count == last_count) == (counted.mod_revision == last_revision)
            assert counted.value == b"%d %b" % (count, b"x" * (count * 37 % 5000))
        async with aclosing(store.watch("", start_revision=highest - 50)) as watch:
            revisions: SortedMap[None] = SortedMap()
            while len(revisions) < 51:
                for event in (await anext(watch)).events:
                    revisions[f"{event.revision:012}"] = None
            assert [int(revision) for revision in revisions.range_keys()] == list(range(highest - 50, highest + 1))
    finally:
        await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return highest


async def test_nothing_acknowledged_is_lost_and_nothing_is_half_written(tmp_path: Path) -> None:
    rng = random.Random(4711)
    path = tmp_path / "store.db"
    highest = 1
    for _ in range(KILLS):
        acknowledged = write_until_killed(path, rng.randrange(100, 1500))
        highest = await check(path, acknowledged, highest)
