"""A shutdown is held up until pods have ended, in turns."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.shutdown.history import ShutdownHistory
from steersman.kubelet.shutdown.manager import ShutdownManager
from steersman.kubelet.shutdown.periods import shutdown_periods
from steersman.kubelet.status import Verdict
from steersman.meta import objects
from steersman.meta.objects import Object
from tests.kubelet.shutdown.machine import Machine


@dataclass
class Pods:
    """Each needs its grace to end, or for ever."""

    clock: FakeClock
    pods: list[Object] = field(default_factory=list)
    endless: set[str] = field(default_factory=set)
    ended: list[tuple[str, float]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def active_pods(self) -> list[Object]:
        return self.pods

    async def end(self, pod: Object, verdict: Verdict, *, grace_s: float) -> bool:
        name = objects.name(pod)
        self.verdicts.append(verdict)
        await self.clock.sleep(1e9 if name in self.endless else grace_s)
        self.ended.append((name, grace_s))
        return True


@dataclass
class Node:
    clock: FakeClock
    machine: Machine
    pods: Pods
    manager: ShutdownManager
    metrics: KubeletMetrics
    events: list[tuple[str, str, str]]
    reports: list[float]

    async def shut_down(self, it_does: bool = True) -> None:
        self.machine.news.put_nowait(it_does)
        await self.clock.settle()


@asynccontextmanager
async def running(directory: Path, machine: Machine | None = None) -> AsyncIterator[Node]:
    clock = FakeClock()
    pods = Pods(clock)
    metrics = KubeletMetrics()
    found = machine or Machine()
    events: list[tuple[str, str, str]] = []
    reports: list[float] = []
    manager = ShutdownManager(
        periods=shutdown_periods(30, 10),
        connect=found.connect,
        ender=pods,
        clock=clock,
        history=ShutdownHistory(directory),
        announce=lambda kind, reason, message: events.append((kind, reason, message)),
        changed=lambda: reports.append(clock.now()),
        metrics=metrics,
    )
    node = Node(clock, found, pods, manager, metrics, events, reports)
    async with TaskGroup("test") as group:
        group.spawn(manager.run(), name="manager")
        await clock.settle()
        yield node


def pod(name: str, *, priority: int = 0, grace_s: int = 30) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"priority": priority, "terminationGracePeriodSeconds": grace_s},
    }


CRITICAL = pod("critical", priority=2_000_000_000)


async def test_the_bus_is_asked_to_wait_as_long_as_pods_may_take(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.clock.advance(0.2)
        assert node.machine.delay_s == 30
        assert len(node.machine.locks) == 1


async def test_a_bus_that_does_not_wait_that_long_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine()
    machine.grants = False
    with caplog.at_level(logging.ERROR):
        async with running(tmp_path, machine) as node:
            await node.clock.advance(30)
            assert not machine.locks
    [record] = caplog.records
    assert "waiting for logind InhibitDelayMaxSec to update to 30s (ShutdownGracePeriod), current value is 5s" in str(
        record.args
    )


async def test_critical_pods_end_last_and_then_the_machine_goes_down(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.clock.advance(1)
        node.pods.pods = [CRITICAL, pod("web"), pod("quick", grace_s=3)]
        await node.shut_down()
        assert node.manager.is_shutting_down and len(node.reports) == 1
        assert node.events == [("Normal", "NodeShutdown", "Shutdown manager detected shutdown event")]
        await node.clock.advance(20)
        assert node.pods.ended == [("quick", 3), ("web", 20)]
        assert node.machine.locks
        await node.clock.advance(10)
        assert node.pods.ended[-1] == ("critical", 10)
        assert not node.machine.locks


async def test_pods_are_ended_as_disrupted_and_keep_their_success(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.clock.advance(1)
        node.pods.pods = [pod("web")]
        await node.shut_down()
    message = "Pod was terminated in response to imminent node shutdown."
    assert node.pods.verdicts == [Verdict(reason="Terminated", message=message, disruption=message, keeps_success=True)]


async def test_a_pod_that_does_not_end_delays_the_next_turn_no_longer_than_its_own(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.clock.advance(1)
        node.pods.pods, node.pods.endless = [CRITICAL, pod("stuck")], {"stuck"}
        await node.shut_down()
        await node.clock.advance(20)
        assert node.machine.locks
        await node.clock.advance(10)
        assert node.pods.ended == [("critical", 10)]
        assert not node.machine.locks


async def test_no_pod_starts_while_the_node_goes_down_and_again_when_it_does_not_after_all(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.clock.advance(1)
        assert node.manager.admit(pod("web")) is None
        await node.shut_down()
        verdict = node.manager.admit(pod("web"))
        assert verdict is not None
        assert (verdict.reason, verdict.message) == (
            "NodeShutdown",
            "Pod was rejected as the node is shutting down.",
        )
        await node.shut_down(False)
        assert node.manager.admit(pod("web")) is None
        assert len(node.machine.locks) == 1
        assert node.events[-1][2] == "Shutdown manager detected shutdown cancellation"


async def test_when_it_was_is_written_down_for_the_next_kubelet(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.clock.advance(1)
        node.pods.pods = [pod("web", grace_s=4)]
        await node.shut_down()
        path = tmp_path / "graceful_node_shutdown_state"
        assert json.loads(path.read_text()) == {"startTime": "2026-01-01T00:00:01Z", "endTime": "0001-01-01T00:00:00Z"}
        await node.clock.advance(4)
        assert json.loads(path.read_text())["endTime"] == "2026-01-01T00:00:05Z"
    async with running(tmp_path) as again:
        read = again.metrics.registry.get_sample_value
        began_s, ended_s = (read(f"kubelet_graceful_shutdown_{end}_time_seconds") for end in ("start", "end"))
        assert (began_s, ended_s) == (1767225601, 1767225605)


async def test_a_bus_that_goes_away_is_followed_again_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as node:
        await node.clock.advance(1)
        node.machine.is_reachable = False
        node.machine.news.put_nowait(None)
        await node.clock.advance(10)
        assert not node.machine.locks
        node.machine.is_reachable = True
        await node.clock.advance(1)
        assert len(node.machine.locks) == 1
    errors = [record.getMessage().partition(": ")[2] for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["the bus is gone: closed", "no system bus: nothing there"]
