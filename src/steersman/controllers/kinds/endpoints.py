"""Endpoints: for each Service with a selector, one object with the addresses of its pods, for clients that know no slices.

watches: Services; Pods, by label; Endpoints.
owns: the Endpoints named like such a Service.
writes: Endpoints (create, update, delete), Events.
invariants: Endpoints of a Service without selector are its user's; at most 1,000 addresses, ready ones first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers import pods as podstate
from steersman.controllers import serviceendpoints
from steersman.controllers.podcontrol import namespace_is_terminating
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.errors import APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTS, PODS, SERVICES, Resource

NAME = "endpoints-controller"
SERVICE_WATCH = Watch(resource=SERVICES, indexers={"selector": serviceendpoints.by_selector})
POD_WATCH = Watch(resource=PODS, indexers={"label": serviceendpoints.by_label})
ENDPOINTS_WATCH = Watch(resource=ENDPOINTS)
WATCHES = (SERVICE_WATCH, POD_WATCH, ENDPOINTS_WATCH)

LEFTOVERS = ""
"""The key of a look at all Endpoints: their Services may have gone while no controller ran."""
MOST_ADDRESSES = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
LEADER = "control-plane.alpha.kubernetes.io/leader"


class Plan(Struct, frozen=True, kw_only=True):
    """At most one of the two."""

    create: Object | None = None
    update: Object | None = None


class Made(Struct, frozen=True):
    """What a pod, as it was then, is to a Service: the numbers of its ports and its address; neither where it is no endpoint."""

    pod: Object
    numbers: tuple[int | None, ...] = ()
    address: Object | None = None


Memory = dict[str, Made]
"""By the uids of pods: of thousands that a Service has only a few are other objects than the last time."""


def plan(
    service: Object,
    pods: Iterable[Object],
    existing: Object | None,
    trigger_time: str | None,
    memory: Memory | None = None,
) -> Plan:
    """``pods`` are those that ``service`` selects, ``existing`` the Endpoints of its name. ``memory`` is that of the last plan for
    the same version of ``service``; it is brought up to date."""
    if existing is not None and objects.is_deleting(existing):
        return Plan()
    subsets = repacked(_subsets(service, pods, {} if memory is None else memory))
    labels = {**objects.labels(service)}
    labels.pop(serviceendpoints.HEADLESS_LABEL, None)
    if serviceendpoints.is_headless(service):
        labels[serviceendpoints.HEADLESS_LABEL] = ""
    labels[MANAGED_BY] = MANAGER
    subsets, is_truncated = truncated(subsets)
    annotations = dict(objects.annotations(existing)) if existing is not None else {}
    was_truncated = annotations.pop(OVER_CAPACITY, None) is not None
    if existing is not None and (
        repacked(existing.get("subsets") or []) == subsets
        and objects.labels(existing) == labels
        and was_truncated == is_truncated
    ):
        return Plan()
    annotations.pop(serviceendpoints.TRIGGER_TIME, None)
    if trigger_time is not None:
        annotations[serviceendpoints.TRIGGER_TIME] = trigger_time
    if is_truncated:
        annotations[OVER_CAPACITY] = "truncated"
    if existing is not None:
        changed = objects.with_metadata(existing, labels=labels, annotations=annotations or None)
        return Plan(update={**changed, "subsets": subsets})
    metadata: Object = {"name": objects.name(service), "namespace": objects.namespace(service), "labels": labels}
    if annotations:
        metadata["annotations"] = annotations
    return Plan(create={"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets})


def _subsets(service: Object, pods: Iterable[Object], memory: Memory) -> list[Object]:
    """One subset for each number that the Service's ports have in some pods; ``repacked`` puts them in order."""
    spec = service["spec"]
    tolerant = bool(spec.get("publishNotReadyAddresses"))
    ports = spec.get("ports") or []
    found: dict[tuple[int | None, ...], Object] = {}
    fresh: Memory = {}
    for pod in pods:
        uid = pod["metadata"].get("uid") or objects.name(pod)
        made = memory.get(uid)
        if made is None or made.pod is not pod:
            made = _made(service, ports, pod, tolerant=tolerant)
        fresh[uid] = made
        if made.address is None:
            continue
        subset = found.get(made.numbers)
        if subset is None:
            numbered = zip(ports, made.numbers, strict=True)
            offered = [_endpoint_port(port, number) for port, number in numbered if number is not None]
            subset = found[made.numbers] = {"addresses": [], "notReadyAddresses": [], "ports": offered}
        subset["addresses" if tolerant or podstate.is_ready(pod) else "notReadyAddresses"].append(made.address)
    memory.clear()
    memory.update(fresh)
    return [*found.values()]


