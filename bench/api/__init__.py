"""The API server over TLS: reads, durable writes of every kind, large lists, watch fan-out, growth, start-up.

Budgets (docs/architecture.md): start to /readyz in 0.8 s, 10,000 GETs a second and core, 2,000 durable pod creates a second,
10,000 pods listed in 150 ms without stalling a GET by more than 50 ms, 50,000 deliveries a second to 1,000 watchers, a new
CustomResourceDefinition served within 100 ms.

The server is a process of its own, as users run it; its cost is read from its CPU time, so that the client's is not
counted. ``bench.requests`` has the same requests without sockets.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench.api.growth import growth
from bench.api.reading import gets, lists
from bench.api.serving import server
from bench.api.watching import fan_out
from bench.api.writing import changes, creates, custom_kinds


async def _measure() -> dict[str, float]:
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="steersman-bench-", dir=".") as folder:
        directory = Path(folder)
        async with server("memory", directory):
            pass  # Python keeps the compiled modules, as it does once the package is installed
        async with server(f"sqlite:{directory}/store.db", directory) as running:
            results["start/ready_s"] = running.started_s
            results["start/resident_mb"] = running.resident_mb()
            await custom_kinds(running, results)
            await gets(running, results)
            await creates(running, results)
            await changes(running, results)
            await lists(running, results)
            await fan_out(running, results)
        async with server(f"sqlite:{directory}/store.db", directory) as running:
            results["restart_with_10k_pods/ready_s"] = running.started_s
        async with server(f"sqlite:{directory}/growing.db", directory) as running:
            await growth(running, results)
    return results


def run() -> dict[str, float]:
    """Results by ``case/metric``."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure())
