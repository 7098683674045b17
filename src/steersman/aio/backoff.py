"""Exponential backoff, for one retrier (``Backoff``) or one per item of a queue (``ItemBackoff``)."""

from __future__ import annotations

import random
from collections.abc import Hashable

from msgspec import Struct, field


class Backoff(Struct, kw_only=True):
    """Delays that grow by ``factor`` from ``initial_s`` to ``cap_s``, each lengthened by up to ``jitter`` of itself."""

    initial_s: float = 0.1
    factor: float = 2.0
    cap_s: float = 30.0
    jitter: float = 0.0
    rng: random.Random = field(default_factory=random.Random)
    _next_s: float = 0.0

    def next(self) -> float:
        """The delay before the coming try, in seconds."""
        delay_s = self._next_s or self.initial_s
        self._next_s = min(delay_s * self.factor, self.cap_s)
        return min(delay_s, self.cap_s) * (1.0 + self.jitter * self.rng.random())

    def reset(self) -> None:
        """Start again from ``initial_s``: the last try succeeded."""
        self._next_s = 0.0


class ItemBackoff:
    """Failures counted per item: the n-th failure of an item waits ``base_s * 2**(n-1)``, at most ``cap_s``."""

    def __init__(self, base_s: float = 0.005, cap_s: float = 1000.0) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._failures: dict[Hashable, int] = {}

    def when(self, item: Hashable) -> float:
        """Count one more failure of ``item`` and return its delay in seconds."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        return self._cap_s if failures > 60 else min(self._base_s * float(2**failures), self._cap_s)

    def failures(self, item: Hashable) -> int:
        return self._failures.get(item, 0)

    def forget(self, item: Hashable) -> None:
        self._failures.pop(item, None)
