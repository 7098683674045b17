"""PersistentVolume: a piece of storage of the cluster."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMES
from steersman.schema.groups.core.podspec.defaults import VOLUME_SOURCE_DEFAULTS
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if not spec.get("volumeMode"):
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


KIND = Kind(
    resource=PERSISTENTVOLUMES,
    definition="io.k8s.api.core.v1.PersistentVolume",
    singular="persistentvolume",
    short_names=("pv",),
    subresources=(STATUS,),
    storage_prefix="persistentvolumes",
    has_status=True,
    delete_returns_object=True,
    default=default,
)
