"""The supervisor, with programs of one line of shell."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from steersman.aio.clock import SystemClock
from steersman.cluster.launching import ExecLauncher, ProgramSpec
from steersman.cluster.supervisor import Supervisor, describe_exit

READY = "trap 'echo {name} >> {log}; exit 0' TERM; echo up-{name} >> {log}; while :; do sleep 0.02; done"


class World:
    """A directory with a log that programs write to, and the programs that should run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.specs: list[ProgramSpec] = []
        self.supervisor = Supervisor(
            lambda: self.specs,
            launcher=ExecLauncher(),
            state_file=directory / "state.json",
            clock=SystemClock(),
        )

    def spec(self, name: str, script: str = READY, **rest: Any) -> ProgramSpec:
        text = script.replace("{name}", name).replace("{log}", str(self.directory / "said"))
        return ProgramSpec(name=name, argv=("sh", "-c", text), log=self.directory / f"{name}.log", **rest)

    def said(self) -> list[str]:
        path = self.directory / "said"
        return path.read_text().split() if path.exists() else []

    def state(self, name: str) -> dict[str, Any]:
        path = self.directory / "state.json"
        content = json.loads(path.read_text()) if path.exists() else {"programs": {}}
        found: dict[str, Any] = content["programs"].get(name, {})
        return found

    @asynccontextmanager
    async def running(self, *specs: ProgramSpec) -> AsyncIterator[None]:
        self.specs = [*specs]
        task = asyncio.ensure_future(self.supervisor.run())
        try:
            yield
        finally:
            self.supervisor.stop()
            await asyncio.wait_for(task, 10)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def until(holds: Callable[[], object], within_s: float = 10) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come to hold"
        await asyncio.sleep(0.01)


async def test_programs_stop_in_descending_order_and_the_state_file_goes(world: World) -> None:
    specs = [world.spec(f"p{order}", order=order) for order in (0, 2, 1)]
    async with world.running(*specs):
        await until(lambda: len(world.said()) == 3)
        assert world.state("p1")["pid"] > 0
    assert world.said()[3:] == ["p2", "p1", "p0"]
    assert not (world.directory / "state.json").exists()


async def test_a_program_that_dies_is_started_again_ever_later(world: World) -> None:
    async with world.running(world.spec("a", "date +%s.%N >> {log}; exit 3")):
        await until(lambda: len(world.said()) == 4)
        state = world.state("a")
        assert state["restarts"] >= 3
        assert state["last_exit"] == "exit code 3"
    times = [float(word) for word in world.said()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] >= 0.2
    assert gaps[1] >= 0.4
    assert gaps[2] >= 0.8


async def test_reload_starts_stops_and_restarts_what_differs_only(world: World) -> None:
    async with world.running(world.spec("same"), world.spec("gone"), world.spec("changed")):
        await until(lambda: len(world.said()) == 3)
        before = world.state("same")["pid"]
        world.specs = [world.spec("same"), world.spec("changed", environment=(("A", "b"),)), world.spec("new")]
        world.supervisor.reload()
        await until(lambda: world.said().count("up-changed") == 2 and "up-new" in world.said())
        assert {"gone", "changed"} <= {*world.said()}
        assert "same" not in world.said()
        assert world.state("same")["pid"] == before
        assert world.state("gone") == {}


async def test_reload_does_not_wait_for_what_backs_off(world: World) -> None:
    async with world.running(world.spec("a", "echo try >> {log}; exit 1")):
        await until(lambda: world.state("a").get("restarts") == 4)
        began_s = time.monotonic()
        world.supervisor.reload()
        await until(lambda: len(world.said()) == 5)
        assert time.monotonic() - began_s < 1.0


async def test_a_program_that_does_not_end_is_killed(world: World) -> None:
    script = "trap '' TERM; echo up >> {log}; while :; do sleep 0.02; done"
    began_s = time.monotonic()
    async with world.running(world.spec("a", script, stop_grace_s=0.2)):
        await until(world.said)
    assert time.monotonic() - began_s < 5


async def test_a_program_that_cannot_be_started_is_tried_again_and_others_run(world: World) -> None:
    missing = ProgramSpec(name="missing", argv=("/nowhere/at/all",), log=world.directory / "missing.log")
    async with world.running(missing, world.spec("a")):
        await until(lambda: world.said() == ["up-a"])
        await until(lambda: world.state("missing").get("restarts", 0) >= 2)
        assert "No such file" in world.state("missing")["last_exit"]


def test_exits_in_words() -> None:
    assert [describe_exit(code) for code in (0, 1, -9, -40)] == [
        "exit code 0", "exit code 1", "killed by SIGKILL", "killed by signal 40",
    ]  # fmt: skip
