"""``matchConditions`` of webhooks and policies: CEL expressions that all have to be true of a request.

All are evaluated. One that is false settles the matter, whatever the others are; errors count only where none is false, and then
by ``failurePolicy``.
Source: "Matching requests: matchConditions" in the documentation of dynamic admission control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.apiserver.admission.decisions import Decisions
from steersman.apiserver.admission.evaluation import OutOfBudget, Result, evaluate
from steersman.cel.values import Value
from steersman.schema.groups.admissionregistration.expressions import Expression, Variables, compile_condition

COST_BUDGET = 2_500_000
"""Cost units of all the conditions of one webhook or binding for one request: about a quarter of a second."""


class Verdict(Struct, frozen=True, kw_only=True):
    """``matches`` says whether to go on; with an ``error`` the request is to be refused instead."""

    matches: bool
    error: str = ""
    false_condition: str = ""
    """Name of the condition that is false."""
    failures: int = 0
    """Conditions whose evaluation failed."""


_MATCHES = Verdict(matches=True)


class MatchConditions(Struct, frozen=True, kw_only=True):
    """The conditions of one webhook or policy, compiled."""

    conditions: Sequence[tuple[str, Expression]]
    """(name, expression)."""

    @classmethod
    def of(cls, conditions: Sequence[Mapping[str, Any]], *, has_params: bool = False) -> MatchConditions:
        variables = Variables(params=has_params, authorizer=True)
        return cls(
            conditions=tuple((entry["name"], compile_condition(entry["expression"], variables)) for entry in conditions)
        )

    async def evaluate(self, bindings: Mapping[str, Value], decisions: Decisions, *, ignores_failures: bool) -> Verdict:
        """``ignores_failures``: the failure policy is Ignore, so that what cannot be evaluated does not match."""
        if not self.conditions:
            return _MATCHES
        results: list[tuple[str, Result]] = []
        budget = COST_BUDGET
        try:
            for name, expression in self.conditions:
                results.append((name, await evaluate(expression, bindings, decisions, budget=budget)))
                budget = results[-1][1].remaining
        except OutOfBudget as error:
            return Verdict(matches=False, error="" if ignores_failures else str(error))
        return _verdict(results, ignores_failures)


def _verdict(results: Sequence[tuple[str, Result]], ignores_failures: bool) -> Verdict:
    errors: list[str] = []
    for name, result in results:
        if result.error:
            errors.append(result.error)
        elif result.value is False:
            return Verdict(matches=False, false_condition=name, failures=len(errors))
    if not errors:
        return _MATCHES
    return Verdict(matches=False, error="" if ignores_failures else aggregated(errors), failures=len(errors))


def aggregated(errors: Sequence[str]) -> str:
    """Several errors as upstream joins them: one as it is, more in brackets, none twice."""
    different = tuple(dict.fromkeys(errors))
    return different[0] if len(different) == 1 else f"[{', '.join(different)}]"
