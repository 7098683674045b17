"""Many simulated nodes in one process: kubelets without machines that share their watches, timers and writers.

Each node costs three sleeping tasks and its Lease; pods are watched once for all of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.kubelet.api_clients import api_clients
from steersman.kubelet.component import Kubelet
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.feeds import Feeds
from steersman.kubelet.platform import simulated_platform
from steersman.kubelet.runtimes.behaviour import Behaviour
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.kubelet.shared import Shared

LABEL = ("type", "simulated")
TAINT = {"key": "simulated", "value": "true", "effect": "NoSchedule"}
FIRST_ADDRESS = 0x0A80_0001
"""10.128.0.1: nodes' own addresses, which nothing listens on."""


class FleetConfig(Struct, frozen=True, kw_only=True):
    """What the nodes of a fleet have in common."""

    name_prefix: str = "simulated-"
    labels: Mapping[str, str] = field(default_factory=dict)
    tainted: bool = True
    """So that nothing lands on them by accident."""
    capacity: Mapping[str, str] = field(default_factory=dict)
    max_pods: int = 110
    behaviour: Behaviour = field(default_factory=Behaviour)
    images_present: bool = False
    lease_duration_s: int = 40
    status_update_s: float = 60.0


class SimulatedFleet:
    """Add nodes before or while it runs."""

    def __init__(self, *, client: Client, clock: Clock, config: FleetConfig, rng: random.Random) -> None:
        self._client = client
        self._clock = clock
        self._config = config
        self._rng = rng
        feeds = Feeds(client, clock=clock, node_labels="=".join(LABEL))
        self.shared = Shared(
            api_clients(client, api=None, events=None, clock=clock), clock=clock, feeds=feeds, host="simulated"
        )
        self._group = TaskGroup("fleet")
        self._kubelets: dict[str, Kubelet] = {}
        self._runtimes: dict[str, SimulatedRuntime] = {}
        self._running = False
        self._added = 0

    @property
    def kubelets(self) -> Mapping[str, Kubelet]:
        """By node name."""
        return self._kubelets

    @property
    def runtimes(self) -> Mapping[str, SimulatedRuntime]:
        return self._runtimes

    @property
    def idle(self) -> bool:
        """Every status and event has been written."""
        return self.shared.idle

    def add(self, count: int) -> list[str]:
        """``count`` more nodes; their names."""
        first = self._added
        return self.add_named([f"{self._config.name_prefix}{first + index}" for index in range(count)])

    def add_named(self, names: Iterable[str]) -> list[str]:
        added = []
        for name in names:
            number = self._added
            self._added += 1
            self._kubelets[name] = self._make(name, number)
            added.append(name)
            if self._running:
                self._start(name)
        return added

    def ready(self) -> bool:
        return self._running and all(kubelet.ready() for kubelet in self._kubelets.values())

    async def run(self) -> None:
        """Until cancelled."""
        async with self._group as group:
            group.supervise(self.shared.run, name="shared", clock=self._clock)
            self._running = True
            for name in self._kubelets:
                self._start(name)
            await group.wait()

    def _start(self, name: str) -> None:
        self._group.supervise(self._kubelets[name].run, name=name, clock=self._clock)

    def _make(self, name: str, number: int) -> Kubelet:
        common = self._config
        address = FIRST_ADDRESS + number
        config = KubeletConfig(
            node_name=name,
            node_ips=(".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0)),),
            node_labels={LABEL[0]: LABEL[1], **common.labels},
            taints=(TAINT,) if common.tainted else (),
            capacity=common.capacity,
            max_pods=common.max_pods,
            static_pod_path=None,
            resolv_conf=None,
            lease_duration_s=common.lease_duration_s,
            status_update_s=common.status_update_s,
            max_parallel_image_pulls=5,
            registry_pull_qps=0,
            api_limit=None,
            event_limit=None,
        )
        rng = random.Random(self._rng.getrandbits(64))
        runtime = self._runtimes[name] = SimulatedRuntime(
            clock=self._clock,
            timers=self.shared.timers,
            rng=rng,
            pod_cidr=f"10.{64 + number // 256 % 64}.{number % 256}.0/24",
            default=common.behaviour,
            images_present=common.images_present,
        )
        return Kubelet(
            client=self._client,
            clock=self._clock,
            config=config,
            runtime=runtime,
            platform=simulated_platform(config, runtime, clock=self._clock),
            rng=rng,
            shared=self.shared,
        )
