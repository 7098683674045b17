"""The admission plugins of one API server, run in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import OPERATIONS, AdmissionPlugin, AdmissionRequest, Operation
from steersman.apiserver.admission.metrics import AdmissionMetrics

_ADMIT, _VALIDATE = "admit", "validate"
_Ask = Callable[[AdmissionRequest], Any]


def _asked(plugins: Sequence[AdmissionPlugin], operation: Operation, step: str) -> Sequence[tuple[str, _Ask]]:
    """The plugins that take part in a step for an operation."""
    return [
        (plugin.NAME, getattr(plugin, step))
        for plugin in plugins
        if hasattr(plugin, step) and operation in getattr(plugin, "OPERATIONS", OPERATIONS)
    ]


class AdmissionChain:
    """First every mutating plugin, then (after validation) every validating one, each in the order given.

    A plugin that does both is in both lists. Where a mutating webhook or policy changed the object, all mutating plugins
    run a second time (the reinvocation policies decide which webhooks and policies join in).
    """

    def __init__(self, plugins: Sequence[AdmissionPlugin], *, clock: Clock, metrics: AdmissionMetrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._mutating = {operation: _asked(plugins, operation, "mutate") for operation in OPERATIONS}
        self._validating = {operation: _asked(plugins, operation, "validate") for operation in OPERATIONS}

    async def mutate(self, request: AdmissionRequest) -> bool:
        """Run the mutating plugins; whether one of them replaced ``request.obj``."""
        changed = await self._run(_ADMIT, self._mutating[request.operation], request)
        if request.must_reinvoke:
            request.round = 1
            changed = await self._run(_ADMIT, self._mutating[request.operation], request) or changed
        return changed

    async def validate(self, request: AdmissionRequest) -> None:
        await self._run(_VALIDATE, self._validating[request.operation], request)

    async def _run(self, step: str, plugins: Sequence[tuple[str, _Ask]], request: AdmissionRequest) -> bool:
        monotonic, observe = self._clock.monotonic, self._metrics.controller
        operation, changed, rejected, name = request.operation, False, True, ""
        start_s = before_s = monotonic()
        try:
            for name, ask in plugins:
                replacement = await ask(request)
                if replacement is not None:
                    request.obj = replacement
                    changed = True
                after_s = monotonic()
                observe(name, step, operation, False, after_s - before_s)
                before_s = after_s
            rejected = False
        finally:
            now_s = monotonic()
            if rejected:
                observe(name, step, operation, True, now_s - before_s)
            self._metrics.step(step, operation, rejected, now_s - start_s)
        return changed
