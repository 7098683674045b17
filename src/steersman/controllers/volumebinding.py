"""Decisions of the volume binder, and the objects as they are after each step of binding. Pure.

A binding is four writes, volume first: the volume's ``claimRef``, the volume's phase, the claim's ``volumeName``, the claim's
phase. Any of them may be the last one that happened; ``plan_claim`` and ``plan_volume`` go on from whatever is there.
Source: "Persistent Volumes" in the Kubernetes documentation, and the wording of upstream's ``controller/volume/persistentvolume``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from steersman.controllers.standing import Notice
from steersman.controllers.volumes import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PRE_RESIZE_CAPACITY,
    PROVISIONED_BY,
    SELECTED_NODE,
    claim_key_of,
    class_of,
    is_promised_to,
    mismatch,
    phase_of,
    same_volume_mode,
    spec_of,
    states_class,
)
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import parse_quantity

ClaimPhase = Literal["Pending", "Bound", "Lost"]
LOST_REFERENCE = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
LOST_VOLUME = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"
NO_VOLUME = "no persistent volumes available for this claim and no storage class is set"


class ClaimPlan(Struct, frozen=True, kw_only=True):
    """What to do about one claim; the fields that are set, in this order."""

    bind: Object | None = None
    """The volume to bind it to."""
    set_class: str = ""
    """The default class, for a claim that names none; nothing else happens then."""
    provision: Object | None = None
    """The StorageClass to have a volume made by."""
    phase: ClaimPhase | None = None
    notice: Notice | None = None
    on_change: bool = False
    """Tell ``notice`` only if the phase changes."""
    is_invalid: bool = False
    """Nothing that this controller or a user may do leads here: try again with back-off."""


def plan_claim(
    claim: Object,
    *,
    named: Object | None,
    match: Object | None,
    storage_class: Object | None,
    default: Object | None,
    unscheduled: Sequence[str],
) -> ClaimPlan:
    """``named`` is the volume of the claim's ``volumeName``, ``match`` the best for a claim without one; ``storage_class`` and
    ``default`` are the claim's class and the default one; ``unscheduled`` are names of pods that use the claim and wait for a
    node."""
    if BIND_COMPLETED in objects.annotations(claim):
        return _plan_bound(claim, named)
    if spec_of(claim).get("volumeName"):
        return _plan_named(claim, named)
    if match is not None:
        return ClaimPlan(bind=match)
    if default is not None and not states_class(claim):
        return ClaimPlan(set_class=objects.name(default))
    if waits_for_consumer(storage_class) and SELECTED_NODE not in objects.annotations(claim):
        return ClaimPlan(phase="Pending", notice=_waiting(unscheduled))
    if class_of(claim):
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
            return ClaimPlan(notice=Notice(type="Warning", reason="ProvisioningFailed", message=text))
        return ClaimPlan(provision=storage_class)
    return ClaimPlan(phase="Pending", notice=Notice(type="Normal", reason="FailedBinding", message=NO_VOLUME))


def _plan_bound(claim: Object, named: Object | None) -> ClaimPlan:
    if not spec_of(claim).get("volumeName"):
        return _lost("ClaimLost", LOST_REFERENCE)
    if named is None:
        return _lost("ClaimLost", LOST_VOLUME)
    reference = spec_of(named).get("claimRef")
    if not reference or reference.get("uid") == objects.uid(claim):
        return ClaimPlan(bind=named)
    return _lost("ClaimMisbound", MISBOUND)


def _lost(reason: str, message: str) -> ClaimPlan:
    return ClaimPlan(
        phase="Lost", notice=Notice(type="Warning", reason=reason, message=message), on_change=True
    )  # fmt: skip


def _plan_named(claim: Object, named: Object | None) -> ClaimPlan:
    if named is None:
        return ClaimPlan(phase="Pending")
    name = objects.name(named)
    if not spec_of(named).get("claimRef"):
        why_not = mismatch(named, claim)
        if not why_not:
            return ClaimPlan(bind=named)
        text = f'Cannot bind to requested volume "{name}": {why_not}'
        return ClaimPlan(phase="Pending", notice=Notice(type="Warning", reason="VolumeMismatch", message=text))
    if is_promised_to(named, claim):
        return ClaimPlan(bind=named)
    text = f'volume "{name}" already bound to a different claim.'
    notice = Notice(type="Warning", reason="FailedBinding", message=text)
    if BOUND_BY_CONTROLLER in objects.annotations(claim):
        return ClaimPlan(notice=notice, is_invalid=True)
    return ClaimPlan(phase="Pending", notice=notice)


def waits_for_consumer(storage_class: Object | None) -> bool:
    """Volumes of this class are chosen once a pod that needs one has a node."""
    return (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"


def _waiting(unscheduled: Sequence[str]) -> Notice:
    if not unscheduled:
        text = "waiting for first consumer to be created before binding"
        return Notice(type="Normal", reason="WaitForFirstConsumer", message=text)
    pods = f"pod{'s' if len(unscheduled) > 1 else ''} {','.join(unscheduled)}"
    return Notice(type="Normal", reason="WaitForPodScheduled", message=f"waiting for {pods} to be scheduled")


class VolumePlan(Struct, frozen=True, kw_only=True):
    """What to do about one volume; the fields that are set, in this order."""

    phase: Literal["Available", "Bound", "Released"] | None = None
    reclaim: bool = False
    unbind: bool = False
    wake_claim: bool = False
    """Its claim is not bound yet: reconcile that."""
    is_mismatched: bool = False
    """The claim that it is promised to cannot have it, as one is a block device and the other a filesystem."""


def plan_volume(volume: Object, claim: Object | None) -> VolumePlan:
    """``claim`` is the one that the volume's ``claimRef`` means; None where that does not exist (any more)."""
    reference = spec_of(volume).get("claimRef")
    if not reference or not reference.get("uid"):
        return VolumePlan(phase="Available")
    is_released = phase_of(volume) in ("Released", "Failed")
    if claim is None:
        return VolumePlan(phase=None if is_released else "Released", reclaim=True)
    bound_to = spec_of(claim).get("volumeName") or ""
    if not bound_to:
        return VolumePlan(is_mismatched=True) if not same_volume_mode(volume, claim) else VolumePlan(wake_claim=True)
    if bound_to == objects.name(volume):
        return VolumePlan(phase="Bound")
    is_ours = PROVISIONED_BY in objects.annotations(volume)
    if is_ours and spec_of(volume).get("persistentVolumeReclaimPolicy") == "Delete":
        return VolumePlan(phase=None if is_released else "Released", reclaim=True)
    return VolumePlan(unbind=True)


