"""Gives containers devices of plugins. Source: the documentation's "Device Plugins" and upstream's device manager.

A plugin that is gone leaves its resource with capacity and nothing allocatable for five minutes, in which it may come
back; then with none. What containers have they keep, over restarts of the kubelet and of the plugin.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.kubelet.device_plugins.choice import DevicesUnavailable, Wish, choose
from steersman.kubelet.device_plugins.device_assignments import DeviceAssignments, Given
from steersman.kubelet.device_plugins.device_hints import device_hints
from steersman.kubelet.device_plugins.devices import HEALTHY, Device, DeviceList
from steersman.kubelet.device_plugins.plugin import Plugin, PluginError
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_object import DeviceResources
from steersman.kubelet.node_resources.numa_hints import NOWHERE, Hint, ResourceHints, nodes_of
from steersman.kubelet.node_resources.provider import ActivePods, AllocationRefused, Provider
from steersman.kubelet.own_resources import DeviceSettings, OwnResourcesFailed
from steersman.kubelet.podspec import PodContainer, app_containers, init_containers
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.podtotals import pod_totals
from steersman.meta.quantities import to_int

GRACE_S: Final = 300.0
"""How long a resource keeps its capacity when its plugin is gone."""
log = logging.getLogger(__name__)


class _Resource(Struct, kw_only=True):
    devices: DeviceList = field(default_factory=DeviceList)
    plugin: Plugin | None = None
    gone_at_s: float | None = None
    """Since when it has had no plugin."""
    is_removed: bool = False
    """It has had none for too long."""


class DeviceManager:
    """One kubelet's. Plugins are brought to it by ``RegistrationServer``."""

    def __init__(
        self,
        folder: Path,
        *,
        nodes: Iterable[int],
        active_pods: ActivePods,
        clock: Clock,
        metrics: KubeletMetrics,
        changed: Callable[[], None],
        health_changed: Callable[[frozenset[str]], None],
    ) -> None:
        """``folder``: of plugins' sockets. ``nodes``: of NUMA. ``changed``: the node has other devices now;
        ``health_changed``: devices of pods with these uids are healthy now, or no longer."""
        self._nodes = tuple(nodes)
        self._active_pods = active_pods
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        self._health_changed = health_changed
        self._turn = asyncio.Lock()
        """Held while a container is being given devices: its plugin is asked meanwhile."""
        self._reusable: tuple[str, dict[str, frozenset[str]]] = ("", {})
        """The pod whose containers are being served, and what its init containers will have finished with."""
        self.assignments = DeviceAssignments(folder)
        self.is_new_node = self.assignments.is_new
        """No kubelet before this one knew of devices here: what the Node says of any is of a machine before this one."""
        now_s = clock.monotonic()
        self._resources = {name: _Resource(gone_at_s=now_s) for name in self.assignments.load()}

    # -- news of plugins

    def connected(self, plugin: Plugin) -> None:
        """It takes the place of the one that served its resource before. Its devices count once it has told of them."""
        entry = self._resources.setdefault(plugin.resource, _Resource())
        entry.plugin, entry.gone_at_s, entry.is_removed = plugin, None, False
        entry.devices = replace(entry.devices, is_served=False)
        self._changed()

    def listed(self, plugin: Plugin, devices: Iterable[Device]) -> None:
        entry = self._resources.get(plugin.resource)
        if entry is None or entry.plugin is not plugin:
            return
        before = entry.devices
        entry.devices = DeviceList(known={device.id: device for device in devices}, is_served=True)
        healths = {one.id: one.health for one in before.known.values()}
        other = frozenset(one.id for one in entry.devices.known.values() if healths.get(one.id) != one.health)
        self._save()
        if before != entry.devices:
            self._changed()
        owners = self.assignments.owners(plugin.resource, other)
        if owners:
            self._health_changed(owners)

    def disconnected(self, plugin: Plugin) -> None:
        entry = self._resources.get(plugin.resource)
        if entry is None or entry.plugin is not plugin:
            return
        entry.plugin, entry.gone_at_s = None, self._clock.monotonic()
        entry.devices = replace(entry.devices, is_served=False)
        self._changed()

    # -- what there is

    def resources(self) -> DeviceResources:
        """For the node's status."""
        now_s = self._clock.monotonic()
        expired = [
            entry
            for entry in self._resources.values()
            if not entry.is_removed and entry.gone_at_s is not None and now_s - entry.gone_at_s > GRACE_S
        ]
        for entry in expired:
            entry.is_removed = True
        if expired:
            self._save()
        present = self._present()
        return DeviceResources(
            capacity={name: len(devices.known) for name, devices in present.items()},
            allocatable={name: len(devices.healthy) for name, devices in present.items()},
            removed=tuple(name for name, entry in self._resources.items() if entry.is_removed),
        )

    def allocatable(self) -> dict[str, list[Device]]:
        """Healthy ones, by resource."""
        return {
            name: [devices.known[one] for one in sorted(devices.healthy)] for name, devices in self._present().items()
        }

    def raised(self, uid: str, allocatable: Mapping[str, Any]) -> Mapping[str, Any]:
        """``allocatable`` for a pod that has devices: at least what was given, though its plugin be gone now."""
        if not self.assignments.has_pod(uid):
            return allocatable
        raised = dict(allocatable)
        for name in self.assignments.resources():
            raised[name] = str(max(to_int(allocatable.get(name, "0")), len(self.assignments.taken(name))))
        return raised

    def _present(self) -> dict[str, DeviceList]:
        return {name: entry.devices for name, entry in self._resources.items() if not entry.is_removed}

    def _is_device(self, resource: str) -> bool:
        entry = self._resources.get(resource)
        return (entry is not None and not entry.is_removed) or bool(self.assignments.taken(resource))

    def _devices(self, resource: str) -> DeviceList:
        entry = self._resources.get(resource)
        return entry.devices if entry is not None else DeviceList()

    def _save(self) -> None:
        try:
            self.assignments.save({name: devices.healthy for name, devices in self._present().items()})
        except OSError as error:
            log.error("cannot write down which containers have which devices: %s", error)

    # -- Provider

    def wants(self, pod: Mapping[str, Any]) -> bool:
        return any(self._wanted(container) for container in (*init_containers(pod), *app_containers(pod)))

    def hints(self, pod: Mapping[str, Any], container: PodContainer) -> ResourceHints:
        self.take_back_stale()
        uid = objects.uid(pod)
        return {
            resource: self._hints(
                resource,
                count,
                given=self.assignments.ids(uid, container.name, resource) or frozenset(),
                reusable=self._reusable_of(uid).get(resource, frozenset()),
            )
            for resource, count in self._wanted(container).items()
        }

    def pod_hints(self, pod: Mapping[str, Any]) -> ResourceHints:
        self.take_back_stale()
        uid = objects.uid(pod)
        found = {}
        for resource, count in pod_totals(pod["spec"], "limits").items():
            if self._is_device(resource):
                ids = (
                    self.assignments.ids(uid, container.name, resource) or frozenset()
                    for container in (*init_containers(pod), *app_containers(pod))
                )
                given = frozenset(one for some in ids for one in some)
                found[resource] = self._hints(resource, count, given=given, reusable=frozenset())
        return found

    def _hints(
        self, resource: str, count: int, *, given: frozenset[str], reusable: frozenset[str]
    ) -> list[Hint] | None:
        devices = self._devices(resource)
        if not devices.is_aligned:
            return None
        if given:
            free, reusable = given, frozenset()
            if len(given) != count:
                return []
        else:
            free = devices.healthy - self.assignments.taken(resource)
            if len(free | reusable) < count:
                return []
        return device_hints(devices, count, free=free, reusable=reusable, nodes=self._nodes)

    async def allocate(self, pod: Mapping[str, Any], container: PodContainer, affinity: Hint) -> None:
        wanted = self._wanted(container)
        if not wanted:
            return
        async with self._turn:
            self.take_back_stale()
            try:
                for resource, count in wanted.items():
                    await self._allocate(objects.uid(pod), container, resource, count, affinity)
            except (DevicesUnavailable, PluginError) as error:
                raise AllocationRefused(f"Allocate failed due to {error}, which is unexpected") from error
            self._remember_reusable(objects.uid(pod), container)
            self._save()

    async def _allocate(self, uid: str, container: PodContainer, resource: str, count: int, affinity: Hint) -> None:
        given = self.assignments.ids(uid, container.name, resource)
        if given is not None and len(given) != count:
            raise DevicesUnavailable(
                f'pod "{uid}" container "{container.name}" changed request for resource "{resource}" from'
                f" {len(given)} to {count}"
            )
        plugin, devices = self._served(resource, given or frozenset())
        if given is not None:
            return
        wish = Wish(
            resource=resource,
            count=count,
            reusable=self._reusable_of(uid).get(resource, frozenset()),
            taken=self.assignments.taken(resource),
            near=frozenset(nodes_of(affinity.nodes)) if affinity.nodes is not None else None,
        )

        async def prefer(free: frozenset[str], included: frozenset[str], number: int) -> frozenset[str]:
            return await plugin.prefer(free, included, number) if plugin.has_preferences else frozenset()

        ids = await choose(wish, devices, prefer)
        began_s = self._clock.monotonic()
        try:
            response = await plugin.allocate(ids)
        finally:
            self._metrics.device_allocations.labels(resource).observe(self._clock.monotonic() - began_s)
        self.assignments.give(uid, container.name, resource, Given(by_node=devices.by_node(ids), response=response))

    def _served(self, resource: str, given: frozenset[str]) -> tuple[Plugin, DeviceList]:
        """Its plugin and devices, of which there are healthy ones, ``given`` among them."""
        entry = self._resources.get(resource)
        if entry is None or entry.is_removed:
            raise DevicesUnavailable(f"cannot allocate unregistered device {resource}")
        healthy = entry.devices.healthy
        if not healthy or entry.plugin is None:
            raise DevicesUnavailable(f"no healthy devices present; cannot allocate unhealthy devices {resource}")
        if not given <= healthy:
            raise DevicesUnavailable(
                f"previously allocated devices are no longer healthy; cannot allocate unhealthy devices {resource}"
            )
        return entry.plugin, entry.devices

    def _wanted(self, container: PodContainer) -> dict[str, int]:
        """Counts by resource. Extended resources are not overcommitted: limits are requests."""
        limits = (container.spec.get("resources") or {}).get("limits") or {}
        counts = {name: to_int(value) for name, value in limits.items() if self._is_device(name)}
        return {name: count for name, count in counts.items() if count}

    def _reusable_of(self, uid: str) -> dict[str, frozenset[str]]:
        return self._reusable[1] if self._reusable[0] == uid else {}

    def _remember_reusable(self, uid: str, container: PodContainer) -> None:
        left = dict(self._reusable_of(uid))
        for resource, given in self.assignments.of(uid, container.name).items():
            before = left.get(resource, frozenset())
            left[resource] = before | given.ids if container.kind == "init" else before - given.ids
        self._reusable = (uid, left)

    def take_back_stale(self) -> None:
        """What pods had that use nothing any more."""
        active = self._active_pods()
        if active is not None and self.assignments.take_back_all_but(active):
            self._save()

    # -- containers

    async def prepare(self, pod: Mapping[str, Any], container: PodContainer) -> DeviceSettings:
        """At each start of a container, which plugins may want to hear of. Raises ``OwnResourcesFailed``."""
        uid, missing = objects.uid(pod), False
        if container.kind != "ephemeral":
            for resource in self._wanted(container):
                try:
                    await self._pre_start(uid, container.name, resource)
                except PluginError as error:
                    raise OwnResourcesFailed(str(error)) from error
                missing = missing or self.assignments.ids(uid, container.name, resource) is None
        if missing:
            try:
                await self.allocate(pod, container, NOWHERE)
            except AllocationRefused as error:
                raise OwnResourcesFailed(str(error)) from error
        return self.assignments.settings(uid, container.name)

    async def _pre_start(self, uid: str, container: str, resource: str) -> None:
        entry = self._resources.get(resource)
        if entry is None or entry.is_removed:
            raise PluginError(f"endpoint not found in cache for a registered resource: {resource}")
        if entry.plugin is None or not entry.plugin.needs_pre_start:
            return
        ids = self.assignments.ids(uid, container, resource)
        if ids is None:
            raise PluginError(
                f"no devices found allocated in local cache for pod {uid}, container {container}, resource {resource}"
            )
        await entry.plugin.pre_start(ids)

    def with_health(self, uid: str, status: Object) -> Object:
        """A pod's ``status`` with the health of its containers' devices (KEP-4680)."""
        entries = status.get("containerStatuses") or ()
        if not entries or not self.assignments.has_pod(uid):
            return status
        return {**status, "containerStatuses": [self._entry_with_health(uid, entry) for entry in entries]}

    def _entry_with_health(self, uid: str, entry: Object) -> Object:
        statuses = [
            {"name": resource, "resources": [self._health(resource, one) for one in sorted(given.ids)]}
            for resource, given in self.assignments.of(uid, entry["name"]).items()
        ]
        return {**entry, "allocatedResourcesStatus": statuses} if statuses else entry

    def _health(self, resource: str, one: str) -> Object:
        device = self._devices(resource).known.get(one)
        is_healthy = device is None or device.is_healthy
        return {"resourceID": one, "health": HEALTHY if is_healthy else "Unhealthy"}


def _conforms(manager: DeviceManager) -> Provider:
    return manager
