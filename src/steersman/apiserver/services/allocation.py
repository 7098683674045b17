"""What a Service is given when it is written: address families, cluster IPs, node ports.

Source: "Service ClusterIP allocation", "IPv4/IPv6 dual-stack" and "type: NodePort" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from steersman.aio.tasks import TaskGroup
from steersman.apiserver.api import Reservation, StorageHook
from steersman.apiserver.call import Call
from steersman.apiserver.services.clusterips import AllocationError, ClusterIPs, RangeFull
from steersman.apiserver.services.families import fill_families
from steersman.apiserver.services.networks import Family
from steersman.apiserver.services.nodeports import NodePorts
from steersman.meta.errors import InternalError, Invalid, invalid
from steersman.meta.objects import Object

_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


class ServiceReservation:
    """What one write took, and what its success sets free."""

    def __init__(self, clusterips: ClusterIPs, nodeports: NodePorts, tasks: TaskGroup, *, dry_run: bool) -> None:
        self._clusterips = clusterips
        self._nodeports = nodeports
        self._tasks = tasks
        self._dry_run = dry_run
        self.taken_addresses: list[str] = []
        self.taken_ports: list[int] = []
        self.freed_addresses: list[str] = []
        self.freed_ports: list[int] = []

    def commit(self) -> None:
        self._release(self.freed_addresses, self.freed_ports)

    def rollback(self) -> None:
        self._release(self.taken_addresses, self.taken_ports)

    def _release(self, addresses: list[str], ports: list[int]) -> None:
        if self._dry_run or not (addresses or ports):
            return
        self._tasks.spawn(self._give_back(tuple(addresses), tuple(ports)), name="release")

    async def _give_back(self, addresses: tuple[str, ...], ports: tuple[int, ...]) -> None:
        for address in addresses:
            await self._clusterips.release(address)
        await self._nodeports.release(ports)


class ServiceAllocation:
    """The storage hook of Services."""

    def __init__(self, clusterips: ClusterIPs, nodeports: NodePorts, tasks: TaskGroup) -> None:
        self._clusterips = clusterips
        self._nodeports = nodeports
        self._tasks = tasks

    async def begin_create(self, call: Call, obj: Object, *, dry_run: bool) -> Reservation | None:
        spec = obj.setdefault("spec", {})
        normalize(spec, None)
        return await self._reserve(
            dry_run,
            lambda taken: self._create(obj, spec, taken, dry_run),
        )

    async def begin_update(self, call: Call, obj: Object, old: Object, *, dry_run: bool) -> Reservation | None:
        spec, old_spec = obj.setdefault("spec", {}), old.get("spec") or {}
        keep_allocated(spec, old_spec)
        normalize(spec, old_spec)
        return await self._reserve(dry_run, lambda taken: self._update(obj, spec, old_spec, taken, dry_run))

    async def after_delete(self, obj: Object) -> None:
        spec = obj.get("spec") or {}
        for address in _addresses(spec):
            await self._clusterips.release(address)
        await self._nodeports.release(ports_of(spec))

    async def _reserve(
        self, dry_run: bool, allocate: Callable[[ServiceReservation], Awaitable[None]]
    ) -> ServiceReservation:
        taken = ServiceReservation(self._clusterips, self._nodeports, self._tasks, dry_run=dry_run)
        try:
            await allocate(taken)
        except BaseException:
            taken.rollback()
            raise
        return taken

    async def _create(self, obj: Object, spec: Object, taken: ServiceReservation, dry_run: bool) -> None:
        fill_families(obj, spec, None, self._clusterips.families)
        await self._addresses_for(obj, spec, taken, dry_run)
        await self._ports_for(obj, spec, set(), taken, dry_run)
        if _needs_health_check(spec):
            await self._health_check_port(spec, taken, dry_run)

    async def _update(self, obj: Object, spec: Object, old: Object, taken: ServiceReservation, dry_run: bool) -> None:
        fill_families(obj, spec, old, self._clusterips.families)
        was_external, is_external = old.get("type") == "ExternalName", spec.get("type") == "ExternalName"
        before, now = old.get("ipFamilies") or [], spec.get("ipFamilies") or []
        if was_external and not is_external:
            await self._addresses_for(obj, spec, taken, dry_run)
        elif is_external and not was_external:
            taken.freed_addresses += _addresses(old)
        elif not _is_headless(old) and len(before) == 1 and len(now) == 2:
            await self._addresses_for(obj, spec, taken, dry_run, first=1)
        elif not _is_headless(old) and len(before) == 2 and len(now) == 1:
            taken.freed_addresses += _addresses(old)[1:]
        await self._updated_ports(obj, spec, old, taken, dry_run)

    async def _updated_ports(
        self, obj: Object, spec: Object, old: Object, taken: ServiceReservation, dry_run: bool
    ) -> None:
        have = set(ports_of(old)) if old.get("type") in _WITH_NODE_PORTS else set()
        await self._ports_for(obj, spec, have, taken, dry_run)
        if _needs_health_check(spec) and not _needs_health_check(old):
            await self._health_check_port(spec, taken, dry_run)
        still = set(ports_of(spec)) if spec.get("type") in _WITH_NODE_PORTS else set()
        taken.freed_ports += sorted(have - still)

    async def _addresses_for(
        self, obj: Object, spec: Object, taken: ServiceReservation, dry_run: bool, *, first: int = 0
    ) -> None:
        """Addresses for the families from ``first`` on: those the Service names, any for the rest."""
        if spec.get("type") == "ExternalName" or _is_headless(spec):
            return
        families: list[Family] = spec.get("ipFamilies") or []
        addresses = list(spec.get("clusterIPs") or ())
        metadata = obj["metadata"]
        owner = {"namespace": metadata.get("namespace") or "", "name": metadata.get("name") or ""}
        for position in range(first, len(families)):
            wanted = addresses[position] if position < len(addresses) else ""
            try:
                if wanted:
                    found = await self._clusterips.allocate(wanted, dry_run=dry_run, **owner)
                else:
                    found = await self._clusterips.allocate_next(families[position], dry_run=dry_run, **owner)
            except RangeFull as error:
                text = f'failed to allocate a serviceIP for Service "{owner["name"]}": {error}'
                raise InternalError(f"Internal error occurred: {text}") from error
            except AllocationError as error:
                what = f"failed to allocate IP {wanted}" if wanted else "failed to allocate IP"
                raise _invalid(obj, "spec.clusterIPs", addresses, f"{what}: {error}") from error
            taken.taken_addresses.append(found)
            addresses[position:] = [found]
        spec["clusterIPs"] = addresses
        if addresses:
            spec["clusterIP"] = addresses[0]

    async def _ports_for(
        self, obj: Object, spec: Object, have: set[int], taken: ServiceReservation, dry_run: bool
    ) -> None:
        """A node port for each port that wants one. TCP and UDP on one port number share it."""
        if spec.get("type") not in _WITH_NODE_PORTS:
            return
        allocates = spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False
        shares = not have
        ports = [dict(port) for port in spec.get("ports") or ()]
        by_port: dict[int, int] = {port["port"]: port["nodePort"] for port in reversed(ports) if port.get("nodePort")}
        for position, port in enumerate(ports):
            wanted = port.get("nodePort") or 0
            if not wanted:
                if not allocates:
                    continue
                wanted = by_port.get(port["port"], 0) if shares else 0
            if wanted:
                if wanted not in have:
                    await self._take_port(obj, position, wanted, taken, dry_run)
                    have = have | {wanted}
            else:
                try:
                    wanted = await self._nodeports.allocate_next(excluded=taken.taken_ports, dry_run=dry_run)
                except AllocationError as error:
                    raise InternalError(f"Internal error occurred: failed to allocate a nodePort: {error}") from error
                taken.taken_ports.append(wanted)
                have = have | {wanted}
                by_port[port["port"]] = wanted
            port["nodePort"] = wanted
        if ports:
            spec["ports"] = ports

    async def _take_port(self, obj: Object, position: int, port: int, taken: ServiceReservation, dry_run: bool) -> None:
        try:
            await self._nodeports.allocate(port, dry_run=dry_run)
        except AllocationError as error:
            raise _invalid(obj, f"spec.ports[{position}].nodePort", port, str(error)) from error
        taken.taken_ports.append(port)

    async def _health_check_port(self, spec: Object, taken: ServiceReservation, dry_run: bool) -> None:
        wanted = spec.get("healthCheckNodePort") or 0
        try:
            if wanted:
                await self._nodeports.allocate(wanted, dry_run=dry_run)
            else:
                wanted = await self._nodeports.allocate_next(excluded=taken.taken_ports, dry_run=dry_run)
        except AllocationError as error:
            what = f"requested HealthCheck NodePort {wanted}" if wanted else "a HealthCheck NodePort 0"
            raise InternalError(f"Internal error occurred: failed to allocate {what}: {error}") from error
        taken.taken_ports.append(wanted)
        spec["healthCheckNodePort"] = wanted


def _invalid(obj: Object, field: str, value: Any, detail: str) -> Invalid:
    return Invalid.of("Service", "", obj["metadata"].get("name") or "", [invalid(field, value, detail)])


def _is_headless(spec: Object) -> bool:
    return spec.get("clusterIP") == "None" or (spec.get("clusterIPs") or [""])[0] == "None"


def _addresses(spec: Object) -> list[str]:
    if spec.get("type") == "ExternalName" or _is_headless(spec):
        return []
    return [address for address in spec.get("clusterIPs") or () if address]


def ports_of(spec: Object) -> list[int]:
    """The node ports that a Service has."""
    found = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        found.append(spec["healthCheckNodePort"])
    return found


def _needs_health_check(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def keep_allocated(spec: Object, old: Object) -> None:
    """An update that does not name what was allocated keeps it."""
    kind, old_kind = spec.get("type"), old.get("type")
    if kind != "ExternalName" and old_kind != "ExternalName":
        for field in ("clusterIP", "clusterIPs"):
            if not spec.get(field) and old.get(field):
                spec[field] = old[field]
    if kind in _WITH_NODE_PORTS and old_kind in _WITH_NODE_PORTS:
        _keep_node_ports(spec, old)
    if _needs_health_check(spec) and _needs_health_check(old) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old.get("healthCheckNodePort")


def _keep_node_ports(spec: Object, old: Object) -> None:
    """A port keeps its node port by its name, whatever else of it changes, unless another port has taken it."""
    by_name = {port.get("name") or "": port.get("nodePort") for port in old.get("ports") or ()}
    used = _node_ports(old) & _node_ports(spec)
    ports = [dict(port) for port in spec.get("ports") or ()]
    for port in ports:
        kept = by_name.get(port.get("name") or "")
        if not port.get("nodePort") and kept and kept not in used:
            port["nodePort"] = kept
    spec["ports"] = ports


def _node_ports(spec: Object) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def normalize(spec: Object, old: Object | None) -> None:
    """Keep ``clusterIP`` and ``clusterIPs`` the same where a client knows only one of them."""
    single, several = spec.get("clusterIP"), spec.get("clusterIPs")
    if old is None:
        if single and not several:
            spec["clusterIPs"] = [single]
        return
    old_single, old_several = old.get("clusterIP"), old.get("clusterIPs")
    if single != old_single and several == old_several:
        if not single:
            spec["clusterIPs"] = None
        elif several:
            spec["clusterIPs"] = [single]
        else:
            spec["clusterIPs"] = [single]
    elif single == old_single and several != old_several and not several:
        spec["clusterIP"] = ""
    for field in ("clusterIP", "clusterIPs"):
        if spec.get(field) is None:
            spec.pop(field, None)


def _conforms(allocation: ServiceAllocation) -> StorageHook:
    return allocation
