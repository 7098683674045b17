"""The memory driver keeps the Store's contract."""

from __future__ import annotations

import pytest

from steersman.aio.clock import FakeClock
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.store_suite import Driver, StoreSuite


class TestMemory(StoreSuite):
    @pytest.fixture
    def driver(self) -> Driver:
        clock = FakeClock()
        return Driver(open=lambda: MemoryStore(clock), durable=False, clock=clock)