def is_released(volume: Mapping[str, Any], claim: Object | None) -> bool:
    """The volume was bound, and its claim (found by name) is gone, another one, or bound elsewhere: it may be reclaimed."""
    reference = spec_of(volume).get("claimRef")
    if not reference or not reference.get("uid"):
        return False
    if claim is None or objects.uid(claim) != reference["uid"]:
        return True
    return (spec_of(claim).get("volumeName") or objects.name(volume)) != objects.name(volume)


def bound_volume(volume: Object, claim: Object) -> Object:
    """``volume`` with the claim in its ``claimRef``; itself where that is so."""
    reference = spec_of(volume).get("claimRef") or {}
    is_known = claim_key_of(volume) == objects.key_of(claim) and reference.get("uid") == objects.uid(claim)
    marked = volume
    if not is_promised_to(volume, claim):
        marked = with_annotation(volume, BOUND_BY_CONTROLLER, "yes")
    if is_known:
        return marked
    new = {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": objects.namespace(claim),
        "name": objects.name(claim),
        "uid": objects.uid(claim),
        "resourceVersion": objects.resource_version(claim),
    }
    return {**marked, "spec": {**spec_of(marked), "claimRef": new}}


def bound_claim(claim: Object, volume: Object) -> Object:
    """``claim`` with its ``volumeName`` and the mark that binding is completed; itself where that is so."""
    bound = claim
    if spec_of(claim).get("volumeName") != objects.name(volume):
        bound = {**claim, "spec": {**spec_of(claim), "volumeName": objects.name(volume)}}
        if BOUND_BY_CONTROLLER not in objects.annotations(bound):
            bound = with_annotation(bound, BOUND_BY_CONTROLLER, "yes")
    return bound if BIND_COMPLETED in objects.annotations(bound) else with_annotation(bound, BIND_COMPLETED, "yes")


def unbound_volume(volume: Object) -> Object:
    """``volume`` free again; one that a user promised to a claim stays promised to any claim of that name."""
    if BOUND_BY_CONTROLLER in objects.annotations(volume):
        freed = with_annotation(volume, BOUND_BY_CONTROLLER, None)
        return {**freed, "spec": {key: value for key, value in spec_of(volume).items() if key != "claimRef"}}
    reference = {key: value for key, value in spec_of(volume)["claimRef"].items() if key != "uid"}
    return {**volume, "spec": {**spec_of(volume), "claimRef": reference}}


def claim_in_phase(claim: Object, phase: ClaimPhase, volume: Object | None) -> Object:
    """``claim`` with the status of that phase; itself where nothing changes. A bound claim keeps its capacity: an expansion that
    has not reached the filesystem yet shows as a difference."""
    old = claim.get("status") or {}
    new = {**old, "phase": phase}
    if volume is None:
        for field in ("accessModes", "capacity", "currentVolumeAttributesClassName"):
            new.pop(field, None)
    else:
        new["accessModes"] = spec_of(volume).get("accessModes")
        if old.get("phase") != phase:
            new["capacity"] = _claimed_capacity(volume, old)
        if old.get("phase") == "Pending" and phase == "Bound":
            new["currentVolumeAttributesClassName"] = spec_of(volume).get("volumeAttributesClassName")
    new = {key: value for key, value in new.items() if value is not None}
    return claim if new == old else {**claim, "status": new}


def _claimed_capacity(volume: Object, old: Mapping[str, Any]) -> Object:
    before_resize = objects.annotations(volume).get(PRE_RESIZE_CAPACITY)
    if before_resize is None:
        return dict(spec_of(volume).get("capacity") or {})
    try:
        parse_quantity(before_resize)
    except ValueError:
        before_resize = (spec_of(volume).get("capacity") or {}).get("storage")
    return {**(old.get("capacity") or {}), "storage": before_resize}


def volume_in_phase(volume: Object, phase: str, message: str = "") -> Object:
    """``volume`` with that phase; itself where it has it, whatever the message."""
    if phase_of(volume) == phase:
        return volume
    status = {key: value for key, value in (volume.get("status") or {}).items() if key != "message"}
    return {**volume, "status": {**status, "phase": phase, **({"message": message} if message else {})}}


def with_annotation(obj: Object, name: str, value: str | None) -> Object:
    """``obj`` with that annotation, or without where ``value`` is None."""
    changed = {key: old for key, old in objects.annotations(obj).items() if key != name}
    if value is not None:
        changed[name] = value
    return objects.with_metadata(obj, annotations=changed or None)
