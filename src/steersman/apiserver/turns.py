"""Checks that evaluate expressions of users: most are done at once, those that take long in a thread, so that others are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from steersman.cel.effort import METER, LongRunning

T = TypeVar("T")


async def in_turn(check: Callable[[], T]) -> T:
    """What ``check`` gives. It is begun anew in a thread when its expressions need more than a turn of the event loop, so it
    must not change anything before it has evaluated them."""
    METER.begin_turn()
    try:
        return check()
    except LongRunning:
        pass
    finally:
        METER.end_turn()
    return await asyncio.to_thread(check)
