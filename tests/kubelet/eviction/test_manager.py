"""The node runs short of something, step by step, on numbers that the test sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from msgspec import Struct, field
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.kubelet.disk_usage import TreeUsage
from steersman.kubelet.eviction import thresholds as signals
from steersman.kubelet.eviction.manager import EvictionManager, reclaims
from steersman.kubelet.eviction.messages import EvictionMessage
from steersman.kubelet.eviction.signals import ContainerDisk, Filesystems, Observation, Observations, PodConsumption
from steersman.kubelet.eviction.thresholds import EvictionConfig, parse_thresholds
from steersman.kubelet.status import Verdict
from steersman.meta import objects
from steersman.meta.objects import Object
from tests.kubelet.pods import container, pod

MI = 1024**2
GI = 1024**3


class Numbers(Struct):
    """A node as the test has it: observer, reclaimer and evictor at once."""

    memory: int = 8 * GI
    disk: int = 80 * GI
    inodes: int = 900_000
    pids: int = 30_000
    pods: list[Object] = field(default_factory=list)
    usage: dict[str, PodConsumption] = field(default_factory=dict)
    apart: Filesystems = field(default_factory=Filesystems)
    frees: int = 0
    """Bytes of disk that removing images brings."""
    done: list[str] = field(default_factory=list)
    evicted: list[tuple[str, EvictionMessage, float, bool]] = field(default_factory=list)
    asked_for_usage: int = 0

    async def filesystems(self) -> Filesystems:
        return self.apart

    async def observe(self) -> Observations:
        disk = Observation(available=self.disk, capacity=100 * GI)
        inodes = Observation(available=self.inodes, capacity=1_000_000)
        return {
            signals.MEMORY: Observation(available=self.memory, capacity=16 * GI),
            signals.NODE_FS: disk, signals.IMAGE_FS: disk, signals.CONTAINER_FS: disk,
            signals.NODE_INODES: inodes, signals.IMAGE_INODES: inodes, signals.CONTAINER_INODES: inodes,
            signals.PIDS: Observation(available=self.pids, capacity=32_768),
        }  # fmt: skip

    async def consumption(self) -> Mapping[str, PodConsumption]:
        self.asked_for_usage += 1
        return self.usage

    async def remove_dead_containers(self) -> None:
        self.done.append("containers")

    async def remove_unused_images(self) -> None:
        self.done.append("images")
        self.disk += self.frees

    def active_pods(self) -> Iterable[Object]:
        return self.pods

    async def evict(self, pod: Object, message: EvictionMessage, *, grace_s: float, disruption: bool) -> None:
        self.evicted.append((objects.name(pod), message, grace_s, disruption))
        self.pods = [item for item in self.pods if item is not pod]

    def add(self, name: str, consumption: PodConsumption, *, request: str = "", **spec: Any) -> None:
        resources = {"requests": {"memory": request}} if request else {}
        self.pods.append(pod(container(resources=resources), name=name, uid=name, **spec))
        self.usage[name] = consumption


def using(mebibytes: int) -> PodConsumption:
    return PodConsumption(memory_bytes=mebibytes * MI, containers={"main": ContainerDisk(memory_bytes=mebibytes * MI)})


class Watched:
    """A manager at work on ``numbers``."""

    def __init__(self, numbers: Numbers, clock: FakeClock, config: EvictionConfig) -> None:
        self.events: list[tuple[str, str]] = []
        self.counted: list[str] = []
        self.changes: list[frozenset[str]] = []
        self.clock = clock
        self.manager = EvictionManager(
            config=config, observer=numbers, reclaimer=numbers, evictor=numbers, clock=clock,
            announce=lambda reason, message: self.events.append((reason, message)),
            changed=lambda: self.changes.append(self.manager.conditions),
            counted=self.counted.append,
        )  # fmt: skip

    async def look(self, after_s: float = 10) -> int:
        await self.clock.advance(after_s)
        return await self.manager.synchronize()


def config(
    hard: Mapping[str, str] | None = None, soft: Mapping[str, str] | None = None, grace: Mapping[str, str] | None = None,
    reclaim: Mapping[str, str] | None = None, **fields: Any,
) -> EvictionConfig:  # fmt: skip
    return EvictionConfig(thresholds=parse_thresholds(hard or {}, soft, grace, reclaim), **fields)


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_node_with_enough_of_everything_evicts_nobody_and_asks_little(
    numbers: Numbers, clock: FakeClock
) -> None:
    numbers.add("a", using(500))
    watched = Watched(numbers, clock, config({signals.MEMORY: "100Mi", signals.NODE_FS: "10%"}))
    assert await watched.look() == 0
    assert (numbers.evicted, watched.manager.conditions, numbers.asked_for_usage) == ([], frozenset(), 0)


async def test_a_hard_threshold_evicts_one_pod_at_once_with_upstreams_words(numbers: Numbers, clock: FakeClock) -> None:
    numbers.memory = 90 * MI
    numbers.add("small", using(100), request="200Mi")
    numbers.add("greedy", using(700), request="500Mi")
    watched = Watched(numbers, clock, config({signals.MEMORY: "100Mi"}))
    assert await watched.look() == 1
    [(name, message, grace_s, disruption)] = numbers.evicted
    assert (name, grace_s, disruption) == ("greedy", 1, True)
    assert message.text == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. "
        "Container main was using 700Mi, request is 500Mi, has larger consumption of memory. "
    )
    assert message.annotations == {
        "offending_containers": "main", "offending_containers_usage": "700Mi", "starved_resource": "memory"
    }  # fmt: skip
    assert watched.events == [("EvictionThresholdMet", "Attempting to reclaim memory")]
    assert watched.counted == ["memory.available"]
    assert watched.changes == [frozenset({"MemoryPressure"})]


async def test_a_soft_threshold_waits_for_its_grace_and_gives_the_pod_its_own(
    numbers: Numbers, clock: FakeClock
) -> None:
    numbers.memory = 900 * MI
    numbers.add("a", using(500), terminationGracePeriodSeconds=20)
    soft = config(None, {signals.MEMORY: "1Gi"}, {signals.MEMORY: "30s"}, max_pod_grace_s=60)
    watched = Watched(numbers, clock, soft)
    assert await watched.look() == 0
    assert watched.manager.conditions == {"MemoryPressure"}
    assert await watched.look(20) == 0
    assert await watched.look(10) == 1
    assert numbers.evicted[0][2] == 20


async def test_a_soft_threshold_that_is_met_anew_waits_anew(numbers: Numbers, clock: FakeClock) -> None:
    numbers.add("a", using(500))
    watched = Watched(numbers, clock, config(None, {signals.MEMORY: "1Gi"}, {signals.MEMORY: "30s"}))
    numbers.memory = 900 * MI
    await watched.look()
    numbers.memory = 2 * GI
    await watched.look(20)
    numbers.memory = 900 * MI
    assert await watched.look(20) == 0
    assert await watched.look(29) == 0
    assert await watched.look(1) == 1


async def test_pressure_lasts_for_the_transition_period(numbers: Numbers, clock: FakeClock) -> None:
    numbers.pids = 100
    watched = Watched(numbers, clock, config({signals.PIDS: "1k"}, pressure_transition_s=300))
    await watched.look()
    assert watched.manager.conditions == {"PIDPressure"}
    numbers.pids = 20_000
    await watched.look(299)
    assert watched.manager.conditions == {"PIDPressure"}
    await watched.look(1)
    assert watched.manager.conditions == frozenset()
    assert watched.changes == [frozenset({"PIDPressure"}), frozenset()]


async def test_minimum_reclaim_keeps_evicting_beyond_the_threshold(numbers: Numbers, clock: FakeClock) -> None:
    for name in ("a", "b", "c"):
        numbers.add(name, using(500))
    watched = Watched(numbers, clock, config({signals.MEMORY: "1Gi"}, reclaim={signals.MEMORY: "500Mi"}))
    numbers.memory = 900 * MI
    assert await watched.look() == 1
    numbers.memory = 1200 * MI
    assert await watched.look() == 1
    numbers.memory = 1600 * MI
    assert await watched.look() == 0


async def test_disk_is_reclaimed_before_a_pod_has_to_go(numbers: Numbers, clock: FakeClock) -> None:
    numbers.disk, numbers.frees = 9 * GI, 20 * GI
    numbers.add("a", using(1))
    watched = Watched(numbers, clock, config({signals.NODE_FS: "10%"}))
    assert await watched.look() == 0
    assert numbers.done == ["containers", "images"]
    assert numbers.evicted == []
    assert watched.manager.conditions == {"DiskPressure"}


async def test_where_reclaiming_is_not_enough_a_pod_goes(numbers: Numbers, clock: FakeClock) -> None:
    numbers.disk, numbers.frees = 5 * GI, GI
    numbers.add("a", PodConsumption(containers={
        "main": ContainerDisk(rootfs=TreeUsage(used_bytes=3 * GI), logs=TreeUsage(used_bytes=GI))
    }))  # fmt: skip
    watched = Watched(numbers, clock, config({signals.NODE_FS: "10%"}))
    assert await watched.look() == 1
    assert numbers.evicted[0][1].text == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10737418400, available: 5Gi. "
        "Container main was using 4Gi, request is 0, has larger consumption of ephemeral-storage. "
    )


async def test_memory_goes_before_disk(numbers: Numbers, clock: FakeClock) -> None:
    numbers.disk, numbers.memory = 1 * GI, 10 * MI
    numbers.add("a", using(1))
    watched = Watched(numbers, clock, config({signals.NODE_FS: "10%", signals.MEMORY: "100Mi"}))
    await watched.look()
    assert watched.counted == ["memory.available"]
    assert watched.manager.conditions == {"MemoryPressure", "DiskPressure"}


async def test_critical_pods_are_never_evicted(numbers: Numbers, clock: FakeClock) -> None:
    numbers.memory = 10 * MI
    numbers.add("system", using(5000), priority=2_000_000_000)
    static = {"annotations": {"kubernetes.io/config.source": "file"}}
    numbers.add("static", using(5000), metadata={"name": "static", "uid": "static", **static})
    watched = Watched(numbers, clock, config({signals.MEMORY: "100Mi"}))
    assert await watched.look() == 0
    numbers.add("plain", using(1))
    assert await watched.look() == 1
    assert [entry[0] for entry in numbers.evicted] == ["plain"]


LIMIT: dict[str, Any] = {"resources": {"limits": {"ephemeral-storage": "100Mi"}}}


@pytest.mark.parametrize(
    ("fields", "consumption", "message", "signal"),
    [
        ({"volumes": [{"name": "data", "emptyDir": {"sizeLimit": "10Mi"}}]},
         PodConsumption(volumes={"data": TreeUsage(used_bytes=11 * MI)}),
         'Usage of EmptyDir volume "data" exceeds the limit "10Mi". ', "emptydirfs.limit"),
        ({"containers": [container(**LIMIT)]}, PodConsumption(ephemeral_bytes=101 * MI),
         "Pod ephemeral local storage usage exceeds the total limit of containers 100Mi. ", "ephemeralpodfs.limit"),
        ({"containers": [container(**LIMIT), container("b", resources={"limits": {"ephemeral-storage": "1Gi"}})]},
         PodConsumption(ephemeral_bytes=101 * MI, containers={"main": ContainerDisk(
             rootfs=TreeUsage(used_bytes=60 * MI), logs=TreeUsage(used_bytes=41 * MI))}),
         'Container main exceeded its local ephemeral storage limit "100Mi". ', "ephemeralcontainerfs.limit"),
    ],
)  # fmt: skip
async def test_a_pod_over_a_limit_of_its_own_goes_though_the_node_has_room(
    numbers: Numbers, clock: FakeClock, fields: dict[str, Any], consumption: PodConsumption, message: str, signal: str
) -> None:
    plain = pod(name="a", uid="a")
    numbers.pods = [{**plain, "spec": {**plain["spec"], **fields}}]
    numbers.usage["a"] = consumption
    watched = Watched(numbers, clock, config())
    assert await watched.look() == 1
    assert numbers.evicted[0][1].text == message
    assert (watched.counted, numbers.evicted[0][2:]) == ([signal], (1, False))


async def test_limits_of_local_storage_can_be_ignored(numbers: Numbers, clock: FakeClock) -> None:
    plain = pod(name="a", uid="a")
    volumes = [{"name": "data", "emptyDir": {"sizeLimit": "10Mi"}}]
    numbers.pods = [{**plain, "spec": {**plain["spec"], "volumes": volumes}}]
    numbers.usage["a"] = PodConsumption(volumes={"data": TreeUsage(used_bytes=11 * MI)})
    watched = Watched(numbers, clock, config(local_storage_isolation=False))
    assert await watched.look() == 0


EFFORT = pod()
BURSTABLE = pod(container(resources={"requests": {"memory": "1Mi"}}))
TOLERANT = pod(tolerations=[{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}])
CRITICAL = pod(priority=2_000_001_000)


@pytest.mark.parametrize(
    ("short", "admitted", "refused", "shown"),
    [
        ({}, [EFFORT, BURSTABLE], [], ""),
        ({"memory": MI}, [BURSTABLE, TOLERANT, CRITICAL], [EFFORT], "MemoryPressure"),
        ({"disk": MI}, [CRITICAL], [EFFORT, BURSTABLE, TOLERANT], "DiskPressure"),
        ({"inodes": 1}, [CRITICAL], [BURSTABLE], "DiskPressure"),
        ({"pids": 1}, [CRITICAL], [BURSTABLE], "PIDPressure"),
        ({"memory": MI, "disk": MI}, [CRITICAL], [BURSTABLE], "DiskPressure MemoryPressure"),
    ],
)
async def test_admission_under_pressure(
    clock: FakeClock, short: dict[str, int], admitted: list[Object], refused: list[Object], shown: str
) -> None:
    numbers = replace(Numbers(), **short)
    hard = {signals.MEMORY: "1Gi", signals.NODE_FS: "10%", signals.NODE_INODES: "5%", signals.PIDS: "5%"}
    watched = Watched(numbers, clock, config(hard))
    await watched.look()
    assert [watched.manager.admit(item) for item in admitted] == [None] * len(admitted)
    verdict = Verdict(reason="Evicted", message=f"The node had condition: [{shown}]. ")
    assert [watched.manager.admit(item) for item in refused] == [verdict] * len(refused)


@pytest.mark.parametrize(
    ("signal", "filesystems", "steps"),
    [
        (signals.MEMORY, Filesystems(), ()),
        (signals.PIDS, Filesystems(), ()),
        (signals.NODE_FS, Filesystems(), ("containers", "images")),
        (signals.IMAGE_INODES, Filesystems(), ("containers", "images")),
        (signals.NODE_FS, Filesystems(image=True), ()),
        (signals.IMAGE_FS, Filesystems(image=True), ("containers", "images")),
        (signals.CONTAINER_FS, Filesystems(image=True), ("containers", "images")),
        (signals.IMAGE_FS, Filesystems(image=True, container=True), ("images",)),
        (signals.NODE_FS, Filesystems(image=True, container=True), ("containers",)),
    ],
)
def test_what_is_reclaimed_where(signal: str, filesystems: Filesystems, steps: tuple[str, ...]) -> None:
    assert reclaims(signal, filesystems) == steps
