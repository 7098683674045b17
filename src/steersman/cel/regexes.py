"""Patterns that users write, in RE2's syntax and linear time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

import re2

from steersman.cel.effort import METER
from steersman.cel.errors import EvaluationError


class Match(Protocol):
    def group(self, index: int = 0) -> str: ...
    def start(self) -> int: ...
    def end(self) -> int: ...


class Pattern(Protocol):
    """What is used of a compiled pattern."""

    groups: int
    programsize: int
    """Instructions."""

    def search(self, text: str, pos: int = 0) -> Match | None: ...
    def finditer(self, text: str) -> Iterator[Match]: ...


_MATCH_STEPS = 60
_LARGE_PROGRAM = 128
_LARGE_PER_STEP, _SMALL_PER_STEP = 8, 50
"""Characters times instructions that are done in a step, for large programs and others."""
_GO_REASONS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "trailing \\": "trailing backslash at end of expression",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "pattern too large - compile failed": "expression too large",
}
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Pattern:
    """Raises ``ValueError`` with Go's words."""
    try:
        found: Pattern = re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        text = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        reason, _, fragment = text.partition(": ")
        raise ValueError(f"error parsing regexp: {_GO_REASONS.get(reason, reason)}: `{fragment}`") from error
    return found


def matches(text: str, pattern: str) -> bool:
    """Whether ``pattern`` is found anywhere in ``text``."""
    expression = _checked(pattern)
    _spend(expression, text)
    return expression.search(text) is not None


def find(text: str, pattern: str) -> str:
    expression = _illegal(pattern)
    _spend(expression, text)
    match = expression.search(text)
    return match.group() if match is not None else ""


def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """Matches from left to right that do not overlap; an empty match right behind another does not count, as in Go."""
    expression = _illegal(pattern)
    found: list[str] = []
    if limit == 0:
        return found
    _spend(expression, text)
    previous_end = -1
    for match in expression.finditer(text):
        METER.spend(_MATCH_STEPS)
        if match.end() > match.start() or match.start() != previous_end:
            found.append(match.group())
        previous_end = match.end()
        if len(found) == limit:
            break
    return found


def _spend(expression: Pattern, text: str) -> None:
    """Matching takes time by the text's length; for large patterns, whose states RE2 cannot keep, times their size."""
    size = expression.programsize
    METER.spend(len(text) * size // (_LARGE_PER_STEP if size > _LARGE_PROGRAM else _SMALL_PER_STEP))


def _checked(pattern: str) -> Pattern:
    try:
        return compiled(pattern)
    except ValueError as error:
        raise EvaluationError(str(error)) from error


def _illegal(pattern: str) -> Pattern:
    try:
        return compiled(pattern)
    except ValueError as error:
        raise EvaluationError(f"Illegal regex: {error}") from error