def _made(service: Object, ports: Sequence[Object], pod: Object, *, tolerant: bool) -> Made:
    if not serviceendpoints.may_be_endpoint(pod, terminating_too=tolerant):
        return Made(pod)
    wanted = serviceendpoints.families_of(service)[0]
    addresses = [ip for ip in serviceendpoints.addresses_of(pod) if serviceendpoints.family(ip) == wanted]
    numbers = tuple(serviceendpoints.port_of(pod, port) for port in ports)
    has_ports = any(number is not None for number in numbers) or (
        not ports and service["spec"].get("clusterIP") == "None"
    )
    if not addresses or not has_ports:
        return Made(pod)
    address: Object = {"ip": addresses[0], "targetRef": serviceendpoints.target_of(pod)}
    if podstate.node_name(pod):
        address["nodeName"] = podstate.node_name(pod)
    if hostname := serviceendpoints.hostname_of(pod, service):
        address["hostname"] = hostname
    return Made(pod, numbers, address)


def _endpoint_port(port: Mapping[str, Any], number: int) -> Object:
    made: Object = {"port": number, "protocol": port.get("protocol", "TCP")}
    if port.get("name"):
        made["name"] = port["name"]
    if port.get("appProtocol"):
        made["appProtocol"] = port["appProtocol"]
    return made


def repacked(subsets: Iterable[Object]) -> list[Object]:
    """The same endpoints in the fewest subsets, in one order: addresses with the same ports together."""
    port_of: dict[tuple[Any, ...], Object] = {}
    keys_of: dict[tuple[str, str, bool], tuple[Any, ...]] = {}
    address_of: dict[tuple[str, str, bool], Object] = {}
    for subset in subsets:
        offered = {_port_key(port): port for port in subset.get("ports") or ()}
        port_of |= offered
        keys = tuple(sorted(offered))
        for field, is_ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                identity = (address["ip"], str((address.get("targetRef") or {}).get("uid") or ""), is_ready)
                address_of[identity] = address
                known = keys_of.setdefault(identity, keys)
                if known is not keys:
                    keys_of[identity] = tuple(sorted({*known, *keys}))
    groups: dict[tuple[Any, ...], list[tuple[str, str, bool]]] = {}
    for identity, keys in keys_of.items():
        groups.setdefault(keys, []).append(identity)
    packed = []
    for keys, identities in sorted(groups.items()):
        subset, ordered = {}, sorted(identities)
        for field, wanted in (("addresses", True), ("notReadyAddresses", False)):
            listed = [address_of[identity] for identity in ordered if identity[2] is wanted]
            if listed:
                subset[field] = listed
        if keys:
            subset["ports"] = [port_of[key] for key in keys]
        packed.append(subset)
    return packed


def _port_key(port: Mapping[str, Any]) -> tuple[Any, ...]:
    return (port.get("name") or "", port["port"], port.get("protocol") or "TCP", port.get("appProtocol") or "")


