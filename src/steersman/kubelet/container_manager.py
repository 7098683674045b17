"""Gives containers what is to be theirs alone, devices, CPUs, memory of NUMA nodes: one door for the rest of the kubelet.

There is a manager for each kind of thing, where its policy says so; the topology manager's policy decides between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.cpusets import format_cpus
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_object import NO_DEVICES, DeviceResources
from steersman.kubelet.node_resources import cpu_assignments, memory_state
from steersman.kubelet.node_resources.allocator import ResourceAllocator, numa_layout
from steersman.kubelet.node_resources.cpu_manager import CPUManager
from steersman.kubelet.node_resources.machine_topology import MachineTopology
from steersman.kubelet.node_resources.memory_manager import MemoryManager
from steersman.kubelet.node_resources.policies import PolicyError, check_alignment
from steersman.kubelet.node_resources.provider import ActivePods, Provider
from steersman.kubelet.node_resources.state_file import StateFile
from steersman.kubelet.own_resources import NO_DEVICES as NO_SETTINGS
from steersman.kubelet.own_resources import Owners, OwnResources
from steersman.kubelet.podspec import PodContainer, app_containers, init_containers, qos_class
from steersman.kubelet.probes import Spawn
from steersman.kubelet.runtimes.api import RuntimeService
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity

if TYPE_CHECKING:
    from steersman.kubelet.device_plugins.device_manager import DeviceManager
    from steersman.kubelet.device_plugins.registration import RegistrationServer
    from steersman.kubelet.plugin_watcher.watcher import PluginWatcher


class DeviceNews(Struct, frozen=True, kw_only=True):
    """Who wants to know of devices."""

    changed: Callable[[], None]
    """The node has others now."""
    health_changed: Callable[[frozenset[str]], None]
    """Devices of pods with these uids are healthy now, or no longer."""


class ManagerTools(Struct, frozen=True, kw_only=True):
    """What the managers of one kubelet share."""

    reserved: Mapping[str, Fraction]
    """What pods may not have, by resource."""
    active_pods: ActivePods
    runtime: RuntimeService
    spawn: Spawn
    clock: Clock
    metrics: KubeletMetrics


class ContainerManager:
    """One kubelet's."""

    def __init__(
        self,
        config: KubeletConfig,
        topology: MachineTopology | None,
        tools: ManagerTools,
        *,
        sockets: Path | None,
        news: DeviceNews,
    ) -> None:
        """``topology``: None for a node that is no machine. ``sockets``: folder of the one where device plugins register;
        None: there are none. Raises ``PolicyError`` and ``StateError`` where the policies cannot be followed on this
        machine, or not after what an earlier kubelet did here; and ``OSError``."""
        self._tools = tools
        self._lifts_quota = config.cpu_manager.lifts_quota
        self.devices: DeviceManager | None = None
        self._registration: RegistrationServer | None = None
        self._watcher: PluginWatcher | None = None
        self.cpus: CPUManager | None = None
        self.memory: MemoryManager | None = None
        self.allocator: ResourceAllocator | None = None
        if topology is None:
            _check_no_machine(config)
            return
        self.cpus = _cpu_manager(config, topology, tools)
        self.memory = _memory_manager(config, topology, tools)
        if sockets is not None:
            self._serve_plugins(sockets, topology, news)
        layout = numa_layout(topology.nodes, config.topology_manager)
        providers: list[Provider] = [
            manager for manager in (self.devices, self.cpus, self.memory) if manager is not None
        ]
        if providers:
            self.allocator = ResourceAllocator(
                providers, config=config.topology_manager, layout=layout, clock=tools.clock, metrics=tools.metrics
            )

    def _serve_plugins(self, sockets: Path, topology: MachineTopology, news: DeviceNews) -> None:
        from steersman.kubelet.device_plugins import registration  # and with it gRPC, which simulated nodes do without
        from steersman.kubelet.device_plugins.device_manager import DeviceManager
        from steersman.kubelet.device_plugins.device_plugins import DevicePlugins
        from steersman.kubelet.plugin_watcher import watcher

        tools = self._tools
        folder = sockets / registration.FOLDER
        self.devices = DeviceManager(
            folder,
            nodes=[node.id for node in topology.nodes],
            active_pods=tools.active_pods,
            clock=tools.clock,
            metrics=tools.metrics,
            changed=news.changed,
            health_changed=news.health_changed,
        )
        plugins = DevicePlugins(self.devices, spawn=tools.spawn)
        self._registration = registration.RegistrationServer(folder, plugins, metrics=tools.metrics)
        self._watcher = watcher.PluginWatcher(sockets / watcher.FOLDER, {"DevicePlugin": plugins}, clock=tools.clock)

    def supervise(self, group: TaskGroup) -> None:
        """Start everything in ``group``."""
        if self.cpus is not None:
            group.supervise(self.cpus.run, name="CPU manager", clock=self._tools.clock)
        if self._registration is not None:
            group.supervise(self._registration.run, name="device plugins", clock=self._tools.clock)
        if self._watcher is not None:
            group.supervise(self._watcher.run, name="plugin watcher", clock=self._tools.clock)

    # -- Owners

    def needs_no_quota(self, pod: Mapping[str, Any], container: PodContainer | None = None) -> bool:
        if self.cpus is None or not self._lifts_quota:
            return False
        return self.cpus.has_own(objects.uid(pod), container.name if container is not None else None)

    async def of(self, pod: Mapping[str, Any], container: PodContainer) -> OwnResources:
        uid, name = objects.uid(pod), container.name
        return OwnResources(
            cpus=format_cpus(self.cpus.cpus_of(uid, name)) if self.cpus is not None else "",
            memory_nodes=format_cpus(self.memory.nodes_of(uid, name)) if self.memory is not None else "",
            devices=await self.devices.prepare(pod, container) if self.devices is not None else NO_SETTINGS,
        )

    # -- devices

    def device_resources(self) -> DeviceResources:
        """For the node's status."""
        return self.devices.resources() if self.devices is not None else NO_DEVICES

    def is_new_node(self) -> bool:
        """What the Node tells of extended resources is not of this machine, as far as anybody knows."""
        return self.devices is not None and self.devices.is_new_node

    def with_device_health(self, uid: str, status: Object) -> Object:
        """A pod's ``status``, with what its plugins say of its containers' devices."""
        return self.devices.with_health(uid, status) if self.devices is not None else status

    def raised(self, pod: Mapping[str, Any], allocatable: Mapping[str, Any]) -> Mapping[str, Any]:
        """The node's ``allocatable`` for a pod that may have been given some of it already."""
        return self.devices.raised(objects.uid(pod), allocatable) if self.devices is not None else allocatable

    # -- resizes

    def refuse_resize(self, desired: Object, granted: Object) -> str:
        """Why a pod cannot be resized while its containers have things of their own; empty where it can."""
        if qos_class(desired) != "Guaranteed":
            return ""
        if self.cpus is not None and _requests(desired, "cpu") != _requests(granted, "cpu"):
            return 'Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"'
        if self.memory is not None and _requests(desired, "memory") != _requests(granted, "memory"):
            return 'Resize is infeasible for Guaranteed Pods alongside Memory Manager policy "Static"'
        return ""


