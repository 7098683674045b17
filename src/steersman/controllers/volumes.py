"""What the binder asks of PersistentVolumes and PersistentVolumeClaims: what fits what, and which fits best.

Source: "Persistent Volumes" in the Kubernetes documentation; the order of preference is that of upstream's
``component-helpers/storage/volume``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity, to_int
from steersman.meta.selectors import label_selector_of

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
MIGRATED_TO = "pv.kubernetes.io/migrated-to"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
PRE_RESIZE_CAPACITY = "volume.alpha.kubernetes.io/pre-resize-capacity"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
EXTERNAL_FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
IN_TREE_FINALIZER = "kubernetes.io/pv-controller"


def spec_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def phase_of(obj: Mapping[str, Any]) -> str:
    return str((obj.get("status") or {}).get("phase") or "")


def class_of(obj: Mapping[str, Any]) -> str:
    """The storage class of a claim or a volume; empty for none."""
    stated = objects.annotations(obj).get(CLASS_ANNOTATION)
    return str(stated if stated is not None else spec_of(obj).get("storageClassName") or "")


def states_class(claim: Mapping[str, Any]) -> bool:
    """The claim says which class it wants, if only that it wants none."""
    return CLASS_ANNOTATION in objects.annotations(claim) or spec_of(claim).get("storageClassName") is not None


def default_class(classes: Iterable[Object]) -> Object | None:
    """The default StorageClass; of several the newest, then the first by name."""
    defaults = [
        found for found in classes if any(objects.annotations(found).get(name) == "true" for name in DEFAULT_CLASS)
    ]
    by_name = sorted(defaults, key=objects.name)
    return max(by_name, key=lambda found: objects.metadata(found).get("creationTimestamp") or "", default=None)


def claim_key_of(volume: Mapping[str, Any]) -> str:
    """Key of the claim that the volume's ``claimRef`` names; empty for none."""
    reference = spec_of(volume).get("claimRef")
    return objects.make_key(reference.get("namespace") or "", reference.get("name") or "") if reference else ""


def is_promised_to(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """The volume's ``claimRef`` names this claim, and not another one of that name."""
    reference = spec_of(volume).get("claimRef")
    if not reference or claim_key_of(volume) != objects.key_of(claim):
        return False
    return (reference.get("uid") or "") in ("", objects.uid(claim))


def modes_of(obj: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(spec_of(obj).get("accessModes") or ())


def same_volume_mode(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    return bool(
        spec_of(volume).get("volumeMode", "Filesystem") == spec_of(claim).get("volumeMode", "Filesystem")
    )  # fmt: skip


def _attributes_class(obj: Mapping[str, Any]) -> str:
    return str(spec_of(obj).get("volumeAttributesClassName") or "")


def _requested(claim: Mapping[str, Any]) -> object:
    return ((spec_of(claim).get("resources") or {}).get("requests") or {}).get("storage") or "0"


def _capacity(volume: Mapping[str, Any]) -> object:
    return (spec_of(volume).get("capacity") or {}).get("storage") or "0"


def capacity_bytes(volume: Mapping[str, Any]) -> int:
    return to_int(_capacity(volume))


def mismatch(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    """Why a claim cannot have the volume that it asks for by name, in upstream's words; empty where it can."""
    if objects.is_deleting(volume):
        return f'the volume is marked for deletion "{objects.name(volume)}"'
    if to_int(_capacity(volume)) < to_int(_requested(claim)):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _attributes_class(volume) != _attributes_class(claim):
        return "volumeAttributesClassName does not match"
    if not same_volume_mode(volume, claim):
        return "incompatible volumeMode"
    if not modes_of(claim) <= modes_of(volume):
        return "incompatible accessMode"
    return ""


def best_match(claim: Mapping[str, Any], volumes: Iterable[Object], *, promised_only: bool) -> Object | None:
    """The volume for a claim that names none: one promised to it, else the smallest that fits.

    All of ``volumes`` have the access modes of the claim. ``promised_only``: the scheduler chooses among the others, as the
    class waits for the first consumer.
    """
    wanted, selector = quantity(_requested(claim)), spec_of(claim).get("selector")
    matcher = label_selector_of(selector) if selector else None
    fitting: list[Object] = []
    for volume in volumes:
        is_free = not spec_of(volume).get("claimRef")
        if not (is_free or is_promised_to(volume, claim)) or objects.is_deleting(volume):
            continue
        if quantity(_capacity(volume)) < wanted or not same_volume_mode(volume, claim):
            continue
        if _attributes_class(volume) != _attributes_class(claim):
            continue
        if not is_free:
            return volume
        if promised_only or phase_of(volume) != "Available" or class_of(volume) != class_of(claim):
            continue
        if matcher is None or matcher.matches(objects.labels(volume)):
            fitting.append(volume)
    return min(fitting, key=lambda volume: (quantity(_capacity(volume)), objects.name(volume)), default=None)
