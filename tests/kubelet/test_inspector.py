"""What the runtime is asked about a pod, and what it is not asked twice."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.aio.timers import Timers
from steersman.kubelet.inspector import Inspector, Touched
from steersman.kubelet.records import POD_UID
from steersman.kubelet.runtimes.containers import ContainerConfig, ContainerMetadata
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, PodSandboxMetadata
from steersman.kubelet.runtimes.simulated import SimulatedRuntime


class Counted:
    """The runtime, and how often each of its calls was made."""

    def __init__(self, runtime: SimulatedRuntime) -> None:
        self._runtime = runtime
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._runtime, name)


LABELS = {POD_UID: "uid"}
SANDBOX = PodSandboxConfig(metadata=PodSandboxMetadata(name="web", uid="uid", namespace="default"), labels=LABELS)


@pytest.fixture
async def simulated(clock: FakeClock) -> SimulatedRuntime:
    runtime = SimulatedRuntime(clock=clock, timers=Timers(clock), rng=random.Random(1))
    await runtime.pull_image(ImageSpec(image="busybox:1"))
    return runtime


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def start(runtime: SimulatedRuntime, box: str, name: str) -> str:
    config = ContainerConfig(metadata=ContainerMetadata(name=name), image=ImageSpec(image="busybox:1"), labels=LABELS)
    container = await runtime.create_container(box, config, SANDBOX)
    await runtime.start_container(container)
    return container


async def test_what_did_not_change_state_is_not_asked_about_again(
    clock: FakeClock, simulated: SimulatedRuntime
) -> None:
    runtime: Any = Counted(simulated)
    box = await simulated.run_pod_sandbox(SANDBOX)
    ids = [await start(simulated, box, name) for name in ("one", "two")]
    inspector = Inspector(runtime, clock=clock)

    first = await inspector.inspect("uid")
    assert {item.id: item.state for item in first.containers} == dict.fromkeys(ids, "RUNNING")
    assert (runtime.calls["pod_sandbox_status"], runtime.calls["container_status"]) == (1, 2)

    again = await inspector.inspect("uid", first)
    assert (again.sandboxes, again.containers) == (first.sandboxes, first.containers)
    assert (runtime.calls["pod_sandbox_status"], runtime.calls["container_status"]) == (1, 2)

    await simulated.stop_container(ids[0], timeout_s=0)
    ended = await inspector.inspect("uid", again)
    assert {item.id: item.state for item in ended.containers} == {ids[0]: "EXITED", ids[1]: "RUNNING"}
    assert (runtime.calls["pod_sandbox_status"], runtime.calls["container_status"]) == (1, 3)


async def test_what_was_touched_is_looked_at_alone(clock: FakeClock, simulated: SimulatedRuntime) -> None:
    runtime: Any = Counted(simulated)
    inspector = Inspector(runtime, clock=clock)
    empty = await inspector.inspect("uid")
    runtime.calls.clear()
    await clock.advance(1)

    box = await simulated.run_pod_sandbox(SANDBOX)
    made = await inspector.look_at(Touched(sandbox_id=box), lambda: empty)
    assert made is not None and made.sandbox is not None
    assert (made.sandbox.id, made.ips, made.name, made.namespace) == (box, made.sandbox.ips, "web", "default")

    await clock.advance(1)
    one = await start(simulated, box, "one")
    started = await inspector.look_at(Touched(sandbox_id=box, container_id=one), lambda: made)
    assert started is not None
    assert runtime.calls == {"pod_sandbox_status": 1, "container_status": 1}

    await clock.advance(1)
    await simulated.stop_container(one, timeout_s=0)
    ended = await inspector.look_at(Touched(sandbox_id=box, container_id=one), lambda: started)
    assert ended is not None
    whole = await inspector.inspect("uid")
    assert (ended.sandboxes, ended.containers) == (whole.sandboxes, whole.containers)
    assert (empty.listed_at_s, ended.listed_at_s) == (empty.taken_at_s, empty.taken_at_s), "nobody listed since"
    assert empty.taken_at_s < made.taken_at_s < started.taken_at_s < ended.taken_at_s <= whole.listed_at_s


async def test_a_look_at_one_thing_says_nothing_where_more_is_known_by_then(
    clock: FakeClock, simulated: SimulatedRuntime
) -> None:
    inspector = Inspector(simulated, clock=clock)
    box = await simulated.run_pod_sandbox(SANDBOX)
    known = await inspector.inspect("uid")
    newer = replace(known, taken_at_s=clock.monotonic() + 1)
    assert await inspector.look_at(Touched(sandbox_id=box), lambda: newer) is None


async def test_a_look_at_what_is_gone_says_nothing(clock: FakeClock, simulated: SimulatedRuntime) -> None:
    inspector = Inspector(simulated, clock=clock)
    known = await inspector.inspect("uid")
    assert await inspector.look_at(Touched(sandbox_id="gone"), lambda: known) is None
    assert await inspector.look_at(Touched(sandbox_id="gone", container_id="gone"), lambda: known) is None
