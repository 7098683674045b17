"""The SQLite driver keeps the Store's contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.store.drivers.sqlite import SQLiteStore
from steersman.testing.store_suite import Driver, StoreSuite


class TestSQLite(StoreSuite):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Driver:
        clock = FakeClock()
        return Driver(open=lambda: SQLiteStore(tmp_path / "store.db", clock), clock=clock)
