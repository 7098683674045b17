"""Sets of CPUs as the kernel writes them: ``0-3,8``."""

from __future__ import annotations

from collections.abc import Iterable

CPUs = frozenset[int]


def parse_cpus(text: str) -> CPUs:
    """Raises ``ValueError`` for what is not a list of numbers and ranges."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{part!r} is no CPU number or range")
        low, high = int(first), int(last or first)
        if high < low:
            raise ValueError(f"invalid range {part!r} ({high} < {low})")
        found.update(range(low, high + 1))
    return frozenset(found)


def format_cpus(cpus: Iterable[int]) -> str:
    """The shortest form, ascending."""
    parts: list[str] = []
    run: list[int] = []
    for cpu in [*sorted(cpus), -1]:
        if run and cpu != run[-1] + 1:
            parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
            run = []
        run.append(cpu)
    return ",".join(parts)
