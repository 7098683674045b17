"""What can go wrong with an expression: while it is compiled, and while it is evaluated.

The wording of messages is that of cel-go, because kube-apiserver hands it to clients unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

_LONGEST_SNIPPET = 16384
_WIDE_DOT, _WIDE_MARK = "\uff0e", "\uff3e"


class CELError(Exception):
    """Any failure of an expression."""


class Issue(Struct, frozen=True, kw_only=True):
    """One complaint about the text of an expression."""

    message: str
    offset: int
    """In code points from the start of the text; -1 when the issue concerns no place in particular."""


class CompileError(CELError):
    """An expression that does not parse or does not type-check. ``str()`` is cel-go's multi-line form with snippets."""

    def __init__(self, text: str, issues: Sequence[Issue]) -> None:
        self.text = text
        self.issues = tuple(sorted(issues, key=lambda issue: issue.offset))
        super().__init__("\n".join(self._display(issue) for issue in self.issues))

    def position(self, issue: Issue) -> tuple[int, int]:
        """(line, column) of an issue, the line counted from 1 and the column from 0."""
        if issue.offset < 0:
            return -1, -1
        before = self.text[: issue.offset]
        return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1)

    def _display(self, issue: Issue) -> str:
        line, column = self.position(issue)
        shown = f"ERROR: <input>:{line}:{column + 1}: {issue.message}"
        if not self.text:
            return f"ERROR: <input>:1:0: {issue.message}"
        lines = self.text.split("\n")
        if not 1 <= line <= len(lines) or len(lines[line - 1]) > _LONGEST_SNIPPET:
            return shown
        snippet = lines[line - 1].replace("\t", " ")
        dots = "".join("." if ord(character) < 0x80 else _WIDE_DOT for character in snippet[:column])
        mark = _WIDE_MARK if column < len(snippet) and ord(snippet[column]) >= 0x80 else "^"
        return f"{shown}\n | {snippet}\n | {dots}{mark}"


class InstantiationError(CELError):
    """An expression that type-checks but can never be evaluated: a pattern that is written out is none.

    kube-apiserver reports it as ``program instantiation failed: …``.
    """


class EvaluationError(CELError):
    """An error value of CEL: ``&&``, ``||``, ``?:`` and the quantifiers may absorb it, else the evaluation ends with it."""


class CostLimitExceeded(CELError):
    """The evaluation was stopped because it had cost more than its limit. Nothing in an expression can absorb this."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


def no_such_overload() -> EvaluationError:
    return EvaluationError("no such overload")
