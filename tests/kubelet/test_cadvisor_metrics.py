"""``/metrics/cadvisor``: what dashboards ask of it, for a machine and a pod with one container."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.timers import Timers
from steersman.kubelet import records
from steersman.kubelet.cadvisor_metrics import cadvisor_metrics
from steersman.kubelet.cgroup_hierarchies import Hierarchy
from steersman.kubelet.cgroup_usage import CgroupUsage
from steersman.kubelet.machine_facts import MachineFacts
from steersman.kubelet.node_usage import NodeUsage
from steersman.kubelet.runtimes.api import ALL_STATS
from steersman.kubelet.runtimes.containers import ContainerConfig, ContainerMetadata
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, PodSandboxMetadata
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.kubelet.runtimes.stats import ContainerStats, StatsFilter
from steersman.kubelet.stats import StatsPlaces, StatsProvider
from tests.kubelet.node_resources.topologies import cpus
from tests.kubelet.test_cgroup_usage import tree

DEV = "Inter-|   Receive | Transmit\n face |bytes | bytes\n"
LO = "    lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n"
POD = "/kubepods/podu1"


class Measured(SimulatedRuntime):
    """Whose containers are told of, as a real runtime's."""

    async def list_container_stats(self, filter: StatsFilter = ALL_STATS) -> Sequence[ContainerStats]:
        return [ContainerStats(id=row.id, metadata=row.metadata) for row in await self.list_containers()]


@pytest.fixture
async def scraped(tmp_path: Path) -> dict[str, str]:
    """By series, without the times."""
    clock = FakeClock()
    runtime = Measured(
        clock=clock, timers=Timers(clock), rng=random.Random(1), pod_cidr="10.64.0.0/24", images_present=True
    )
    sandbox_config = PodSandboxConfig(metadata=PodSandboxMetadata(name="web", uid="u1", namespace="shop"))
    sandbox = await runtime.run_pod_sandbox(sandbox_config)
    config = ContainerConfig(
        metadata=ContainerMetadata(name="main"), image=ImageSpec(image="app:1"), labels={records.CONTAINER_NAME: "main"}
    )
    container = await runtime.create_container(sandbox, config, sandbox_config)
    await runtime.start_container(container)
    tree(
        tmp_path,
        {
            f"cg{POD}/{sandbox}/cgroup.procs": "77\n",
            f"cg{POD}/{container}/cgroup.procs": "78\n",
            f"cg{POD}/{container}/io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n",
            f"cg{POD}/{container}/memory.events": "oom 4\noom_kill 3\n",
            f"cg{POD}/{container}/memory.stat": "file_mapped 5\npgfault 6\npgmajfault 1\n",
            "proc/77/net/dev": f"{DEV}{LO}  eth0: 100 11 1 2 0 0 0 0 200 12 3 4 0 0 0 0\n",
            "proc/net/dev": f"{DEV}{LO}  ens1: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\nveth9: 1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n",
            "proc/stat": "cpu 1 1 1 1 1 1 1 1\ncpu0 1\ncpu1 1\nbtime 1\n",
            "proc/meminfo": "MemTotal: 8 kB\nMemFree: 4 kB\nSwapTotal: 2 kB\nSwapFree: 1 kB\n",
        },
    )
    facts = MachineFacts(cpus=2, memory_bytes=8192, disk_bytes=1, machine_id="m", system_uuid="s", boot_id="b",
                         kernel="6.1", os_image="Debian")  # fmt: skip
    stats = StatsProvider(
        runtime,
        node_name="node-1",
        places=StatsPlaces(root_dir=tmp_path, pod_cgroup=lambda uid: POD),
        clock=clock,
        node=NodeUsage(tmp_path / "proc"),
        cgroups=CgroupUsage([Hierarchy(tmp_path / "cg", frozenset(), True)]),
        facts=facts,
        processors=cpus(sockets=1, cores=1, threads=2),
    )
    found = {}
    for line in (await cadvisor_metrics(stats)).splitlines():
        if not line.startswith("#"):
            series, _, value = line.partition("} ") if "{" in line else line.partition(" ")
            found[series.replace(container, "C")] = value.split()[0]
    return found


def of(scraped: dict[str, str], name: str, *labels: str) -> list[str]:
    """Values of the series with all ``labels``."""
    return [
        value
        for series, value in scraped.items()
        if series.partition("{")[0] == name and all(label in series for label in labels)
    ]


def test_the_machine(scraped: dict[str, str]) -> None:
    identity = 'boot_id="b",machine_id="m",system_uuid="s"'
    for name, value in (
        ("cpu_cores", "2"),
        ("cpu_physical_cores", "1"),
        ("cpu_sockets", "1"),
        ("memory_bytes", "8192"),
        ("swap_bytes", "2048"),
    ):
        assert of(scraped, f"machine_{name}", identity) == [value], name
    assert of(scraped, "machine_scrape_error") == ["0"]
    assert of(scraped, "cadvisor_version_info", 'kernelVersion="6.1"', 'osVersion="Debian"') == ["1"]


def test_a_pods_interfaces_are_those_of_its_sandbox(scraped: dict[str, str]) -> None:
    for name, value in (
        ("receive_bytes", "100"),
        ("receive_packets", "11"),
        ("receive_errors", "1"),
        ("receive_packets_dropped", "2"),
        ("transmit_bytes", "200"),
        ("transmit_packets", "12"),
        ("transmit_errors", "3"),
        ("transmit_packets_dropped", "4"),
    ):
        assert of(scraped, f"container_network_{name}_total", 'namespace="shop"', 'pod="web"') == [value], name
    assert not of(scraped, "container_network_receive_bytes_total", 'interface="lo"')


def test_the_machines_interfaces_leave_out_those_of_pods(scraped: dict[str, str]) -> None:
    assert of(scraped, "container_network_receive_bytes_total", 'id="/"') == ["1"]
    assert of(scraped, "container_network_receive_bytes_total", 'id="/"', 'interface="ens1"') == ["1"]


def test_a_containers_disks_and_memory(scraped: dict[str, str]) -> None:
    labels = ('container="main"', 'namespace="shop"', 'pod="web"')
    for name, value in (("reads_bytes", "10"), ("reads", "1"), ("writes_bytes", "20"), ("writes", "2")):
        assert of(scraped, f"container_fs_{name}_total", "device=", *labels) == [value], name
    assert of(scraped, "container_oom_events_total", *labels) == ["3.0"]
    assert of(scraped, "container_memory_mapped_file", *labels) == ["5"]
    assert of(scraped, "container_memory_failures_total", 'failure_type="pgmajfault"', *labels) == ["1"]
