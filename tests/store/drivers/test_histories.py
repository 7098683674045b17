"""Random histories on the embedded drivers: no gap, duplicate or reordering, through compactions and restarts."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from steersman.aio.clock import FakeClock
from steersman.store.drivers import watching
from steersman.store.drivers.memory import MemoryStore
from steersman.store.drivers.sqlite import SQLiteStore
from steersman.testing.store_histories import Step, run_history, steps
from steersman.testing.store_suite import Driver


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    """History comes in several pages, and watchers fall behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "PAGE", 2)
        patch.setattr(watching, "BUFFER", 2)
        yield


@contextmanager
def sqlite_driver() -> Iterator[Driver]:
    with tempfile.TemporaryDirectory() as folder:
        yield Driver(open=lambda: SQLiteStore(Path(folder) / "store.db", FakeClock()))


@given(steps)
@settings(max_examples=300, deadline=None)
def test_memory_keeps_to_the_model(history: Sequence[Step]) -> None:
    driver = Driver(open=lambda: MemoryStore(FakeClock()), durable=False)
    asyncio.run(run_history(driver, "/t/", history))


@given(steps)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_sqlite_keeps_to_the_model(history: Sequence[Step]) -> None:
    with sqlite_driver() as driver:
        asyncio.run(run_history(driver, "/t/", history))
