"""StorageObjectInUseProtection: claims, volumes and their attributes classes get the finalizers by which their controllers keep
them while in use."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, VOLUMEATTRIBUTESCLASSES

_FINALIZERS = {
    PERSISTENTVOLUMECLAIMS: "kubernetes.io/pvc-protection",
    PERSISTENTVOLUMES: "kubernetes.io/pv-protection",
    VOLUMEATTRIBUTESCLASSES: "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection:
    NAME = "StorageObjectInUseProtection"
    OPERATIONS = ("CREATE",)
    RESOURCES = tuple(_FINALIZERS)
    SUBRESOURCES = ("",)

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        finalizer = _FINALIZERS.get(request.kind.resource)
        obj = request.obj
        if finalizer is None or request.subresource or request.operation != "CREATE" or obj is None:
            return None
        present = objects.finalizers(obj)
        if finalizer in present:
            return None
        return objects.with_metadata(obj, finalizers=[*present, finalizer])


def _conforms() -> MutatingPlugin:
    return StorageObjectInUseProtection()
