"""The admission plugins of one API server, run in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import OPERATIONS, AdmissionPlugin, AdmissionRequest, Operation
from steersman.apiserver.admission.metrics import AdmissionMetrics, Row

_Ask = Callable[[AdmissionRequest], Any]


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
        self._measured: dict[Operation, Sequence[tuple[str, _Ask, Row]]] = {}

    def _of(self, operation: Operation) -> Sequence[tuple[str, _Ask, Row]]:
        """Those that are asked about the operation."""
        rows = [
            (
                plugin.NAME,
                getattr(plugin, self._method),
                self._metrics.controller(plugin.NAME, self._name, operation, False),
            )
            for plugin in self._plugins
            if operation in getattr(plugin, "OPERATIONS", OPERATIONS)
        ]
        self._measured[operation] = rows
        return rows

    async def run(self, request: AdmissionRequest) -> bool:
        """Whether a plugin replaced ``request.obj``. Raises whatever one refuses with."""
        monotonic, operation = self._clock.monotonic, request.operation
        plugins = self._measured.get(operation) or self._of(operation)
        changed, asked = False, 0
        start_s = before_s = monotonic()
        try:
            for _, ask, row in plugins:
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
            self._metrics.controller(plugins[asked][0], self._name, operation, True).add(now_s - before_s)
            self._metrics.step(self._name, operation, True).add(now_s - start_s)
            raise
        self._metrics.step(self._name, operation, False).add(before_s - start_s)
        return changed


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
