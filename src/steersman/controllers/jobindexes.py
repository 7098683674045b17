"""Sets of completion indexes, as an Indexed Job's status writes them: ``0,3-5,7``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from msgspec import Struct


class Indexes(Struct, frozen=True):
    """Ordered, disjoint, non-adjacent intervals (first, last), both inclusive."""

    intervals: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, indexes: Iterable[int]) -> Indexes:
        return cls(_merged((index, index) for index in indexes))

    @classmethod
    def parse(cls, text: str | None, completions: int) -> Indexes:
        """What is corrupt or not below ``completions`` is left out."""
        found = []
        for part in (text or "").split(","):
            first, _, last = part.partition("-")
            if not first.isdecimal() or not (last or first).isdecimal():
                continue
            if int(first) < completions:
                found.append((int(first), min(int(last or first), completions - 1)))
        return cls(_merged(found))

    def __str__(self) -> str:
        parts = []
        for first, last in self.intervals:
            joint = "," if last == first + 1 else "-"
            parts.append(str(first) if first == last else f"{first}{joint}{last}")
        return ",".join(parts)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.intervals)

    def __contains__(self, index: int) -> bool:
        position = bisect_left(self.intervals, index, key=lambda interval: interval[1])
        return position < len(self.intervals) and self.intervals[position][0] <= index

    def __or__(self, other: Indexes) -> Indexes:
        return Indexes(_merged([*self.intervals, *other.intervals]))

    def overlap(self, other: Indexes) -> int:
        """How many indexes are in both."""
        return sum(
            max(min(mine[1], theirs[1]) - max(mine[0], theirs[0]) + 1, 0)
            for mine in self.intervals
            for theirs in other.intervals
        )

    def missing(self, completions: int) -> Iterator[int]:
        """The indexes below ``completions`` that are not in the set, ascending."""
        start = 0
        for first, last in self.intervals:
            yield from range(start, min(first, completions))
            start = last + 1
        yield from range(start, completions)


def _merged(intervals: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
