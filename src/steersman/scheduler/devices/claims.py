"""The ResourceClaims of a pod: which they are, and whether the pod may use them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.devices.ledger import Ledger
from steersman.scheduler.devices.requests import allocation_of
from steersman.scheduler.pod_info import PodInfo

FINALIZER = "resource.kubernetes.io/delete-protection"


class NotThere(Exception):
    """A claim of the pod does not exist yet, or cannot be used."""


class Reference(Struct, frozen=True, kw_only=True):
    """A claim that the pod names. ``is_generated``: it was made from a template, for this pod alone."""

    name: str
    is_generated: bool


def references(pod: PodInfo) -> list[Reference]:
    """Raises ``NotThere`` while a claim has not been generated."""
    stated = (pod.obj.get("spec") or {}).get("resourceClaims") or ()
    if not stated:
        return []
    generated = {
        entry.get("name"): entry.get("resourceClaimName")
        for entry in (pod.obj.get("status") or {}).get("resourceClaimStatuses") or ()
    }
    found = []
    for entry in stated:
        if entry.get("resourceClaimName"):
            found.append(Reference(name=str(entry["resourceClaimName"]), is_generated=False))
        elif not entry.get("resourceClaimTemplateName"):
            raise NotThere(
                f'pod "{pod.key}", spec.resourceClaim "{entry.get("name")}": none of the supported fields are set'
            )
        elif entry.get("name") not in generated:
            raise NotThere(f'pod "{pod.key}": ResourceClaim not created yet')
        elif generated[entry.get("name")]:
            found.append(Reference(name=str(generated[entry.get("name")]), is_generated=True))
    return found


def claims_of(pod: PodInfo, cluster: Cluster, ledger: Ledger) -> list[Object]:
    """The pod's claims in their latest known versions. Raises ``NotThere``."""
    found = []
    for reference in references(pod):
        key = objects.make_key(pod.namespace, reference.name)
        claim = ledger.claim(key, cluster)
        if claim is None:
            raise NotThere(f'could not find ResourceClaim "{key}"')
        if objects.is_deleting(claim):
            raise NotThere(f'resourceclaim "{reference.name}" is being deleted')
        if reference.is_generated and not objects.is_controlled_by(claim, pod.obj):
            raise NotThere(f"ResourceClaim {key} was not created for Pod {pod.key} (Pod is not owner)")
        found.append(claim)
    return found


def is_reserved_for(claim: Object, pod: PodInfo) -> bool:
    return any(entry.get("uid") == pod.uid for entry in (claim.get("status") or {}).get("reservedFor") or ())


def is_idle(claim: Object, pod: PodInfo) -> bool:
    """Nobody but ``pod`` uses it."""
    return all(entry.get("uid") == pod.uid for entry in (claim.get("status") or {}).get("reservedFor") or ())


def with_status(claim: Object, **changes: object) -> Object:
    """The claim with another status; fields that are None go."""
    status = {**(claim.get("status") or {}), **changes}
    return {**claim, "status": {name: value for name, value in status.items() if value is not None}}


def binding_problem(claim: Object) -> str | None:
    """Whether the claim's devices are ready for the pod to be bound (KEP-5007): empty when they are, a text when one has
    failed, None while they are being prepared."""
    statuses = {
        (entry.get("driver"), entry.get("pool"), entry.get("device")): entry.get("conditions") or ()
        for entry in (claim.get("status") or {}).get("devices") or ()
    }
    for result in _conditional(claim):
        conditions = statuses.get((result.get("driver"), result.get("pool"), result.get("device")))
        if conditions is None:
            return None
        true = {entry.get("type"): entry for entry in conditions if entry.get("status") == "True"}
        for name in result.get("bindingFailureConditions") or ():
            if name in true:
                return (
                    f"device binding failed: claim={objects.name(claim)}, reason={true[name].get('reason') or ''}, "
                    f'message="{true[name].get("message") or ""}"'
                )
        if not all(name in true for name in result["bindingConditions"]):
            return None
    return ""


def has_binding_conditions(claim: Object) -> bool:
    return any(True for _ in _conditional(claim))


def _conditional(claim: Object) -> Iterable[Object]:
    results = ((allocation_of(claim) or {}).get("devices") or {}).get("results") or ()
    return (result for result in results if result.get("bindingConditions"))
