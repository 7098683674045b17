"""What the runtime is asked about a pod, and what it is not asked twice."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from steersman.aio.clock import FakeClock
from steersman.aio.timers import Timers
from steersman.kubelet.inspector import Inspector
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


async def test_what_did_not_change_state_is_not_asked_about_again() -> None:
    clock = FakeClock()
    simulated = SimulatedRuntime(clock=clock, timers=Timers(clock), rng=random.Random(1))
    runtime: Any = Counted(simulated)
    labels = {POD_UID: "uid"}
    sandbox = PodSandboxConfig(metadata=PodSandboxMetadata(name="web", uid="uid", namespace="default"), labels=labels)
    box = await simulated.run_pod_sandbox(sandbox)
    await simulated.pull_image(ImageSpec(image="busybox:1"))
    ids = []
    for name in ("one", "two"):
        config = ContainerConfig(
            metadata=ContainerMetadata(name=name), image=ImageSpec(image="busybox:1"), labels=labels
        )
        ids.append(await simulated.create_container(box, config, sandbox))
        await simulated.start_container(ids[-1])
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
