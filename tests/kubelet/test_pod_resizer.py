"""The order in which a resize reaches the pod's cgroup and the runtime, and what stops it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from steersman.aio.clock import FakeClock
from steersman.aio.timers import Timers
from steersman.kubelet.allocation import Actuated, actuated_of
from steersman.kubelet.cgroups import NoCgroups
from steersman.kubelet.linux_resources import ResourcePolicy, pod_resources
from steersman.kubelet.pod_resizer import PodResizer, ResizeFailed
from steersman.kubelet.records import PodRecord
from steersman.kubelet.resizing import plan_resize
from steersman.kubelet.runtimes.api import InvalidArgument
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.meta.objects import Object
from tests.kubelet.pods import container, pod, ran, record

POLICY = ResourcePolicy(memory_capacity_bytes=1 << 34)
MIB = 1 << 20


class Cgroups(NoCgroups):
    """One pod's cgroup as a value."""

    def __init__(self, before: Object, log: list[str], used_bytes: Mapping[str, int]) -> None:
        self._set = pod_resources(before, POLICY)
        self._log = log
        self._used_bytes = used_bytes

    def current(self, pod: Mapping[str, Any], policy: ResourcePolicy) -> LinuxResources:
        return self._set

    def update(self, pod: Mapping[str, Any], resources: LinuxResources) -> None:
        self._log.append(f"pod {_told(resources)}")

    def memory_usage_bytes(self, pod: Mapping[str, Any], container_id: str = "") -> int:
        return self._used_bytes.get(container_id, 0)


class Runtime(SimulatedRuntime):
    """Notes what is set, and refuses what it is told to refuse."""

    def __init__(self, log: list[str], refuses: str) -> None:
        clock = FakeClock()
        super().__init__(clock=clock, timers=Timers(clock), rng=random.Random(1))
        self._log = log
        self._refuses = refuses

    async def update_pod_sandbox_resources(
        self, sandbox_id: str, *, overhead: LinuxResources | None = None, resources: LinuxResources | None = None
    ) -> None:
        if self._refuses == "pod":
            raise InvalidArgument("pod refused")

    async def update_container_resources(
        self, container_id: str, resources: LinuxResources, *, annotations: Mapping[str, str] | None = None
    ) -> None:
        if self._refuses == container_id:
            raise InvalidArgument(f"{container_id} refused")
        memory = resources.memory_limit_bytes // MIB
        self._log.append(f"{container_id} cpu {resources.cpu_quota // 100}/{resources.cpu_shares} memory {memory}")


def _told(resources: LinuxResources) -> str:
    if resources.memory_limit_bytes:
        return f"memory {resources.memory_limit_bytes // MIB}"
    return f"quota {resources.cpu_quota // 100}" if resources.cpu_quota else f"shares {resources.cpu_shares}"


def sized(name: str, cpu_milli: int, memory_mib: int, request_milli: int = 0) -> Object:
    limits = {"cpu": f"{cpu_milli}m", "memory": f"{memory_mib}Mi"}
    requests = {**limits, "cpu": f"{request_milli or cpu_milli}m"}
    return container(name, resources={"requests": requests, "limits": limits})


async def resize(
    before: Object, after: Object, *, used_bytes: Mapping[str, int] | None = None, refuses: str = ""
) -> tuple[list[str], Actuated, str]:
    """What was done in order, what is set at the end, and the failure."""
    log: list[str] = []
    resizer = PodResizer(Runtime(log, refuses), Cgroups(before, log, used_bytes or {}), lambda pod, container: POLICY)
    actuated = [actuated_of(before)]
    reported: PodRecord = record(*map(ran, before["spec"]["containers"]))
    plan = plan_resize(after, reported, actuated[0])
    try:
        await resizer.resize(after, "box-0", plan, actuated[0], actuated.append)
    except ResizeFailed as error:
        return log, actuated[-1], str(error)
    return log, actuated[-1], ""


async def test_a_pod_grows_before_its_containers_memory_before_cpu_limits_before_requests() -> None:
    before, after = pod(sized("a", 100, 100)), pod(sized("a", 200, 300))
    log, actuated, failure = await resize(before, after)
    assert log == [
        "pod memory 300",
        "a-0 cpu 100/102 memory 300",
        "pod quota 200",
        "pod shares 204",
        "a-0 cpu 200/204 memory 300",
    ]
    assert (actuated, failure) == (actuated_of(after), "")


async def test_a_pod_shrinks_after_its_containers_requests_before_limits() -> None:
    before, after = pod(sized("a", 200, 300)), pod(sized("a", 100, 100))
    log, actuated, _ = await resize(before, after)
    assert log == [
        "a-0 cpu 200/204 memory 100",
        "pod memory 100",
        "a-0 cpu 100/102 memory 100",
        "pod shares 102",
        "pod quota 100",
    ]
    assert actuated == actuated_of(after)


async def test_what_one_container_loses_another_may_have() -> None:
    before = pod(sized("a", 100, 100), sized("b", 100, 100))
    after = pod(sized("a", 150, 100), sized("b", 50, 100))
    log, _, _ = await resize(before, after)
    assert log == ["b-0 cpu 50/51 memory 100", "a-0 cpu 150/153 memory 100"]


async def test_a_limit_below_what_is_used_is_refused_before_anything_is_done() -> None:
    before, after = pod(sized("a", 100, 100)), pod(sized("a", 200, 10))
    used = {"": 12 * MIB, "a-0": 11 * MIB}
    log, actuated, failure = await resize(before, after, used_bytes=used)
    assert log == [] and actuated == actuated_of(before)
    assert failure == (
        "cannot decrease memory limits: [attempting to set pod memory limit (10485760) below current usage (12582912), "
        'attempting to set container "a" memory limit (10485760) below current usage (11534336)]'
    )


async def test_only_limits_that_shrink_are_compared_with_what_is_used() -> None:
    before, after = pod(sized("a", 100, 100)), pod(sized("a", 200, 110))
    _, actuated, failure = await resize(before, after, used_bytes={"": 500 * MIB, "a-0": 500 * MIB})
    assert (actuated, failure) == (actuated_of(after), "")


async def test_what_was_done_before_a_failure_stays_and_is_known() -> None:
    before = pod(sized("a", 100, 100), sized("b", 100, 100))
    after = pod(sized("a", 50, 50), sized("b", 50, 200))
    log, actuated, failure = await resize(before, after, refuses="b-0")
    assert failure == "b-0 refused"
    assert log == ["pod memory 250", "a-0 cpu 100/102 memory 50"]
    assert actuated.containers["a"].memory_limit_bytes == 50 * MIB
    assert actuated.containers["a"].cpu_limit_milli == 100
    assert actuated.containers["b"] == actuated_of(before).containers["b"]


async def test_a_runtime_may_refuse_the_pod_as_a_whole() -> None:
    before, after = pod(sized("a", 100, 100)), pod(sized("a", 100, 200))
    log, actuated, failure = await resize(before, after, refuses="pod")
    assert (log, actuated, failure) == ([], actuated_of(before), "pod refused")
