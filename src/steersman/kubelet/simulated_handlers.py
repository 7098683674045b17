"""Probes and hooks of simulated containers: what their behaviour says, without a request being sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.aio.clock import Clock
from steersman.kubelet.handlers import Handlers, Note, Outcome, Target
from steersman.kubelet.runtimes.api import NotFound
from steersman.kubelet.runtimes.simulated import SimulatedRuntime

FAILED = Outcome(result="failure", output="simulated failure")
PASSED = Outcome(result="success")


class SimulatedHandlers:
    def __init__(self, runtime: SimulatedRuntime, *, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock

    async def probe(self, target: Target, probe: Mapping[str, Any]) -> Outcome:
        try:
            behaviour, age_s = self._runtime.behaviour(target.container_id)
        except NotFound as error:
            return Outcome(result="error", output=str(error))
        spec = target.container.spec
        if probe is spec.get("startupProbe"):
            return PASSED if age_s >= behaviour.started_after_s else FAILED
        if probe is spec.get("readinessProbe"):
            return PASSED if age_s >= behaviour.ready_after_s else FAILED
        limit_s = behaviour.unhealthy_after_s
        return PASSED if limit_s is None or age_s < limit_s else FAILED

    async def run_hook(self, target: Target, handler: Mapping[str, Any], note: Note) -> None:
        if "sleep" in handler:
            await self._clock.sleep(float(handler["sleep"]["seconds"]))


def _conforms(runtime: SimulatedRuntime, clock: Clock) -> Handlers:
    return SimulatedHandlers(runtime, clock=clock)
