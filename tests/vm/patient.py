"""pytest plugin for slow machines: every test's own limit of time grows with ``STEERSMAN_PATIENCE``."""

from __future__ import annotations

import pytest

from tests.patience import PATIENCE


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    default_s = float(config.getini("timeout"))
    for item in items:
        marker = item.get_closest_marker("timeout")
        limit_s = float(marker.args[0]) if marker is not None and marker.args else default_s
        item.add_marker(pytest.mark.timeout(limit_s * PATIENCE), append=False)
