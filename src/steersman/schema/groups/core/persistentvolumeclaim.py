"""PersistentVolumeClaim: a request for storage by a namespace."""

from __future__ import annotations

from steersman.meta.resources import PERSISTENTVOLUMECLAIMS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=PERSISTENTVOLUMECLAIMS,
    definition="io.k8s.api.core.v1.PersistentVolumeClaim",
    singular="persistentvolumeclaim",
    short_names=("pvc",),
    subresources=(STATUS,),
    storage_prefix="persistentvolumeclaims",
    has_status=True,
    delete_returns_object=True,
)
