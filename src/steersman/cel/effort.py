"""The work of evaluations that costs do not show, bounded so that no expression runs for long or fills the memory.

Costs are upstream's, because limits in clusters are written in them. Some operations are priced there far below what they take:
concatenating lists costs 1, replacing in a string nothing for what the string grows to, comparing nothing for what is nested.
Such operations report steps here; an evaluation may take ``STEPS_PER_UNIT`` for each unit it may cost, and what it took
is added to its cost. For expressions of usual size that rounds to nothing.

Limits allow seconds; an event loop does not. A caller with other things to do gives evaluations a turn (``Meter.begin_turn``):
what does not end within it raises ``LongRunning``, and can be begun anew in a thread, where nobody waits for it.
"""

from __future__ import annotations

import threading

from steersman.cel.errors import CostLimitExceeded

STEPS_PER_UNIT = 5
"""A step is about a tenth of a microsecond."""
CHARACTERS_PER_STEP = 20
"""Copied."""
ELEMENTS_PER_STEP = 20
"""References copied."""
TURN = 50_000
"""Cost units: some ten milliseconds."""
_NO_END = 1 << 62


class LongRunning(Exception):
    """An evaluation needs more than its turn."""


class Meter(threading.local):
    """Counts steps. Evaluations that are begun inside another one (lazy variables) extend its limit by their own.

    Each thread has its own: evaluations do not wait for anything, so there is one at a time in a thread.
    """

    def __init__(self) -> None:
        self.spent = 0
        self.limit = 0
        self.left = _NO_END
        """Cost units of this turn."""

    def begin_turn(self) -> None:
        """Evaluations from here to ``end_turn`` share one turn; those that it is not enough for raise ``LongRunning``. No awaiting
        in between."""
        self.left = TURN

    def end_turn(self) -> None:
        self.left = _NO_END

    def open(self, cost_limit: int) -> int:
        """Begin an evaluation; gives what ``units_since`` asks for."""
        spent = self.spent
        self.limit = spent + cost_limit * STEPS_PER_UNIT
        return spent

    def units_since(self, start: int) -> int:
        return (self.spent - start) // STEPS_PER_UNIT

    def check(self, units: int) -> None:
        """Before work that will be charged as ``units`` of cost. Raises ``CostLimitExceeded`` if those cannot be left."""
        if self.spent + units * STEPS_PER_UNIT > self.limit:
            raise CostLimitExceeded

    def spend(self, steps: int) -> None:
        """Before the work is done. Raises ``CostLimitExceeded``."""
        self.spent += steps
        if self.spent > self.limit:
            raise CostLimitExceeded


METER = Meter()
