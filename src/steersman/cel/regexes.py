"""Patterns that users write, in RE2's syntax and linear time."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import re2

from steersman.cel.errors import EvaluationError


class Match(Protocol):
    def group(self, index: int = 0) -> str: ...
    def start(self) -> int: ...
    def end(self) -> int: ...


class Pattern(Protocol):
    """What is used of a compiled pattern."""

    groups: int

    def search(self, text: str, pos: int = 0) -> Match | None: ...


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
        raise ValueError(f"error parsing regexp: {reason}: `{fragment}`") from error
    return found


def matches(text: str, pattern: str) -> bool:
    """Whether ``pattern`` is found anywhere in ``text``."""
    return _checked(pattern).search(text) is not None


def find(text: str, pattern: str) -> str:
    match = _illegal(pattern).search(text)
    return match.group() if match is not None else ""


def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """Matches from left to right that do not overlap; an empty match right behind another does not count, as in Go."""
    expression = _illegal(pattern)
    found: list[str] = []
    position, previous_end = 0, -1
    while position <= len(text) and len(found) != limit:
        match = expression.search(text, position)
        if match is None:
            break
        if match.end() > match.start() or match.start() != previous_end:
            found.append(match.group())
        previous_end = match.end()
        position = match.end() if match.end() > match.start() else match.end() + 1
    return found


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
