"""The simulated runtime keeps the rules that every runtime keeps."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from steersman.aio.clock import SystemClock
from steersman.aio.timers import Timers
from steersman.kubelet.runtimes.behaviour import ANNOTATION
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.testing.runtime_suite import Harness, RuntimeSuite

IMAGE = "image:1"
COMMANDS = {
    ("sleep", "3600"): {"stopSeconds": 3600},
    ("sh", "-c", "exit 7"): {"runSeconds": 0.01, "exitCode": 7},
    ("true",): {"runSeconds": 0.01},
}


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    clock = SystemClock()
    timers = Timers(clock)
    running = asyncio.create_task(timers.run())
    runtime = SimulatedRuntime(clock=clock, timers=timers, rng=random.Random(1))
    await runtime.pull_image(ImageSpec(image=IMAGE))
    annotations = {command: {ANNOTATION: json.dumps({"*": value})} for command, value in COMMANDS.items()}
    yield Harness(runtime=runtime, image=IMAGE, root=tmp_path, annotations=annotations, streams=False)
    await runtime.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class TestSimulated(RuntimeSuite):
    pass
