"""What one validating policy says to one request, with one parameter: decisions about validations, and audit annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.apiserver.admission.decisions import Decisions
from steersman.apiserver.admission.evaluation import OutOfBudget, Result
from steersman.apiserver.admission.policies.evaluating import Evaluation
from steersman.apiserver.admission.policies.policy import Policy
from steersman.cel.values import Value, type_of
from steersman.schema.groups.admissionregistration.expressions import Expression

MAX_MESSAGE_BYTES = 5 * 1024


class Validation(Struct, frozen=True, kw_only=True):
    expression: Expression
    message_expression: Expression | None
    message: str
    """Without surrounding white space."""
    reason: str


class Annotation(Struct, frozen=True, kw_only=True):
    key: str
    expression: Expression


class ValidatingPolicy(Policy):
    @cached_property
    def validations(self) -> Sequence[Validation]:
        compiler = self._compiler()
        return tuple(
            Validation(
                expression=compiler.condition(entry["expression"]),
                message_expression=compiler.message(entry["messageExpression"])
                if entry.get("messageExpression")
                else None,
                message=(entry.get("message") or "").strip(),
                reason=entry.get("reason") or "Invalid",
            )
            for entry in self._spec.get("validations") or ()
        )

    @cached_property
    def annotations(self) -> Sequence[Annotation]:
        compiler = self._compiler()
        return tuple(
            Annotation(key=entry["key"], expression=compiler.annotation(entry["valueExpression"]))
            for entry in self._spec.get("auditAnnotations") or ()
        )


class Decision(Struct, frozen=True, kw_only=True):
    """About one validation, or about the policy as a whole."""

    outcome: Literal["admitted", "denied", "failed", "failed open"]
    """``failed``: it could not be evaluated, which denies; ``failed open``: which by ``failurePolicy`` does not matter."""
    message: str = ""
    reason: str = ""
    index: int = 0
    seconds: float = 0.0

    @property
    def denies(self) -> bool:
        return self.outcome in ("denied", "failed")


class Verdict(Struct, frozen=True, kw_only=True):
    decisions: Sequence[Decision] = ()
    annotations: Sequence[tuple[str, str]] = ()
    """(key, value) to publish."""
    annotation_errors: Sequence[Decision] = ()


async def verdict(policy: ValidatingPolicy, values: Mapping[str, Value], decisions: Decisions, clock: Clock) -> Verdict:
    """``values`` are those of the variables of all expressions. The policy's conditions hold."""
    judge = _Judge(policy, values, decisions, clock)
    try:
        found = await judge.decisions()
        annotations, errors = await judge.annotations()
    except OutOfBudget as error:
        return Verdict(decisions=(failure(policy, str(error)),))
    return Verdict(decisions=found, annotations=annotations, annotation_errors=errors)


def failure(policy: Policy, message: str, *, index: int = 0, seconds: float = 0.0) -> Decision:
    """Something could not be evaluated."""
    outcome: Literal["failed", "failed open"] = "failed open" if policy.ignores_failures else "failed"
    return Decision(outcome=outcome, message=message, index=index, seconds=seconds)


class _Judge:
    def __init__(
        self, policy: ValidatingPolicy, values: Mapping[str, Value], decisions: Decisions, clock: Clock
    ) -> None:
        self._policy = policy
        self._values = values
        self._decisions = decisions
        self._clock = clock

    def _evaluation(self, *, authorizer: bool) -> Evaluation:
        return Evaluation(self._policy.variables, self._values, self._decisions, authorizer=authorizer)

    async def decisions(self) -> Sequence[Decision]:
        evaluation = self._evaluation(authorizer=True)
        timed: list[tuple[Result, float]] = []
        for validation in self._policy.validations:
            start_s = self._clock.monotonic()
            result = await evaluation.result(validation.expression)
            timed.append((result, self._clock.monotonic() - start_s))
        messages = self._evaluation(authorizer=False)
        messages.remaining = evaluation.remaining
        return [
            await self._decision(index, validation, *timed[index], messages)
            for index, validation in enumerate(self._policy.validations)
        ]

    async def _decision(
        self, index: int, validation: Validation, result: Result, seconds: float, messages: Evaluation
    ) -> Decision:
        if result.error:
            return failure(self._policy, result.error, index=index, seconds=seconds)
        if result.value is True:
            return Decision(outcome="admitted", index=index, seconds=seconds)
        try:
            message = await self._message(validation, messages)
        except OutOfBudget as error:
            return failure(self._policy, f"failed messageExpression: {error}", index=index, seconds=seconds)
        return Decision(outcome="denied", message=message, reason=validation.reason, index=index, seconds=seconds)

    async def _message(self, validation: Validation, messages: Evaluation) -> str:
        """Of its expression, else the one that is written, else the expression itself."""
        text = ""
        if validation.message_expression is not None:
            result = await messages.result(validation.message_expression)
            if not result.error and isinstance(result.value, str):
                text = result.value.strip()
            if len(text.encode()) > MAX_MESSAGE_BYTES or "\n" in text:
                text = ""
        return text or validation.message or f"failed expression: {validation.expression.text.strip()}"

    async def annotations(self) -> tuple[Sequence[tuple[str, str]], Sequence[Decision]]:
        if not self._policy.annotations:
            return (), ()
        evaluation = self._evaluation(authorizer=False)
        found: list[tuple[str, str]] = []
        errors: list[Decision] = []
        for annotation in self._policy.annotations:
            start_s = self._clock.monotonic()
            result = await evaluation.result(annotation.expression)
            seconds = self._clock.monotonic() - start_s
            if result.error:
                if not self._policy.ignores_failures:
                    errors.append(failure(self._policy, result.error, seconds=seconds))
            elif isinstance(result.value, str):
                if value := result.value.strip():
                    found.append((annotation.key, value))
            elif result.value is not None:
                detail = (
                    f"valueExpression '{annotation.expression.text}' resulted in unsupported return type: "
                    f"{type_of(result.value).name}. Return type must be either string or null."
                )
                errors.append(Decision(outcome="failed", message=detail, seconds=seconds))
        return found, errors
