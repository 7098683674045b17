"""ServiceCIDR: an address range for Services that is in use is not removed.

watches: ServiceCIDRs; IPAddresses.
owns: the finalizer ``networking.k8s.io/service-cidr-finalizer`` and the condition Ready of ServiceCIDRs.
writes: ServiceCIDRs (finalizers), ServiceCIDRs/status, Events.
invariants: the finalizer goes only when every address in the range also lies in another ready range, and not before the range has
been deleted for ten seconds (API servers stop to allocate from it).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.conditions import find, with_condition
from steersman.controllers.protection import with_finalizer
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, times
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import IPADDRESSES, SERVICECIDRS, Resource

NAME = "service-cidr-controller"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
CIDR_WATCH = Watch(resource=SERVICECIDRS)
ADDRESS_WATCH = Watch(resource=IPADDRESSES)
WATCHES = (CIDR_WATCH, ADDRESS_WATCH)

GRACE_S = 10.0
_TERMINATING = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"


class Plan(Struct, frozen=True, kw_only=True):
    status: Object | None = None
    update: Object | None = None
    requeue_after_s: float | None = None


def plan(service_cidr: Object, others: Iterable[Object], addresses: Sequence[Object], now_s: float) -> Plan:
    """``others`` are the other ServiceCIDRs."""
    if not objects.is_deleting(service_cidr):
        held = with_finalizer(service_cidr, FINALIZER, is_used=True)
        if held is not service_cidr:
            return Plan(update=held)
        text = "Kubernetes Service CIDR is ready"
        return Plan(status=_with_ready(service_cidr, "True", "", text, now_s))
    if FINALIZER not in objects.finalizers(service_cidr):
        return Plan()
    if _is_needed(service_cidr, others, addresses):
        return Plan(status=_with_ready(service_cidr, "False", "Terminating", _TERMINATING, now_s))
    deleted_s = times.parse_time(objects.metadata(service_cidr)["deletionTimestamp"])
    wait_s = deleted_s + GRACE_S - now_s
    if wait_s > 0:
        return Plan(requeue_after_s=wait_s)
    return Plan(update=with_finalizer(service_cidr, FINALIZER, is_used=False))


def _with_ready(service_cidr: Object, status: str, reason: str, message: str, now_s: float) -> Object | None:
    """None where the condition says so already."""
    old = (service_cidr.get("status") or {}).get("conditions") or []
    entry = find(old, "Ready")
    if entry is not None and (entry["status"], entry.get("reason") or "", entry["message"]) == (
        status, reason, message,
    ):  # fmt: skip
        return None
    conditions = with_condition(old, "Ready", status, reason, message, now_s, keeps_message=False)
    conditions = [{"reason": "", **found} for found in conditions]
    return {**service_cidr, "status": {**(service_cidr.get("status") or {}), "conditions": conditions}}


def _is_needed(service_cidr: Object, others: Iterable[Object], addresses: Iterable[Object]) -> bool:
    """An allocated address lies in this range and in no other that stays."""
    own = _networks(service_cidr)
    staying = [network for other in others if not objects.is_deleting(other) for network in _networks(other)]
    for entry in addresses:
        address = ipaddress.ip_address(objects.name(entry))
        if any(address in network for network in own) and not any(address in network for network in staying):
            return True
    return False


def _networks(service_cidr: Object) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(cidr) for cidr in (service_cidr.get("spec") or {}).get("cidrs") or ()]


class ServiceCIDRController:
    """Reconciles one ServiceCIDR by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cidrs = context.informer(CIDR_WATCH)
        self._addresses = context.informer(ADDRESS_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is IPADDRESSES:
            if change.new is not None:
                return ()
            return [objects.name(entry) for entry in self._cidrs.list() if objects.is_deleting(entry)]
        return [objects.name(entry) for entry in self._cidrs.list()]

    async def reconcile(self, key: str) -> Result:
        service_cidr = self._cidrs.get(key)
        if service_cidr is None:
            self._context.expectations.forget(key)
            return DONE
        others = [entry for entry in self._cidrs.list() if objects.name(entry) != key]
        todo = plan(service_cidr, others, self._addresses.list(), self._context.clock.now())
        if todo.status is not None:
            await self._report(key, todo.status)
        if todo.update is not None:
            updated = await self._context.client.update(SERVICECIDRS, todo.update)
            self._context.expectations.wrote(key, self._cidrs, updated)
        return Result(requeue_after_s=todo.requeue_after_s)

    async def _report(self, key: str, service_cidr: Object) -> None:
        try:
            updated = await self._context.client.update(SERVICECIDRS, service_cidr, subresource="status")
        except APIError:
            if not objects.is_deleting(service_cidr):
                text = "The ServiceCIDR Status can not be set to Ready=True"
                self._context.events.event(
                    service_cidr, SERVICECIDRS, type="Warning", reason="KubernetesServiceCIDRError", message=text
                )
            raise
        self._context.expectations.wrote(key, self._cidrs, updated)


def _conforms(context: Context) -> Controller:
    return ServiceCIDRController(context)
