"""Beside ``examples/operator/websites.py`` in a kopf: its watches end every second, and its peers notice its end soon."""

from __future__ import annotations

import logging
from typing import Any

import kopf


@kopf.on.startup(id="impatient")
async def impatient(settings: kopf.OperatorSettings, **_: Any) -> None:
    for noisy in ("httpcore2", "httpx2", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings.watching.server_timeout = 1
    settings.peering.lifetime = 5
