"""CPUs of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.kubelet.cpusets import format_cpus, parse_cpus
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_resources.cpu_manager import CPUManager
from steersman.kubelet.node_resources.machine_topology import CPUTopology
from steersman.kubelet.node_resources.numa_hints import Hint, nodes_of
from steersman.kubelet.node_resources.policies import CPUManagerConfig, PolicyError
from steersman.kubelet.node_resources.provider import AllocationRefused
from steersman.kubelet.node_resources.state_file import StateError
from steersman.kubelet.podspec import app_containers
from steersman.kubelet.runtimes.api import RuntimeServiceError
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.meta.objects import Object
from tests.kubelet.node_resources.guaranteed import ActivePods, container, near, pod, serve
from tests.kubelet.node_resources.topologies import cpus

EIGHT = cpus(cores=8)
DUAL = cpus(sockets=2, cores=4)
THREADS = cpus(cores=4, threads=2)
DUAL_THREADS = cpus(sockets=2, cores=4, threads=2)


class Runtime:
    """A container runtime that is told of resources."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.fails = False

    async def update_container_resources(self, container_id: str, resources: LinuxResources) -> None:
        if self.fails:
            raise RuntimeServiceError("UpdateContainerResources", "unavailable")
        self.told.append((container_id, resources.cpuset_cpus))


@pytest.fixture
def active() -> ActivePods:
    return ActivePods()


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


Make = Callable[..., CPUManager]


@pytest.fixture
def make(tmp_path: Path, active: ActivePods, runtime: Runtime) -> Make:
    def made(
        topology: CPUTopology = EIGHT,
        *options: str,
        reserved: str = "",
        count: str = "1",
        metrics: KubeletMetrics | None = None,
    ) -> CPUManager:
        return CPUManager(
            topology,
            config=CPUManagerConfig(policy="static", options=frozenset(options), reserved=parse_cpus(reserved)),
            reserved=Fraction(count),
            root_dir=tmp_path,
            active_pods=active,
            runtime=runtime,  # type: ignore[arg-type]
            clock=FakeClock(),
            metrics=metrics or KubeletMetrics(),
        )

    return made


def own(manager: CPUManager, name: str, of: str = "main") -> str:
    return format_cpus(manager.assignments.of(name, of) or ())


async def test_whole_cpus_of_a_guaranteed_pod_are_its_own(make: Make, active: ActivePods) -> None:
    manager = make()
    await serve(manager, active, pod(container(cpu="2")))
    assert own(manager, "web") == "1-2"
    assert format_cpus(manager.cpus_of("web", "main")) == "1-2"
    assert format_cpus(manager.cpus_of("other", "main")) == "0,3-7"


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(pod(container(cpu="1500m")), id="a part of a CPU"),
        pytest.param(
            pod({"name": "main", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}}),
            id="a burstable pod",
        ),
        pytest.param(pod({"name": "main", "resources": {}}), id="a pod that asks for nothing"),
        pytest.param(
            pod(container(), resources={"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
            id="a pod with resources of its own",
        ),
    ],
)  # fmt: skip
async def test_others_share_what_is_left(make: Make, active: ActivePods, obj: Object) -> None:
    manager = make()
    assert not manager.wants(obj)
    await serve(manager, active, obj)
    assert own(manager, "web") == ""
    assert manager.hints(obj, next(iter(app_containers(obj)))) == {}


async def test_what_a_pod_leaves_is_shared_again(make: Make, active: ActivePods) -> None:
    manager = make()
    await serve(manager, active, pod(container(cpu="7")))
    with pytest.raises(
        AllocationRefused, match="not enough cpus available to satisfy request: requested=1, available=0"
    ):
        await serve(manager, active, pod(name="late"))
    active.end("web")
    await serve(manager, active, pod(name="late"))
    assert own(manager, "late") == "1"


async def test_nothing_is_taken_back_before_all_pods_are_known(make: Make, active: ActivePods) -> None:
    await serve(make(), active, pod(container(cpu="7")))
    active.known = None
    restarted = make()
    with pytest.raises(AllocationRefused):
        await restarted.allocate(pod(name="late"), next(iter(app_containers(pod()))), near(0))
    assert own(restarted, "web") == "1-7"


async def test_app_containers_use_what_init_containers_had(make: Make, active: ActivePods) -> None:
    manager = make()
    obj = pod(
        container("a", cpu="2"), container("b", cpu="1"),
        init=(container("first", cpu="4"), container("beside", cpu="1", sidecar=True)),
    )  # fmt: skip
    await serve(manager, active, obj)
    assert {name: own(manager, "web", name) for name in ("first", "beside", "a", "b")} == {
        "first": "1-4", "beside": "1", "a": "2-3", "b": "4"
    }  # fmt: skip
    assert format_cpus(manager.assignments.shared) == "0,5-7"
    active.end("web")
    await manager.reconcile()
    assert format_cpus(manager.assignments.shared) == "0-7"


