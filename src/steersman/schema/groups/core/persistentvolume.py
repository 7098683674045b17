"""PersistentVolume: a piece of storage of the cluster."""

from __future__ import annotations

from steersman.meta.resources import PERSISTENTVOLUMES
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=PERSISTENTVOLUMES,
    definition="io.k8s.api.core.v1.PersistentVolume",
    singular="persistentvolume",
    short_names=("pv",),
    subresources=(STATUS,),
    storage_prefix="persistentvolumes",
    has_status=True,
    delete_returns_object=True,
)
