"""What a container is created with because nobody else on the node has it: CPUs, memory of NUMA nodes, devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from steersman.kubelet.linux_resources import ResourcePolicy
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.runtimes.containers import Device, Mount
from steersman.kubelet.runtimes.sandboxes import LinuxResources


class DeviceSettings(Struct, frozen=True, kw_only=True):
    """What device plugins want a container that has their devices to be created with."""

    envs: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    cdi_devices: tuple[str, ...] = ()
    """Fully qualified names: ``vendor.com/gpu=one``."""


NO_DEVICES = DeviceSettings()


class OwnResources(Struct, frozen=True, kw_only=True):
    cpus: str = ""
    """Those it may run on, its own or the shared ones; empty: all."""
    memory_nodes: str = ""
    """NUMA nodes; empty: all."""
    devices: DeviceSettings = NO_DEVICES

    def placed(self, resources: LinuxResources) -> LinuxResources:
        if not self.cpus and not self.memory_nodes:
            return resources
        return replace(resources, cpuset_cpus=self.cpus, cpuset_mems=self.memory_nodes)


NOTHING_OWN = OwnResources()


class OwnResourcesFailed(Exception):
    """A container cannot be created with what is its own."""


class Owners(Protocol):
    """Knows what is whose."""

    def needs_no_quota(self, pod: Mapping[str, Any], container: PodContainer | None = None) -> bool:
        """It has CPUs of its own, which a quota would only throttle, or for None any of the pod's containers has."""

    async def of(self, pod: Mapping[str, Any], container: PodContainer) -> OwnResources:
        """At each start of the container. Raises ``OwnResourcesFailed``."""


class NoOwners:
    """Nothing is anybody's own."""

    def needs_no_quota(self, pod: Mapping[str, Any], container: PodContainer | None = None) -> bool:
        return False

    async def of(self, pod: Mapping[str, Any], container: PodContainer) -> OwnResources:
        return NOTHING_OWN


def policy_for(
    policy: ResourcePolicy, owners: Owners, pod: Mapping[str, Any], container: PodContainer | None = None
) -> ResourcePolicy:
    """For the cgroup of one container or, for None, of the pod."""
    return replace(policy, cpu_quota=False) if owners.needs_no_quota(pod, container) else policy


def _conforms(owners: NoOwners) -> Owners:
    return owners
