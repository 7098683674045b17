"""A mapping in the order of its keys: ranges by prefix without sorting, insertions without moving everything.

Keys are strings; Python orders them by code point, which is the order of their UTF-8 bytes, hence etcd's.
Written here because ``sortedcontainers`` is untyped and no longer maintained, and a range of 10,000 keys is five times as
fast when it is cut from blocks in slices (0.3 ms).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Generic, TypeVar

V = TypeVar("V")

BLOCK = 512
"""Keys per block. A block is split when it has twice as many."""


def prefix_end(prefix: str) -> str | None:
    """The least key above all that begin with ``prefix``; None where there is no such key."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at]) + 1
        if code == 0xD800:  # surrogates are no characters and have no UTF-8
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:at] + chr(code)
    return None


class SortedMap(Generic[V]):
    """Values by key, and the keys in order, cut into blocks."""

    def __init__(self) -> None:
        self._values: dict[str, V] = {}
        self._blocks: list[list[str]] = []
        self._firsts: list[str] = []

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> V:
        return self._values[key]

    def get(self, key: str) -> V | None:
        return self._values.get(key)

    def __setitem__(self, key: str, value: V) -> None:
        if key not in self._values:
            self._insert(key)
        self._values[key] = value

    def pop(self, key: str) -> V | None:
        """Remove ``key``; its value, or None where it was not there."""
        if key not in self._values:
            return None
        at = bisect_right(self._firsts, key) - 1
        block = self._blocks[at]
        del block[bisect_left(block, key)]
        if block:
            self._firsts[at] = block[0]
        else:
            del self._blocks[at], self._firsts[at]
        return self._values.pop(key)

    def clear(self) -> None:
        self._values.clear()
        self._blocks.clear()
        self._firsts.clear()

    def range_keys(self, prefix: str = "", *, start: str = "", limit: int = 0) -> list[str]:
        """The keys that begin with ``prefix`` and are not below ``start``, at most ``limit`` (0: all), in order."""
        low, high = max(prefix, start), prefix_end(prefix)
        found: list[str] = []
        for at in range(max(bisect_right(self._firsts, low) - 1, 0), len(self._blocks)):
            block = self._blocks[at]
            if high is not None and block[0] >= high:
                break
            found += self._cut(block, low, high)
            if limit and len(found) >= limit:
                return found[:limit]
        return found

    def range_values(self, prefix: str = "", *, start: str = "", limit: int = 0) -> list[V]:
        """The values of ``range_keys(…)``."""
        values = self._values
        return [values[key] for key in self.range_keys(prefix, start=start, limit=limit)]

    def count(self, prefix: str = "", *, start: str = "") -> int:
        """How many keys ``range_keys(prefix, start=start)`` would give."""
        return max(self._rank(prefix_end(prefix)) - self._rank(max(prefix, start)), 0)

    def _insert(self, key: str) -> None:
        if not self._blocks:
            self._blocks.append([key])
            self._firsts.append(key)
            return
        at = max(bisect_right(self._firsts, key) - 1, 0)
        block = self._blocks[at]
        block.insert(bisect_left(block, key), key)
        self._firsts[at] = block[0]
        if len(block) >= 2 * BLOCK:
            upper = block[BLOCK:]
            del block[BLOCK:]
            self._blocks.insert(at + 1, upper)
            self._firsts.insert(at + 1, upper[0])

    def _rank(self, key: str | None) -> int:
        """How many keys are below ``key`` (None: all)."""
        if key is None:
            return len(self._values)
        at = bisect_right(self._firsts, key) - 1
        if at < 0:
            return 0
        return sum(map(len, self._blocks[:at])) + bisect_left(self._blocks[at], key)

    @staticmethod
    def _cut(block: list[str], low: str, high: str | None) -> list[str]:
        first = 0 if block[0] >= low else bisect_left(block, low)
        if high is None or block[-1] < high:
            return block[first:] if first else block
        return block[first : bisect_left(block, high)]
