"""PersistentVolume: a piece of storage of the cluster."""

from __future__ import annotations

from steersman.meta import times
from steersman.meta.errors import FieldError, forbidden
from steersman.meta.objects import Object, is_deleting
from steersman.meta.resources import PERSISTENTVOLUMES
from steersman.schema.cells import UNSET
from steersman.schema.columns import AGE, NAME, computed, text, value_at
from steersman.schema.equality import same
from steersman.schema.groups.core.accessmodes import short_access_modes, storage_class_of
from steersman.schema.groups.core.nodelabels import node_selector_term_warnings
from steersman.schema.groups.core.podspec.defaults import VOLUME_SOURCE_DEFAULTS
from steersman.schema.groups.core.podspec.updates import differences
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.groups.core.volumespec import SOURCES, check_volume_spec
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    if spec.get("capacity"):
        default_amounts(spec["capacity"])
    for name, source in spec.items():
        source_default = VOLUME_SOURCE_DEFAULTS.get(name)
        if source_default is not None and source is not None:
            source_default(source)
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Pending"


def _status(obj: Object, now: float) -> str:
    return "Terminating" if is_deleting(obj) else str(value_at(obj, "status", "phase") or "")


def _claim(obj: Object, now: float) -> str:
    claim = value_at(obj, "spec", "claimRef")
    return f"{claim.get('namespace') or ''}/{claim.get('name') or ''}" if claim else ""


def prepare_create(obj: Object) -> None:
    created = obj["metadata"].get("creationTimestamp")
    obj["status"] = {"phase": "Pending", **({"lastPhaseTransitionTime": created} if created else {})}


def stamp_phase(new: Object, old: Object, now: float) -> None:
    """The time of a change of phase, unless the client says another one than it found."""
    status, before = new.get("status") or {}, old.get("status") or {}
    time, since = status.get("lastPhaseTransitionTime"), before.get("lastPhaseTransitionTime")
    if status.get("phase") == before.get("phase"):
        kept = time or since
    else:
        kept = times.format_time(now) if time in (None, since) else time
    new["status"] = {**status, "lastPhaseTransitionTime": kept} if kept else status


_MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_MOUNTED = frozenset(
    {
        "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi", "cinder", "cephfs",
        "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk",
    }
)  # fmt: skip
"""Sources that take the annotation with the options of a mount."""


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_volume_spec(errors, spec, "spec")
    if _MOUNT_OPTIONS in ((obj.get("metadata") or {}).get("annotations") or ()) and not spec.keys() & _MOUNTED:
        errors.append(
            forbidden(f"metadata.annotations.{_MOUNT_OPTIONS}", "may not specify mount options for this volume type")
        )
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    sources, had = ({name: each[name] for name in SOURCES if each.get(name) is not None} for each in (spec, before))
    if "csi" in sources and "csi" in had and had["csi"].get("controllerExpandSecretRef") is None:
        csi = {name: value for name, value in sources["csi"].items() if name != "controllerExpandSecretRef"}
        sources = {**sources, "csi": csi}
    if not same(sources, had):
        shown = "\n".join(differences(sources, had))
        detail = f"spec.persistentvolumesource is immutable after creation\n{shown}\n"
        errors.append(forbidden("spec.persistentvolumesource", detail))
    check_immutable(errors, spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    if before.get("nodeAffinity") is not None:
        check_immutable(errors, spec.get("nodeAffinity"), before["nodeAffinity"], "nodeAffinity")
    if before.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        detail = "update from non-nil value to nil is forbidden"
        errors.append(forbidden("spec.volumeAttributesClassName", detail))
    return errors


_OLD_ANNOTATIONS = {
    "volume.beta.kubernetes.io/storage-class": 'deprecated since v1.8; use "storageClassName" attribute instead',
    _MOUNT_OPTIONS: 'deprecated since v1.31; use "mountOptions" attribute instead',
}
_OLD_SOURCES = (
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
)
"""Fields, what upstream calls them in warnings, and the warning."""


def warnings(obj: Object) -> list[str]:
    spec, notes = obj.get("spec") or {}, (obj.get("metadata") or {}).get("annotations") or {}
    found = [f"metadata.annotations[{key}]: {text}" for key, text in _OLD_ANNOTATIONS.items() if key in notes]
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach "
            "is to use dynamic provisioning."
        )
    for index, term in enumerate(value_at(spec, "nodeAffinity", "required", "nodeSelectorTerms") or ()):
        found += node_selector_term_warnings(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]")
    return found + [f"spec.{told}: {text}" for name, told, text in _OLD_SOURCES if spec.get(name) is not None]


KIND = Kind(
    resource=PERSISTENTVOLUMES,
    definition="io.k8s.api.core.v1.PersistentVolume",
    singular="persistentvolume",
    short_names=("pv",),
    subresources=(STATUS,),
    storage_prefix="persistentvolumes",
    returns_deleted_object=True,
    has_status=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        text(
            "Capacity",
            "spec",
            "capacity",
            "storage",
            empty="0",
            documented_by="io.k8s.api.core.v1.PersistentVolumeSpec/capacity",
        ),
        computed(
            "Access Modes",
            lambda obj, now: short_access_modes(value_at(obj, "spec", "accessModes")),
            documented_by="io.k8s.api.core.v1.PersistentVolumeSpec/accessModes",
        ),
        text(
            "Reclaim Policy",
            "spec",
            "persistentVolumeReclaimPolicy",
            documented_by="io.k8s.api.core.v1.PersistentVolumeSpec/persistentVolumeReclaimPolicy",
        ),
        computed("Status", _status, documented_by="io.k8s.api.core.v1.PersistentVolumeStatus/phase"),
        computed("Claim", _claim, documented_by="io.k8s.api.core.v1.PersistentVolumeSpec/claimRef"),
        computed("StorageClass", lambda obj, now: storage_class_of(obj), description="StorageClass of the pv"),
        text(
            "VolumeAttributesClass",
            "spec",
            "volumeAttributesClassName",
            empty=UNSET,
            description="VolumeAttributesClass of the pv",
        ),
        text("Reason", "status", "reason", documented_by="io.k8s.api.core.v1.PersistentVolumeStatus/reason"),
        AGE,
        text(
            "VolumeMode",
            "spec",
            "volumeMode",
            empty=UNSET,
            priority=1,
            documented_by="io.k8s.api.core.v1.PersistentVolumeSpec/volumeMode",
        ),
    ),
    prepare_create=prepare_create,
    stamp=stamp_phase,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
)
