"""The pure parts of the scheduler pull in no event loop, no client and no network."""

from __future__ import annotations

import subprocess
import sys

PURE = (
    "core", "plugins", "queue", "configuration", "simulation", "explanation", "victim_columns",
)  # fmt: skip
FORBIDDEN = ("asyncio", "aiohttp", "steersman.client", "steersman.aio")


def test_pure_modules_import_no_io() -> None:
    imports = "; ".join(f"import steersman.scheduler.{name}" for name in PURE)
    program = f"import sys; {imports}; print([m for m in sys.modules if m in {FORBIDDEN!r}])"
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
