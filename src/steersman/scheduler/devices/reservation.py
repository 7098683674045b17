"""What is written to the API about claims: an allocation and who uses it, and the undoing of both."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from steersman.meta import objects, times
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, RESOURCECLAIMS
from steersman.scheduler.devices.claims import FINALIZER, with_status
from steersman.scheduler.devices.requests import allocation_of
from steersman.scheduler.framework import CurrentTime, Errand, ErrandFailed, Read, Write
from steersman.scheduler.pod_info import PodInfo

TRIES = 5
"""How often a write is tried that others get in the way of."""


class Promise(Struct, frozen=True, kw_only=True):
    """What a pod's claims get on the node that was chosen."""

    allocations: tuple[tuple[Object, Object], ...]
    """(claim, allocation)."""
    extended: Object | None = None
    """The claim for extended resources; it is to be made."""
    mappings: tuple[Object, ...] = ()
    """Which container uses which request of it."""

    def allocation_for(self, claim: Object) -> Object | None:
        uid = objects.uid(claim)
        return next((allocation for each, allocation in self.allocations if objects.uid(each) == uid), None)


def bind_claim(claim: Object, allocation: Object | None, pod: PodInfo, written: Callable[[Object], None]) -> Errand:
    """Write that ``pod`` uses the claim, and what devices the claim has where it has none yet. ``written`` gets the claim as it
    is in the end."""
    name = objects.key_of(claim)
    current = claim
    for attempt in range(TRIES):
        if objects.is_deleting(current):
            raise ErrandFailed(f"claim {name} got deleted in the meantime")
        if allocation is not None and allocation_of(current) is not None:
            raise ErrandFailed(f"claim {name} got allocated elsewhere in the meantime")
        try:
            if allocation is not None and FINALIZER not in objects.finalizers(current):
                finalizers = [*objects.finalizers(current), FINALIZER]
                current = yield Write(
                    verb="update",
                    resource=RESOURCECLAIMS,
                    obj=objects.with_metadata(current, finalizers=finalizers),
                )
            given = allocation or allocation_of(current)
            if given is None:
                raise ErrandFailed(f"claim {name} got deallocated elsewhere in the meantime")
            if not given.get("allocationTimestamp"):
                now_s = yield CurrentTime()
                given = {**given, "allocationTimestamp": times.format_time(now_s)}
            users = [*((current.get("status") or {}).get("reservedFor") or ())]
            users.append({"resource": PODS.plural, "name": pod.name, "uid": pod.uid})
            changed = with_status(current, allocation=given, reservedFor=users)
            current = yield Write(verb="update", resource=RESOURCECLAIMS, obj=changed, subresource="status")
        except Conflict:
            if attempt == TRIES - 1:
                raise
            current = yield Read(resource=RESOURCECLAIMS, namespace=objects.namespace(claim), name=objects.name(claim))
        else:
            written(current)
            return


def bind_extended(promise: Promise, allocation: Object, pod: PodInfo, made: Callable[[Object], None]) -> Errand:
    """Make the claim for extended resources, write its devices, and tell the pod of it."""
    assert promise.extended is not None
    obj = {**promise.extended, "metadata": {**promise.extended["metadata"]}}
    obj["metadata"].pop("uid", None)
    claim = yield Write(verb="create", resource=RESOURCECLAIMS, obj=obj)
    made(claim)
    yield from bind_claim(claim, allocation, pod, made)
    status = {
        "extendedResourceClaimStatus": {
            "resourceClaimName": objects.name(claim), "requestMappings": [*promise.mappings],
        }
    }  # fmt: skip
    metadata = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    yield Write(verb="patch", resource=PODS, obj={"metadata": metadata, "status": status}, subresource="status")


def give_back(claim: Object, pod: PodInfo) -> Errand:
    """The pod does not use the claim after all. A patch of one entry, so that it does not matter who else changes it."""
    metadata = {"name": objects.name(claim), "namespace": objects.namespace(claim), "uid": objects.uid(claim)}
    entry = {"$patch": "delete", "uid": pod.uid}
    yield Write(
        verb="patch",
        resource=RESOURCECLAIMS,
        obj={"metadata": metadata, "status": {"reservedFor": [entry]}},
        subresource="status",
    )


def deallocate(claim: Object) -> Errand:
    """Take the claim's devices away."""
    without = with_status(claim, allocation=None, reservedFor=None, devices=None)
    yield Write(verb="update", resource=RESOURCECLAIMS, obj=without, subresource="status")


def delete_claim(claim: Object) -> Errand:
    """Remove a claim that this scheduler made, finalizer first."""
    current = claim
    for attempt in range(TRIES):
        try:
            kept = [each for each in objects.finalizers(current) if each != FINALIZER]
            yield Write(
                verb="update", resource=RESOURCECLAIMS, obj=objects.with_metadata(current, finalizers=kept or None)
            )
            yield Write(verb="delete", resource=RESOURCECLAIMS, obj=current)
        except NotFound:
            return
        except Conflict:
            if attempt == TRIES - 1:
                raise
            current = yield Read(resource=RESOURCECLAIMS, namespace=objects.namespace(claim), name=objects.name(claim))
        else:
            return