def truncated(subsets: Sequence[Object]) -> tuple[list[Object], bool]:
    """At most 1,000 addresses, taken from each subset in proportion; not-ready ones only where ready ones leave room."""
    ready = sum(len(subset.get("addresses") or ()) for subset in subsets)
    unready = sum(len(subset.get("notReadyAddresses") or ()) for subset in subsets)
    if ready + unready <= MOST_ADDRESSES:
        return list(subsets), False
    cuts_ready = ready > MOST_ADDRESSES
    field, total = ("addresses", ready) if cuts_ready else ("notReadyAddresses", unready)
    most = left = MOST_ADDRESSES if cuts_ready else MOST_ADDRESSES - ready
    cut = []
    for subset in subsets:
        have = subset.get(field) or []
        kept = have[: min(math.ceil(len(have) / total * most), left)]
        left -= len(kept)
        changed = {
            key: entry for key, entry in subset.items() if key not in (field, *(["notReadyAddresses"] * cuts_ready))
        }
        if kept:
            changed[field] = kept
        if kept or changed.get("addresses"):
            cut.append(changed)
    return cut, True


class EndpointsController:
    """Reconciles one Service by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._services = context.informer(SERVICE_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._endpoints = context.informer(ENDPOINTS_WATCH)
        self._triggers = serviceendpoints.TriggerTimes()
        self._memories: dict[str, tuple[str, Memory]] = {}
        """Per Service: the version of it that the addresses were made for."""

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PODS:
            return self._batched(serviceendpoints.concerned_services(change, self._services))
        if resource is ENDPOINTS:
            return (change.key,) if change.new is None and self._services.get(change.key) is not None else ()
        return (change.key,)

    def _batched(self, keys: Iterable[str]) -> Iterable[str]:
        period_s = self._context.config.endpoint_updates_batch_period_s
        if not period_s:
            return keys
        for key in keys:
            self._context.queue.add_after(key, period_s)
        return ()

    async def reconcile(self, key: str) -> Result:
        if key == LEFTOVERS:
            for endpoints in self._endpoints.list():
                is_lock = LEADER in objects.annotations(endpoints)
                if self._services.get(objects.key_of(endpoints)) is None and not is_lock:
                    self._context.queue.add(objects.key_of(endpoints))
            return DONE
        service, existing = self._services.get(key), self._endpoints.get(key)
        if service is None:
            self._context.expectations.forget(key)
            self._triggers.forget(key)
            self._memories.pop(key, None)
            if existing is not None:
                await self._delete(existing)
            return DONE
        if service["spec"].get("type") == "ExternalName" or not service["spec"].get("selector"):
            return DONE
        pods = serviceendpoints.pods_of(service, self._pods)
        version, memory = self._memories.get(key, ("", {}))
        if version != objects.resource_version(service):
            memory = {}
        self._memories[key] = (objects.resource_version(service), memory)
        todo = plan(service, pods, existing, self._triggers.of(service, pods), memory)
        await self._execute(key, service, todo)
        return DONE

    async def _execute(self, key: str, service: Object, todo: Plan) -> None:
        client = self._context.client
        try:
            if todo.create is not None:
                written = await client.create(ENDPOINTS, todo.create)
            elif todo.update is not None:
                written = await client.update(ENDPOINTS, todo.update)
            else:
                return
        except APIError as error:
            if namespace_is_terminating(error):
                return
            what, obj = ("Create", todo.create) if todo.create is not None else ("Update", todo.update)
            text = f"Failed to {what.lower()} endpoint {'for service ' if todo.create is not None else ''}{key}"
            self._context.events.event(
                obj or service, ENDPOINTS, type="Warning", reason=f"FailedTo{what}Endpoint",
                message=f"{text}: {error.message}",
            )  # fmt: skip
            raise
        self._context.expectations.wrote(key, self._endpoints, written)

    async def _delete(self, endpoints: Object) -> None:
        try:
            await self._context.client.delete(
                ENDPOINTS, objects.name(endpoints), namespace=objects.namespace(endpoints), uid=objects.uid(endpoints)
            )
        except NotFound:
            return


def _conforms(context: Context) -> Controller:
    return EndpointsController(context)
