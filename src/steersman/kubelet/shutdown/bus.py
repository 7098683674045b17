"""Whoever knows of a coming shutdown, and lets it be held up."""

from __future__ import annotations

from typing import Protocol


class ShutdownBusError(Exception):
    """There is no bus, nobody answers on it, or the answer is no."""


class Lock(Protocol):
    """Holds a shutdown up until it is released."""

    def release(self) -> None: ...


class ShutdownBus(Protocol):
    """All methods raise ``ShutdownBusError``."""

    async def longest_delay_s(self) -> float:
        """How long a shutdown can be held up."""

    async def ask_for_delay(self, delay_s: float) -> None:
        """Change that; it takes a moment to show."""

    async def inhibit(self) -> Lock: ...

    async def next(self) -> bool:
        """True: the machine is about to shut down; False: it will not after all. Waits for the next such news."""
