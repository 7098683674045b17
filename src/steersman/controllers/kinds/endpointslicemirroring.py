"""EndpointSlice mirroring: Endpoints that users write for Services without selector, as slices.

watches: Endpoints; Services; EndpointSlices.
owns: EndpointSlices labelled ``endpointslice.kubernetes.io/managed-by: endpointslicemirroring-controller.k8s.io``.
writes: EndpointSlices (create, update, delete), Events.
invariants: nothing is mirrored of Services with a selector, of Endpoints that are locks or say ``skip-mirror``; at most 1,000
addresses of each subset.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers import slices
from steersman.controllers.podcontrol import namespace_is_terminating
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.controllers.standing import Notice, StandingEvents
from steersman.meta import objects
from steersman.meta.errors import APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES, Resource

NAME = "endpointslice-mirroring-controller"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = frozenset(
    {"endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"}
)


def by_endpoints(entry: Object) -> Iterable[str]:
    """Index: the Endpoints that a slice of ours mirrors."""
    labels = objects.labels(entry)
    if labels.get(slices.MANAGED_BY) != MANAGER or not labels.get(slices.SERVICE_NAME):
        return ()
    return (objects.make_key(objects.namespace(entry), labels[slices.SERVICE_NAME]),)


ENDPOINTS_WATCH = Watch(resource=ENDPOINTS)
SERVICE_WATCH = Watch(resource=SERVICES)
SLICE_WATCH = Watch(resource=ENDPOINTSLICES, indexers={"mirrored": by_endpoints})
WATCHES = (ENDPOINTS_WATCH, SERVICE_WATCH, SLICE_WATCH)

REPEAT_S = 300.0
"""How often it is told again that addresses are left out."""


class Plan(Struct, frozen=True, kw_only=True):
    changes: slices.Changes
    skipped: int = 0
    """Addresses beyond the limit of their subset."""
    invalid: int = 0
    """Addresses that are none."""


def is_mirrored(endpoints: Object | None, service: Object | None) -> bool:
    return (
        endpoints is not None
        and service is not None
        and not service["spec"].get("selector")
        and objects.labels(endpoints).get(SKIP_LABEL) != "true"
        and LEADER not in objects.annotations(endpoints)
    )


def plan(endpoints: Object | None, service: Object | None, existing: Sequence[Object], most: int) -> Plan:
    """``existing`` are the slices that mirror ``endpoints`` now. ``most`` is the limit for each subset and slice."""
    if endpoints is None or not is_mirrored(endpoints, service):
        return Plan(changes=slices.Changes(delete=existing))
    groups, skipped, invalid = _groups(endpoints, most)
    labels = {**objects.labels(endpoints), slices.SERVICE_NAME: objects.name(endpoints), slices.MANAGED_BY: MANAGER}
    annotations = {key: text for key, text in objects.annotations(endpoints).items() if key not in _NOT_COPIED}
    reference = objects.controller_reference(endpoints, ENDPOINTS)
    metadata = {"labels": labels, "annotations": annotations or None, "ownerReferences": [reference]}
    create: list[Object] = []
    update: list[Object] = []
    delete: list[Object] = [entry for entry in existing if entry["addressType"] not in groups]
    for family, per_ports in groups.items():
        template = slices.make(objects.name(endpoints), objects.namespace(endpoints), reference, family, [])
        ours = [entry for entry in existing if entry["addressType"] == family]
        changes = slices.pack(per_ports, ours, template, metadata, most, keeps_one=False)
        create += changes.create
        update += changes.update
        delete += changes.delete
    if objects.is_deleting(endpoints):
        create = []
    return Plan(changes=slices.Changes(create=create, update=update, delete=delete), skipped=skipped, invalid=invalid)


def _groups(endpoints: Object, most: int) -> tuple[dict[str, dict[slices.Ports, slices.Group]], int, int]:
    """(family -> ports -> endpoints, how many addresses were left out for whatever reason, how many are no addresses)."""
    groups: dict[str, dict[slices.Ports, slices.Group]] = {}
    skipped = invalid = 0
    for subset in endpoints.get("subsets") or ():
        ports = [_port(port) for port in subset.get("ports") or ()]
        taken = 0
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                family = _family(address["ip"]) if taken < most else None
                if family is None:
                    skipped += 1
                    invalid += taken < most
                else:
                    taken += 1
                    per_ports = groups.setdefault(family, {})
                    group = per_ports.setdefault(slices.ports_key(ports), slices.Group(ports=ports))
                    group.add(_endpoint(address, ready=ready))
    return groups, skipped, invalid


def _port(port: Mapping[str, Any]) -> Object:
    made: Object = {"name": port.get("name") or "", "port": port["port"], "protocol": port.get("protocol") or "TCP"}
    return made | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})


def _family(text: str) -> str | None:
    try:
        return f"IPv{ipaddress.ip_address(text).version}"
    except ValueError:
        return None


def _endpoint(address: Mapping[str, Any], *, ready: bool) -> Object:
    endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("targetRef", "nodeName", "hostname"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint


class EndpointSliceMirroringController:
    """Reconciles one Endpoints object by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._standing = StandingEvents(context, period_s=REPEAT_S)
        self._endpoints = context.informer(ENDPOINTS_WATCH)
        self._services = context.informer(SERVICE_WATCH)
        self._slices = context.informer(SLICE_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is ENDPOINTSLICES:
            return {key for entry in (change.old, change.new) if entry is not None for key in by_endpoints(entry)}
        return (change.key,)

    async def reconcile(self, key: str) -> Result:
        endpoints = self._endpoints.get(key)
        if endpoints is None:
            self._context.expectations.forget(key)
        existing = [entry for entry in self._slices.by_index("mirrored", key) if not objects.is_deleting(entry)]
        most = self._context.config.mirroring_max_endpoints_per_subset
        todo = plan(endpoints, self._services.get(key), existing, most)
        try:
            await self._execute(key, todo.changes)
        except APIError as error:
            if namespace_is_terminating(error):
                return DONE
            raise
        if endpoints is not None and todo.invalid:
            text = f"Skipped {todo.invalid} invalid IP addresses when mirroring to EndpointSlices"
            self._warn(endpoints, "InvalidIPAddress", text)
        if endpoints is not None and todo.skipped > todo.invalid:
            text = (
                f"A max of {most} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{todo.skipped} addresses were skipped"
            )
            self._warn(endpoints, "TooManyAddressesToMirror", text)
        return DONE

    async def _execute(self, key: str, changes: slices.Changes) -> None:
        client, expectations = self._context.client, self._context.expectations
        for entry in changes.create:
            expectations.wrote(key, self._slices, await client.create(ENDPOINTSLICES, entry))
        for entry in changes.update:
            expectations.wrote(key, self._slices, await client.update(ENDPOINTSLICES, entry))
        for entry in changes.delete:
            try:
                await client.delete(
                    ENDPOINTSLICES, objects.name(entry), namespace=objects.namespace(entry), uid=objects.uid(entry)
                )
            except NotFound:
                continue
            expectations.deleted(key, self._slices, entry)

    def _warn(self, endpoints: Object, reason: str, message: str) -> None:
        self._standing.tell(endpoints, ENDPOINTS, Notice(type="Warning", reason=reason, message=message))


def _conforms(context: Context) -> Controller:
    return EndpointSliceMirroringController(context)