def _cpu_manager(config: KubeletConfig, topology: MachineTopology, tools: ManagerTools) -> CPUManager | None:
    cpus, root_dir = topology.cpus, Path(config.root_dir)
    check_alignment(config.cpu_manager, config.topology_manager, sockets=len(cpus.sockets), nodes=len(cpus.nodes))
    if config.cpu_manager.policy == "none":
        StateFile(root_dir / cpu_assignments.FILE).check_policy("none", "CPU")
        return None
    return CPUManager(
        cpus,
        config=config.cpu_manager,
        reserved=tools.reserved.get("cpu", Fraction(0)),
        root_dir=root_dir,
        active_pods=tools.active_pods,
        runtime=tools.runtime,
        clock=tools.clock,
        metrics=tools.metrics,
    )


def _memory_manager(config: KubeletConfig, topology: MachineTopology, tools: ManagerTools) -> MemoryManager | None:
    root_dir = Path(config.root_dir)
    if config.memory_manager.policy == "None":
        StateFile(root_dir / memory_state.FILE).check_policy("None", "memory")
        return None
    return MemoryManager(
        topology,
        config=config.memory_manager,
        reserved={name: int(amount) for name, amount in tools.reserved.items()},
        root_dir=root_dir,
        active_pods=tools.active_pods,
        metrics=tools.metrics,
    )


def _check_no_machine(config: KubeletConfig) -> None:
    for name, policy in (
        ("cpuManagerPolicy", config.cpu_manager.policy),
        ("memoryManagerPolicy", config.memory_manager.policy),
    ):
        if policy.lower() != "none":
            raise PolicyError(f"{name} {policy}: a node without a machine has none of these to give")


def _requests(pod: Mapping[str, Any], resource: str) -> dict[str, Fraction]:
    return {
        container.name: quantity(((container.spec.get("resources") or {}).get("requests") or {}).get(resource, "0"))
        for container in (*init_containers(pod), *app_containers(pod))
    }


def _conforms(manager: ContainerManager) -> Owners:
    return manager
