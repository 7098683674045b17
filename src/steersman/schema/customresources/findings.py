"""What validation finds, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from steersman.meta.errors import FieldError, invalid

Path = tuple[Any, ...]
"""Where a value is: () for the root, else (path of the parent, step), so that a step costs one tuple."""
NOWHERE = "<nil>"
"""The field of errors that upstream tells without one."""
UNCORRELATED: Any = object()
"""There is no old value to compare with."""


class Finding(Struct, frozen=True):
    """One thing that is wrong. ``text`` tells findings apart: the same one is told once."""

    text: str
    error: FieldError
    """Its field is relative to the validated value; ``NOWHERE`` for none."""


Check = Callable[[Any, Any, Path, list[Finding]], int]
"""(value, old value, path, found) -> how many checks matched, by which the best of several failed alternatives is chosen."""


def render(path: Path) -> str:
    """``spec.containers[0].image``."""
    steps: list[Any] = []
    while path:
        path, step = path
        steps.append(step)
    text = ""
    for step in reversed(steps):
        text = f"{text}[{step}]" if isinstance(step, int) else f"{text}.{step}" if text else step
    return text


def report(found: list[Finding], path: Path, value: Any, text: str) -> None:
    """``<path> in body <text>`` about a value."""
    name = render(path)
    message = f"{name} in body {text}"
    found.append(Finding(message, invalid(name, value, message)))


def report_nowhere(found: list[Finding], text: str) -> None:
    found.append(Finding(text, invalid(NOWHERE, "", text)))
