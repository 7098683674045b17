"""CPUs of their own for containers of Guaranteed pods that ask for whole ones: the static policy of the CPU manager.

Every other container runs on the CPUs that are left, which change as pods come and go: ``run`` tells the runtime. Source:
the documentation's "Control CPU Management Policies on the Node".
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from steersman.aio.clock import Clock
from steersman.kubelet.cpusets import CPUs, format_cpus
from steersman.kubelet.metrics import Boundary, KubeletMetrics
from steersman.kubelet.node_resources.cpu_assignments import CPUAssignments
from steersman.kubelet.node_resources.cpu_taking import NotEnoughCPUs, take_distributed, take_packed, take_spread
from steersman.kubelet.node_resources.machine_topology import CPUTopology
from steersman.kubelet.node_resources.numa_hints import Hint, ResourceHints, mask_of, node_sets, nodes_of
from steersman.kubelet.node_resources.policies import CPUManagerConfig, PolicyError
from steersman.kubelet.node_resources.provider import ActivePods, AllocationRefused, has_pod_level_resources
from steersman.kubelet.podspec import PodContainer, app_containers, init_containers, qos_class
from steersman.kubelet.runtimes.api import RuntimeService, RuntimeServiceError
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.meta import objects
from steersman.meta.quantities import quantity

RESOURCE: Final = "cpu"
SMT: Final = "SMTAlignmentError"
FULL_CORES: Final = "full-pcpus-only"
_COUNTED: Final[tuple[tuple[Boundary, bool], ...]] = (
    ("physical_cpu", True), ("physical_cpu", False), ("uncore_cache", True)
)  # fmt: skip
log = logging.getLogger(__name__)


class CPUManager:
    """With the static policy; without one there is none."""

    def __init__(
        self,
        topology: CPUTopology,
        *,
        config: CPUManagerConfig,
        reserved: Fraction,
        root_dir: Path,
        active_pods: ActivePods,
        runtime: RuntimeService,
        clock: Clock,
        metrics: KubeletMetrics,
    ) -> None:
        """``reserved``: CPUs that pods may not have. Raises ``PolicyError``, ``StateError`` and ``OSError``."""
        self._topology = topology
        self._config = config
        self._active_pods = active_pods
        self._runtime = runtime
        self._clock = clock
        self._metrics = metrics
        self.reserved = self._reserve(math.ceil(reserved))
        self.assignments = CPUAssignments(root_dir)
        self.assignments.load(
            every=topology.all, reserved=self.reserved, strict="strict-cpu-reservation" in config.options
        )
        self._reusable: tuple[str, CPUs] = ("", frozenset())
        """The pod whose containers are being served, and what its init containers will have finished with."""
        self._told: dict[str, CPUs] = {}
        """By container id, what the runtime was told last."""
        self._count()
        for boundary, succeeded in _COUNTED:
            metrics.aligned("container", boundary, succeeded=succeeded, times=0)

    def _reserve(self, count: int) -> CPUs:
        if count == 0:
            raise PolicyError(
                "[cpumanager] the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero"
            )
        unknown = self._config.reserved - self._topology.all
        if unknown:
            raise PolicyError(f"reservedSystemCPUs: this machine has no CPUs {format_cpus(unknown)}")
        try:
            chosen = self._config.reserved or self._take(self._topology.all, count)
        except NotEnoughCPUs as error:
            raise PolicyError(f"[cpumanager] unable to reserve the required amount of CPUs: {error}") from error
        if len(chosen) != count:
            raise PolicyError(
                f"[cpumanager] unable to reserve the required amount of CPUs (size of {format_cpus(chosen)} did not equal"
                f" {count})"
            )
        return chosen

    @property
    def allocatable(self) -> CPUs:
        """All that containers can have of their own."""
        return self._topology.all - self.reserved

    @property
    def _free(self) -> CPUs:
        return self.assignments.shared - self.reserved

    def cpus_of(self, uid: str, container: str) -> CPUs:
        """Those it may run on."""
        own = self.assignments.of(uid, container)
        return self.assignments.shared if own is None else own

    def has_own(self, uid: str, container: str | None = None) -> bool:
        """It has CPUs of its own, or for None any of its pod's containers has."""
        own = self.assignments.of_pod(uid)
        return bool(own) if container is None else container in own

    # -- Provider

    def wants(self, pod: Mapping[str, Any]) -> bool:
        return any(_whole_cpus(pod, container) for container in (*init_containers(pod), *app_containers(pod)))

    def hints(self, pod: Mapping[str, Any], container: PodContainer) -> ResourceHints:
        self._take_back_stale()
        count = _whole_cpus(pod, container)
        if count == 0:
            return {}
        uid = objects.uid(pod)
        own = self.assignments.of(uid, container.name)
        if own is not None:
            return {RESOURCE: self._hints(own, frozenset(), count) if len(own) == count else ()}
        return {RESOURCE: self._hints(self._free, self._reusable_of(uid), count)}

    def pod_hints(self, pod: Mapping[str, Any]) -> ResourceHints:
        self._take_back_stale()
        count = _pod_cpus(pod)
        if count == 0:
            return {}
        uid = objects.uid(pod)
        assigned: CPUs = frozenset()
        for container in (*init_containers(pod), *app_containers(pod)):
            own = self.assignments.of(uid, container.name)
            if own is not None and len(own) != _whole_cpus(pod, container):
                return {RESOURCE: ()}
            assigned |= own or frozenset()
        if len(assigned) == count:
            return {RESOURCE: self._hints(assigned, frozenset(), count)}
        return {RESOURCE: self._hints(self._free, self._reusable_of(uid) | assigned, count)}

    async def allocate(self, pod: Mapping[str, Any], container: PodContainer, affinity: Hint) -> None:
        self._take_back_stale()
        count = _whole_cpus(pod, container)
        if count == 0:
            return
        self._metrics.cpu_pinnings.inc()
        try:
            self._check_threads(count)
            self._allocate(objects.uid(pod), container, count, affinity)
        except (AllocationRefused, NotEnoughCPUs, OSError) as error:
            self._metrics.cpu_pinning_errors.inc()
            self._count_aligned(False)
            if isinstance(error, AllocationRefused):
                raise
            raise AllocationRefused(f"Allocate failed due to {error}, which is unexpected") from error
        self._count_aligned(True)
        self._count()

    def _allocate(self, uid: str, container: PodContainer, count: int, affinity: Hint) -> None:
        reusable = self._reusable_of(uid)
        cpus = self.assignments.of(uid, container.name)
        if cpus is None:
            free = self._free | reusable
            cpus = frozenset()
            if affinity.nodes is not None:
                near = free & self._near(nodes_of(affinity.nodes))
                cpus = self._take(near, min(count, len(near)))
            cpus |= self._take(free - cpus, count - len(cpus))
            self.assignments.give(uid, container.name, cpus)
            if len({self._topology.cpus[cpu].uncore for cpu in cpus}) == 1:
                self._metrics.aligned("container", "uncore_cache", succeeded=True)
        if container.kind == "init":
            self._reusable = (uid, reusable | cpus)
        else:
            self._reusable = (uid, reusable - cpus)

    def _check_threads(self, count: int) -> None:
        if FULL_CORES not in self._config.options:
            return
        threads = self._topology.threads_per_core
        if count % threads:
            raise AllocationRefused(
                f"SMT Alignment Error: requested {count} cpus not multiple cpus per core = {threads}", reason=SMT
            )
        whole = len(self.assignments.shared - self._topology.siblings(self.reserved))
        if count > whole:
            raise AllocationRefused(
                f"SMT Alignment Error: not enough free physical CPUs: available physical CPUs = {whole}, requested CPUs ="
                f" {count}, CPUs per core = {threads}",
                reason=SMT,
            )

    def _near(self, nodes: tuple[int, ...]) -> CPUs:
        by_socket = "align-by-socket" in self._config.options
        return self._topology.of_sockets_of(nodes) if by_socket else self._topology.of_nodes(nodes)

    def _take(self, free: CPUs, count: int) -> CPUs:
        if "distribute-cpus-across-numa" in self._config.options:
            group = self._topology.threads_per_core if FULL_CORES in self._config.options else 1
            return take_distributed(self._topology, free, count, group=group)
        if "distribute-cpus-across-cores" in self._config.options:
            return take_spread(self._topology, free, count)
        by_cache = "prefer-align-cpus-by-uncorecache" in self._config.options
        return take_packed(self._topology, free, count, by_cache=by_cache)

    def _reusable_of(self, uid: str) -> CPUs:
        return self._reusable[1] if self._reusable[0] == uid else frozenset()

    def _hints(self, free: CPUs, reusable: CPUs, count: int) -> list[Hint]:
        smallest = len(self._topology.nodes)
        found = []
        for nodes in node_sets(self._topology.nodes):
            there = self._topology.of_nodes(nodes)
            if len(there) >= count:
                smallest = min(smallest, len(nodes))
            if reusable <= there and len(reusable) + len(free & there - reusable) >= count:
                found.append(nodes)
        return [Hint(nodes=mask_of(nodes), preferred=self._is_preferred(nodes, smallest)) for nodes in found]

    def _is_preferred(self, nodes: tuple[int, ...], smallest: int) -> bool:
        """``smallest``: number of nodes that could serve if all of their CPUs were free."""
        if len(nodes) == smallest:
            return True
        topology = self._topology
        per_socket = len(topology.nodes) // len(topology.sockets)
        if "align-by-socket" not in self._config.options or per_socket == 0:
            return False
        return len(topology.sockets_of(nodes)) == math.ceil(smallest / per_socket)

    # -- the rest

    def _take_back_stale(self) -> None:
        active = self._active_pods()
        if active is None:
            return
        for uid, name, _ in list(self.assignments.all()):
            if uid not in active:
                try:
                    self.assignments.take_back(uid, name)
                except OSError as error:
                    log.error("cannot write down what was taken back from %s: %s", uid, error)
        self._count()

    def _count(self) -> None:
        self._metrics.cpu_shared_pool.set(len(self._free) * 1000)
        self._metrics.cpu_exclusive.set(len(self.assignments.exclusive))

    def _count_aligned(self, succeeded: bool) -> None:
        """Where whole cores are promised. As upstream."""
        if FULL_CORES in self._config.options:
            self._metrics.aligned("container", "physical_cpu", succeeded=succeeded)

    async def run(self) -> None:
        """Keep running containers on their CPUs, until cancelled."""
        while True:
            await self.reconcile()
            await self._clock.sleep(self._config.reconcile_s)

    async def reconcile(self) -> None:
        """Tell the runtime of every running container whose CPUs are others than it was told last."""
        self._take_back_stale()
        told = {}
        for uid, pod in (self._active_pods() or {}).items():
            for name, container_id in _running(pod):
                cpus = self.cpus_of(uid, name)
                if cpus and self._told.get(container_id) != cpus:
                    try:
                        await self._runtime.update_container_resources(
                            container_id, LinuxResources(cpuset_cpus=format_cpus(cpus))
                        )
                    except RuntimeServiceError as error:
                        log.warning("cannot move container %s to CPUs %s: %s", name, format_cpus(cpus), error)
                        continue
                told[container_id] = cpus
        self._told = told


def _running(pod: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and ids."""
    status = pod.get("status") or {}
    return [
        (entry["name"], entry["containerID"].partition("://")[2])
        for field in ("initContainerStatuses", "containerStatuses")
        for entry in status.get(field) or ()
        if "running" in (entry.get("state") or {}) and entry.get("containerID")
    ]


def _whole_cpus(pod: Mapping[str, Any], container: PodContainer) -> int:
    """How many CPUs of its own it gets."""
    if qos_class(pod) != "Guaranteed" or has_pod_level_resources(pod):
        return 0
    amount = quantity(((container.spec.get("resources") or {}).get("requests") or {}).get("cpu", "0"))
    return int(amount) if amount == int(amount) else 0


def _pod_cpus(pod: Mapping[str, Any]) -> int:
    """At any one time."""
    sidecars = most = 0
    for container in init_containers(pod):
        count = _whole_cpus(pod, container)
        if container.kind == "sidecar":
            sidecars += count
        else:
            most = max(most, sidecars + count)
    return max(most, sidecars + sum(_whole_cpus(pod, container) for container in app_containers(pod)))
