"""With whom the claims of a StatefulSet's pods go: with nobody, with the set, or with their pod.

Source: "PersistentVolumeClaim retention" in the StatefulSet documentation; KEP-1847. The owner references say it, so that the
garbage collector does it. What something else controls, or what went with a set or pod of the same name before, is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, STATEFULSETS, Resource


def owners(owner: Object, pod: Object, claim: Object, *, is_scaled_down: bool) -> list[Object]:
    """The owner references that ``claim`` of ``pod`` should have. ``is_scaled_down``: the pod's ordinal is not wanted any more."""
    references = objects.owner_references(claim)
    if _went_with(claim, owner, STATEFULSETS) or _went_with(claim, pod, PODS):
        return references
    kept = [reference for reference in references if reference["uid"] not in (objects.uid(owner), objects.uid(pod))]
    if is_foreign(owner, pod, claim):
        return kept
    if is_scaled_down and _policy(owner, "whenScaled") == "Delete":
        return [*kept, objects.controller_reference(pod, PODS)]
    if _policy(owner, "whenDeleted") == "Delete":
        return [*kept, objects.controller_reference(owner, STATEFULSETS)]
    return kept


def is_foreign(owner: Object, pod: Object, claim: Object) -> bool:
    """The policy would need to control the claim, and something else does."""
    ours = (objects.uid(owner), objects.uid(pod))
    return "Delete" in (_policy(owner, "whenScaled"), _policy(owner, "whenDeleted")) and any(
        reference.get("controller") and reference["uid"] not in ours for reference in objects.owner_references(claim)
    )


def goes_with_predecessor(owner: Object, pod: Object, claim: Object) -> bool:
    """The claim is about to go with the pod of this name that was there before: a new pod must not start to use it."""
    return _policy(owner, "whenScaled") == "Delete" and _went_with(claim, pod, PODS)


def _policy(owner: Mapping[str, Any], moment: str) -> str:
    return str((owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}).get(moment) or "Retain")


def _went_with(claim: Object, owner: Mapping[str, Any], resource: Resource) -> bool:
    """The first reference to an owner of that kind and name is to another object than ``owner``, which had its name before."""
    for reference in objects.owner_references(claim):
        named = (reference["apiVersion"], reference["kind"], reference["name"])
        if named == (resource.api_version, resource.kind, objects.name(owner)):
            return bool(reference["uid"] != objects.uid(owner))
    return False
