"""A process to be killed: writes without end through 8 writers and says on stdout what was acknowledged.

Every writer counts up its own key with a compare, and writes a pair of keys in one transaction; one more task compacts.
Lines: ``<writer> <count> <revision>``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from steersman.aio.clock import SystemClock
from steersman.store.api import CompactedError, Compare, Put
from steersman.store.drivers.sqlite import SQLiteStore

WRITERS = 8


def keys(writer: int) -> tuple[str, str]:
    return f"/count/{writer}", f"/pair/{writer}"


async def count_up(store: SQLiteStore, writer: int) -> None:
    key, pair = keys(writer)
    present = await store.get(key)
    count = int(present.value.split()[0]) if present else 0
    revision = present.mod_revision if present else 0
    while True:
        count += 1
        value = b"%d %b" % (count, b"x" * (count * 37 % 5000))
        puts = [Put(key=key, value=value), Put(key=pair, value=value)]
        result = await store.transact([Compare(key=key, mod_revision=revision)], puts)
        if not result.succeeded:
            raise AssertionError(f"{key} was changed by someone else")
        revision = result.revision
        os.write(1, b"%d %d %d\n" % (writer, count, revision))


async def compact(store: SQLiteStore) -> None:
    while True:
        await asyncio.sleep(0.02)
        try:
            await store.compact(max(await store.revision() - 100, 1))
        except CompactedError:
            continue


async def main(path: Path) -> None:
    store = SQLiteStore(path, SystemClock())
    await store.start()
    await asyncio.gather(compact(store), *(count_up(store, writer) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
