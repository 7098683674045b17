"""The admission plugins of one API server, run in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import OPERATIONS, AdmissionPlugin, AdmissionRequest, Operation
from steersman.apiserver.admission.metrics import AdmissionMetrics, Bystanders, Row
from steersman.meta.resources import Resource

_Ask = Callable[[AdmissionRequest], Any]


_Subject = tuple[Operation, str, str, str]
"""Operation, group, plural and subresource: what decides which plugins take part."""


class _Part(Struct, frozen=True, kw_only=True):
    """A plugin in one step."""

    name: str
    ask: _Ask
    row: Row
    takes_part: bool
    """It may have something to say; the others are only counted."""


class _Plan:
    """The plugins of one step for requests of one subject."""

    __slots__ = ("asked", "bystanders", "parts", "row")

    def __init__(self, parts: Sequence[_Part], row: Row) -> None:
        self.parts = parts
        self.row = row
        self.asked = tuple((part.ask, part.row) for part in parts if part.takes_part)
        self.bystanders = Bystanders()
        for part in parts:
            if not part.takes_part:
                part.row.bystanders.append(self.bystanders)


class _Step:
    """Mutation or validation: the plugins that take part, in order, and what they take."""

    def __init__(
        self, name: str, method: str, plugins: Sequence[AdmissionPlugin], clock: Clock, metrics: AdmissionMetrics
    ) -> None:
        self._name = name
        self._method = method
        self._plugins = [plugin for plugin in plugins if hasattr(plugin, method)]
        self._clock = clock
        self._metrics = metrics
        self._plans: dict[_Subject, _Plan] = {}
        """One for each kind that is written."""

    def _plan(self, subject: _Subject) -> _Plan:
        operation, *concerned = subject
        parts = [
            _Part(
                name=plugin.NAME,
                ask=getattr(plugin, self._method),
                row=self._metrics.controller(plugin.NAME, self._name, operation, False),
                takes_part=_is_concerned(plugin, *concerned),
            )
            for plugin in self._plugins
            if operation in getattr(plugin, "OPERATIONS", OPERATIONS)
        ]
        plan = self._plans[subject] = _Plan(parts, self._metrics.step(self._name, operation, False))
        return plan

    async def run(self, request: AdmissionRequest) -> bool:
        """Whether a plugin replaced ``request.obj``. Raises whatever one refuses with."""
        resource = request.kind.resource
        subject = (request.operation, resource.group, resource.plural, request.subresource)
        plan = self._plans.get(subject) or self._plan(subject)
        monotonic = self._clock.monotonic
        changed, asked = False, 0
        start_s = before_s = monotonic()
        try:
            for ask, row in plan.asked:
                replacement = await ask(request)
                if replacement is not None:
                    request.obj = replacement
                    changed = True
                after_s = monotonic()
                row.add(after_s - before_s)
                before_s = after_s
                asked += 1
        except BaseException:
            now_s = monotonic()
            self._refused(plan, asked, request.operation, now_s - before_s)
            self._metrics.step(self._name, request.operation, True).add(now_s - start_s)
            raise
        plan.bystanders.count += 1
        plan.row.add(before_s - start_s)
        return changed

    def _refused(self, plan: _Plan, asked: int, operation: Operation, took_s: float) -> None:
        """Count the plugin that refused, ``asked`` others were asked before it, and the bystanders that it had before it."""
        for part in plan.parts:
            if not part.takes_part:
                part.row.add(0.0)
            elif asked:
                asked -= 1
            else:
                self._metrics.controller(part.name, self._name, operation, True).add(took_s)
                return


def _is_concerned(plugin: AdmissionPlugin, group: str, plural: str, subresource: str) -> bool:
    """What the plugin declares leaves room for it to say something."""
    resources: Collection[Resource] | None = getattr(plugin, "RESOURCES", None)
    subresources: Collection[str] | None = getattr(plugin, "SUBRESOURCES", None)
    if resources is not None and not any((known.group, known.plural) == (group, plural) for known in resources):
        return False
    return subresources is None or subresource in subresources


class AdmissionChain:
    """First every mutating plugin, then (after validation) every validating one, each in the order given.

    A plugin that does both is in both steps. Where a mutating webhook or policy changed the object, all mutating plugins
    run a second time (the reinvocation policies decide which webhooks and policies join in).
    """

    def __init__(self, plugins: Sequence[AdmissionPlugin], *, clock: Clock, metrics: AdmissionMetrics) -> None:
        self._mutation = _Step("admit", "mutate", plugins, clock, metrics)
        self._validation = _Step("validate", "validate", plugins, clock, metrics)
        self.validating = tuple(plugin.NAME for plugin in plugins if hasattr(plugin, "validate"))
        """The names of those that validate, in their order."""

    async def mutate(self, request: AdmissionRequest) -> bool:
        """Run the mutating plugins; whether one of them replaced ``request.obj``."""
        changed = await self._mutation.run(request)
        if request.must_reinvoke:
            request.round = 1
            changed = await self._mutation.run(request) or changed
        return changed

    async def validate(self, request: AdmissionRequest) -> None:
        await self._validation.run(request)
