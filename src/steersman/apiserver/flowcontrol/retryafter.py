"""When a refused client is told to come back: later while many are refused, sooner when it gets better.

As in TCP: doubled while a level refuses more than three requests a second over the time that it tells clients to wait, one
second less while it refuses fewer than one a second.
"""

from __future__ import annotations

from collections import deque

LONGEST_S = 32


class RetryAfter:
    """The advice of one priority level."""

    __slots__ = ("_changed_s", "_count", "_history", "_second", "seconds")

    def __init__(self) -> None:
        self.seconds = 1
        self._history: deque[tuple[int, int]] = deque()
        """(second, how many were refused in it)."""
        self._second = 0
        self._count = 0
        self._changed_s = 0

    def refused(self, now_s: float) -> None:
        second = int(now_s)
        if second == self._second:
            self._count += 1
            return
        self._history.append((self._second, self._count))
        kept_s = min(2 * self.seconds, LONGEST_S)
        while self._history and self._second - self._history[0][0] > kept_s:
            self._history.popleft()
        self._second, self._count = second, 1
        self._adjust(second)

    def _adjust(self, second: int) -> None:
        refused = sum(count for at, count in self._history if at < second and second - at <= self.seconds)
        if second - self._changed_s >= self.seconds and refused >= 3 * self.seconds:
            self.seconds = min(2 * self.seconds, LONGEST_S)
            self._changed_s = second
        elif refused < self.seconds and self.seconds > 1:
            self.seconds -= 1
