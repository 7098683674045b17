"""ResourceClaims of a pod: by which name, made for it or not, reserved for it or not.

Source: "Dynamic Resource Allocation" in the Kubernetes documentation (KEP-4381).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.controllers.pods import is_finished, node_name
from steersman.meta import objects
from steersman.meta.objects import Object

FINALIZER = "resource.kubernetes.io/delete-protection"
POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
"""Annotation of a claim that was made from a template: which entry of the pod's ``resourceClaims`` it is for."""


def entries(pod: Mapping[str, Any]) -> list[Object]:
    """The pod's ``spec.resourceClaims``."""
    found: list[Object] = (pod.get("spec") or {}).get("resourceClaims") or []
    return found


def generated(pod: Mapping[str, Any]) -> dict[str, str | None]:
    """What was made from templates, by entry: the claim's name, or None where it was decided that none is needed."""
    statuses = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    return {status["name"]: status.get("resourceClaimName") or None for status in statuses}


def claim_name(pod: Mapping[str, Any], entry: Mapping[str, Any]) -> str | None:
    """The name of the claim of ``entry``; None where it is not made yet or not needed."""
    if entry.get("resourceClaimName"):
        return str(entry["resourceClaimName"])
    return generated(pod).get(entry["name"])


def by_resource_claim(pod: Object) -> Iterable[str]:
    """Index: keys of the claims that the pod uses."""
    names = {claim_name(pod, entry) for entry in entries(pod)}
    extended = ((pod.get("status") or {}).get("extendedResourceClaimStatus") or {}).get("resourceClaimName")
    return [
        objects.make_key(objects.namespace(pod), name)
        for name in sorted({*names, extended} - {None, ""}, key=str)
        if name
    ]


def is_reserved_for(claim: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    reserved = (claim.get("status") or {}).get("reservedFor") or ()
    return any(entry.get("uid") == objects.uid(pod) for entry in reserved)


def allocation(claim: Mapping[str, Any]) -> Object | None:
    found: Object | None = (claim.get("status") or {}).get("allocation")
    return found


def is_done(pod: Mapping[str, Any]) -> bool:
    """None of its containers runs nor ever will: it needs no devices."""
    return is_finished(pod) or (objects.is_deleting(pod) and not node_name(pod))