async def test_cpus_come_from_where_they_are_wanted(make: Make, active: ActivePods) -> None:
    manager = make(DUAL)
    await serve(manager, active, pod(container(cpu="2")), near(1))
    await serve(manager, active, pod(container(cpu="4"), name="wide"), near(1))
    assert (own(manager, "web"), own(manager, "wide")) == ("4-5", "1-2,6-7")


async def test_hints_name_the_nodes_that_have_enough(make: Make, active: ActivePods) -> None:
    manager = make(DUAL)
    obj = pod(container(cpu="3"))
    main = next(iter(app_containers(obj)))
    assert manager.hints(obj, main) == {"cpu": [near(0), near(1), near(0, 1, preferred=False)]}
    await serve(manager, active, pod(container(cpu="2"), name="first"), near(0))
    assert manager.hints(obj, main) == {"cpu": [near(1), near(0, 1, preferred=False)]}
    await serve(manager, active, pod(container(cpu="2"), name="second"), near(1))
    assert manager.hints(obj, main) == {"cpu": [near(0, 1, preferred=False)]}
    assert manager.hints(pod(container(cpu="5")), main)["cpu"] == [near(0, 1, preferred=False)]


async def test_hints_for_a_pod_are_for_all_its_containers(make: Make, active: ActivePods) -> None:
    manager = make(DUAL)
    obj = pod(container("a", cpu="2"), container("b", cpu="2"), init=(container("i", cpu="3"),))
    assert manager.pod_hints(obj) == {"cpu": [near(1), near(0, 1, preferred=False)]}
    await serve(manager, active, obj, near(1))
    assert manager.pod_hints(obj) == {"cpu": [near(1), near(0, 1, preferred=False)]}


async def test_a_restarted_kubelet_gives_the_same_answer(make: Make, active: ActivePods) -> None:
    obj = await serve(make(DUAL), active, pod(container(cpu="2")), near(1))
    again = make(DUAL)
    assert own(again, "web") == "4-5"
    main = next(iter(app_containers(obj)))
    assert again.hints(obj, main) == {"cpu": [near(1), near(0, 1, preferred=False)]}
    await again.allocate(obj, main, Hint())
    assert own(again, "web") == "4-5"
    other = pod(container(cpu="3"))
    assert again.hints(other, next(iter(app_containers(other)))) == {"cpu": ()}, "never another number than it got"


@pytest.mark.parametrize(
    ("count", "message"),
    [
        ("3", "SMT Alignment Error: requested 3 cpus not multiple cpus per core = 2"),
        (
            "8",
            "SMT Alignment Error: not enough free physical CPUs: available physical CPUs = 6, requested CPUs = 8, CPUs per"
            " core = 2",
        ),
    ],
)
async def test_full_cores_only(make: Make, active: ActivePods, count: str, message: str) -> None:
    manager = make(THREADS, "full-pcpus-only")
    with pytest.raises(AllocationRefused) as refused:
        await serve(manager, active, pod(container(cpu=count)))
    assert (refused.value.reason, str(refused.value)) == ("SMTAlignmentError", message)
    await serve(manager, active, pod(container(cpu="2")))
    assert own(manager, "web") == "1,5"


async def test_whole_cores_and_caches_are_counted(make: Make, active: ActivePods) -> None:
    metrics = KubeletMetrics()
    manager = make(DUAL_THREADS, "full-pcpus-only", metrics=metrics)

    def counted(boundary: str, suffix: str = "count") -> float | None:
        labels = {"scope": "container", "boundary": boundary}
        name = f"kubelet_container_aligned_compute_resources_{suffix}"
        return metrics.registry.get_sample_value(name, labels)

    assert (counted("physical_cpu"), counted("physical_cpu", "failure_count"), counted("uncore_cache")) == (0, 0, 0)
    await serve(manager, active, pod(container(cpu="2"), name="near"))
    assert (counted("physical_cpu"), counted("uncore_cache")) == (1, 1)
    await serve(manager, active, pod(container(cpu="10"), name="far"))
    assert (counted("physical_cpu"), counted("uncore_cache")) == (2, 1)
    with pytest.raises(AllocationRefused):
        await serve(manager, active, pod(container(cpu="1"), name="odd"))
    assert counted("physical_cpu", "failure_count") == 1


async def test_distributed_over_numa_nodes(make: Make, active: ActivePods) -> None:
    manager = make(cpus(sockets=2, cores=6), "distribute-cpus-across-numa")
    await serve(manager, active, pod(container(cpu="8")))
    assert own(manager, "web") == "1-4,6-9"


