"""What each part of the program loads before it is asked for anything: a module here costs every start and every process.

When one of these fails, import the module where it is used (see ``docs/decisions/0007-structs.md`` and statement 14 of the style: a
shape of the program that does without a dependency does not import it).
"""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = frozenset(
    {
        "aiohttp",
        "cryptography",
        "dbus_fast",
        "dns",
        "google.protobuf",
        "grpc",
        "joserfc",
        "msgspec",
        "numpy",
        "prometheus_client",
        "rich",
        "sqlite3",
        "steersman.cel",
        "steersman.schema.groups",
        "uvloop",
        "yaml",
    }
)
"""Modules that cost 5 ms or a megabyte, and parts of ours that not everybody needs."""

COMPONENTS = {
    "steersman.apiserver.component": {"msgspec", "prometheus_client", "steersman.cel", "steersman.schema.groups"},
    "steersman.controllers.component": {"msgspec", "prometheus_client"},
    "steersman.scheduler.component": {"msgspec", "numpy", "prometheus_client"},
    "steersman.dns.component": {"msgspec", "prometheus_client"},
    "steersman.proxy.component": {"msgspec", "prometheus_client"},
    "steersman.network.component": {"msgspec"},
    "steersman.kubelet.component": {"msgspec", "prometheus_client"},
    "steersman.kubelet.fleet": {"msgspec", "prometheus_client"},
    "steersman.client.api": {"msgspec"},
    "steersman.client.http": {"aiohttp", "msgspec"},
}
COMMANDS = {
    "steersman.cli.apiserver": {"msgspec"},
    "steersman.cli.controller_manager": {"msgspec"},
    "steersman.cli.scheduler": {"msgspec"},
    "steersman.cli.dns": {"msgspec"},
    "steersman.cli.proxy": {"msgspec"},
    "steersman.cli.network": {"msgspec"},
    "steersman.cli.kubelet": {"msgspec"},
    "steersman.cli.supervise": set[str](),
    "steersman.cli.up": set[str](),
    "steersman.cli.status": set[str](),
}
CLUSTER = {"msgspec", "numpy", "prometheus_client", "steersman.cel", "steersman.schema.groups"}
TESTING = {
    "steersman.testing": set[str](),
    "steersman.testing.plugin": set[str](),
    "steersman.testing.cluster": CLUSTER,
}

READY_CLUSTER = """
import asyncio
from steersman.testing import Cluster

async def main():
    async with Cluster():
        pass

asyncio.run(main())
"""


def loaded(code: str) -> set[str]:
    """Which of ``HEAVY`` a fresh process has loaded after ``code``."""
    tell = f"{code}\nimport sys\nprint(*(name for name in {sorted(HEAVY)} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", tell], check=True, capture_output=True, text=True, timeout=60)
    return set(ran.stdout.split())


@pytest.mark.parametrize(("module", "expected"), {**COMPONENTS, **COMMANDS, **TESTING}.items())
def test_importing_loads_this_and_nothing_else(module: str, expected: set[str]) -> None:
    assert loaded(f"import {module}") == expected


def test_a_ready_cluster_has_loaded_nothing_for_sockets_certificates_or_yaml() -> None:
    assert loaded(READY_CLUSTER) == CLUSTER
