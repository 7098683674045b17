"""Evaluating the expressions of a policy about one request: variables are computed when one asks for them, and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec.structs import replace

from steersman.apiserver.admission.decisions import Decisions
from steersman.apiserver.admission.evaluation import OutOfBudget, Result, evaluate
from steersman.cel import CELError, EvaluationError
from steersman.cel.effort import TURN
from steersman.cel.values import Lazy, Value
from steersman.meta.quoting import quoted
from steersman.schema.groups.admissionregistration.expressions import AUTHORIZER, REQUEST_RESOURCE, Expression
from steersman.schema.groups.admissionregistration.policyexpressions import VARIABLES

COST_BUDGET = 10_000_000
"""Cost units of what a binding evaluates for one request: about a second."""


class PolicyVariables(Lazy):
    """The ``variables`` of a policy. Asking for one that fails fails the same way each time."""

    def __init__(self, expressions: Mapping[str, Expression], bindings: Mapping[str, Value]) -> None:
        super().__init__()
        self._expressions = expressions
        self._bindings = bindings
        self._failures: dict[str, EvaluationError] = {}
        self._cost = 0

    def __contains__(self, name: object) -> bool:
        return name in self._expressions

    def get(self, name: str, default: Value = None) -> Value:
        return self[name] if name in self._expressions else default

    def compute(self, name: str) -> Value:
        failure = self._failures.get(name)
        if failure is not None:
            raise failure
        expression = self._expressions[name]
        problem: str | CELError | None = None
        value: Value = None
        if expression.program is None:
            problem, what = expression.problem, "compile"
        else:
            outcome = expression.program.measure(self._bindings)
            self._cost += outcome.cost
            value, problem, what = outcome.value, outcome.error, "evaluate"
        if problem is None:
            return value
        failure = self._failures[name] = EvaluationError(
            f"composited variable {quoted(name)} fails to {what}: {problem}"
        )
        raise failure

    def take_cost(self) -> int:
        """What computing has cost since this was last asked."""
        cost, self._cost = self._cost, 0
        return cost


class Evaluation:
    """A series of expressions with one budget, which their variables use up, too."""

    def __init__(
        self,
        variables: Mapping[str, Expression],
        values: Mapping[str, Value],
        decisions: Decisions,
        *,
        authorizer: bool,
        budget: int = COST_BUDGET,
    ) -> None:
        bindings = dict(values)
        if not authorizer:
            del bindings[AUTHORIZER], bindings[REQUEST_RESOURCE]
        self._variables = bindings[VARIABLES] = PolicyVariables(variables, bindings)
        self._bindings = bindings
        self._decisions = decisions
        self.remaining = budget
        self._next_pause = budget - TURN

    async def result(self, expression: Expression) -> Result:
        """Raises ``OutOfBudget``. Other requests have their turn in between where a series is long."""
        found = await evaluate(expression, self._bindings, self._decisions, budget=self.remaining)
        self.remaining = found.remaining - self._variables.take_cost()
        if self.remaining < 0:
            raise OutOfBudget
        if self.remaining < self._next_pause:
            self._next_pause = self.remaining - TURN
            await asyncio.sleep(0)
        return replace(found, remaining=self.remaining)