async def test_by_last_level_cache(make: Make, active: ActivePods) -> None:
    manager = make(cpus(cores=8, cache_cores=4), "prefer-align-cpus-by-uncorecache")
    await serve(manager, active, pod(container(cpu="4")))
    assert own(manager, "web") == "4-7"


async def test_of_different_cores(make: Make, active: ActivePods) -> None:
    manager = make(THREADS, "distribute-cpus-across-cores")
    await serve(manager, active, pod(container(cpu="3")))
    assert own(manager, "web") == "1-3"


async def test_near_means_the_socket(make: Make, active: ActivePods) -> None:
    """Of two NUMA nodes each; hints within one are as good as those of one node."""
    manager = make(cpus(sockets=2, nodes_per_socket=2), "align-by-socket")
    obj = pod(container(cpu="4"))
    hints = manager.hints(obj, next(iter(app_containers(obj))))["cpu"] or ()
    good = [nodes_of(hint.nodes or 0) for hint in hints if hint.preferred]
    assert good == [(1,), (2,), (3,), (0, 1), (2, 3)]
    await serve(manager, active, obj, near(0))
    assert own(manager, "web") == "4-7"


async def test_strictly_reserved_cpus_are_shared_by_nobody(make: Make, active: ActivePods) -> None:
    manager = make(EIGHT, "strict-cpu-reservation", reserved="0-1", count="2")
    assert format_cpus(manager.cpus_of("any", "main")) == "2-7"
    await serve(manager, active, pod(container(cpu="2")))
    make(EIGHT, "strict-cpu-reservation", reserved="0-1", count="2")


@pytest.mark.parametrize(
    ("reserved", "count", "message"),
    [
        ("", "0", "requires systemreserved.cpu"),
        ("", "9", "unable to reserve the required amount of CPUs"),
        ("9", "1", "this machine has no CPUs 9"),
    ],
)
def test_what_cannot_be_reserved(make: Make, reserved: str, count: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make(EIGHT, reserved=reserved, count=count)


async def test_the_state_file_has_upstreams_form(make: Make, active: ActivePods, tmp_path: Path) -> None:
    await serve(make(), active, pod(container(cpu="2")))
    document = json.loads((tmp_path / "cpu_manager_state").read_text())
    assert document.pop("checksum")
    assert document == {
        "policyName": "static", "defaultCpuSet": "0,3-7", "entries": {"web": {"main": "1-2"}}
    }  # fmt: skip


async def test_a_file_that_does_not_fit_stops_the_kubelet(make: Make, active: ActivePods, tmp_path: Path) -> None:
    await serve(make(), active, pod(container(cpu="2")))
    with pytest.raises(
        StateError, match=r'current set of available CPUs "0-3" doesn\'t match with CPUs in state "0-7"'
    ):
        make(cpus(cores=4))
    with pytest.raises(StateError, match='not all reserved cpus: "0-1" are present in defaultCpuSet: "0,3-7"'):
        make(count="2")
    with pytest.raises(StateError, match="some of strictly reserved cpus"):
        make(EIGHT, "strict-cpu-reservation")
    path = tmp_path / "cpu_manager_state"
    path.write_text(path.read_text().replace("1-2", "1-3"))
    with pytest.raises(StateError, match="checkpoint is corrupted"):
        make()


async def test_running_containers_follow_the_shared_pool(make: Make, active: ActivePods, runtime: Runtime) -> None:
    manager = make()

    def runs(name: str) -> Object:
        status = {"name": "main", "containerID": f"containerd://{name}-id", "state": {"running": {}}}
        return {"containerStatuses": [status]}

    shared = pod({"name": "main", "resources": {}}, name="shared")
    active.add({**shared, "status": runs("shared")})
    await manager.reconcile()
    await manager.reconcile()
    assert runtime.told == [("shared-id", "0-7")]
    obj = await serve(manager, active, pod(container(cpu="2")))
    await manager.reconcile()
    assert runtime.told[1:] == [("shared-id", "0,3-7")], "a container that does not run yet is created with its CPUs"
    active.add({**obj, "status": runs("web")})
    runtime.fails = True
    await manager.reconcile()
    runtime.fails = False
    await manager.reconcile()
    assert runtime.told[2:] == [("web-id", "1-2")]


async def test_what_was_taken_back_is_free_though_it_cannot_be_written_down(
    make: Make, active: ActivePods, tmp_path: Path
) -> None:
    manager = make()
    await serve(manager, active, pod(container(cpu="7")))
    (tmp_path / "cpu_manager_state").unlink()
    (tmp_path / "cpu_manager_state").mkdir()
    active.end("web")
    obj = active.add(pod(container(cpu="7"), name="second"))
    with pytest.raises(AllocationRefused, match="Is a directory"):
        await serve(manager, active, obj)
    (tmp_path / "cpu_manager_state").rmdir()
    await serve(manager, active, obj)
    assert own(manager, "second") == "1-7"
