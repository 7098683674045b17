"""When a container's probes run, and what becomes of one that is under way."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.aio.timers import Timers
from steersman.kubelet.handlers import Note, Outcome, Target
from steersman.kubelet.probes import PodProbes
from tests.kubelet.pods import container, deleted, pod, ran, record

PROBED = container(livenessProbe={"exec": {"command": ["true"]}, "periodSeconds": 10})


class SlowHandlers:
    """Every probe fails, after 5 s."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.begun = 0
        self.ended = 0

    async def probe(self, target: Target, probe: Mapping[str, Any]) -> Outcome:
        self.begun += 1
        await self._clock.sleep(5)
        self.ended += 1
        return Outcome(result="failure", output="no")

    async def run_hook(self, target: Target, handler: Mapping[str, Any], note: Note) -> None:
        raise AssertionError("there are no hooks")


async def test_a_probe_under_way_runs_to_its_end_and_tells_nothing_when_its_pod_is_deleted() -> None:
    """As upstream's. containerd 1.6 answers nothing about a container for half a minute after a command was given up."""
    clock = FakeClock()
    handlers = SlowHandlers(clock)
    said: list[str] = []
    async with TaskGroup("test") as group:
        timers = Timers(clock)
        group.spawn(timers.run(), name="timers")
        probes = PodProbes(
            handlers=handlers,
            clock=clock,
            timers=timers,
            rng=random.Random(1),
            spawn=group.spawn,
            changed=lambda results: None,
            announce=lambda name, reason, message: said.append(reason),
        )
        running = record(ran(PROBED))
        probes.follow(pod(PROBED), running, pod_ip="10.0.0.1")
        await clock.advance(1)
        assert (handlers.begun, handlers.ended) == (1, 0)
        probes.follow(deleted(pod(PROBED)), running, pod_ip="10.0.0.1")
        await clock.advance(30)
        assert (handlers.begun, handlers.ended) == (1, 1)
        assert said == []
        probes.stop()
        group.cancel()
