"""The pytest plugin: fixtures for suites that test against Steersman. Imports nothing heavy until a fixture is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from steersman.aio.clock import FakeClock


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that the test owns: it stands still until ``await fake_clock.advance(seconds)``."""
    from steersman.aio.clock import FakeClock

    return FakeClock()
