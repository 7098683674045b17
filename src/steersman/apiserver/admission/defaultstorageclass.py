"""DefaultStorageClass: a new claim that names no class gets the default one, the newest where several are marked."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, STORAGECLASSES

IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"
BETA_IS_DEFAULT = "storageclass.beta.kubernetes.io/is-default-class"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass:
    NAME = "DefaultStorageClass"
    OPERATIONS = ("CREATE",)
    RESOURCES = (PERSISTENTVOLUMECLAIMS,)
    SUBRESOURCES = ("",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        claim = request.obj
        if request.kind.resource != PERSISTENTVOLUMECLAIMS or request.subresource or claim is None:
            return None
        spec = claim.get("spec") or {}
        if request.operation != "CREATE" or spec.get("storageClassName") is not None:
            return None
        if BETA_CLASS in objects.annotations(claim):
            return None
        default = default_class(self._reader)
        if default is None:
            return None
        return {**claim, "spec": {**spec, "storageClassName": objects.name(default)}}


def default_class(reader: Reader) -> Object | None:
    """The default StorageClass: of several the newest, then the first by name."""
    marked = [
        entry
        for entry in reader.list(STORAGECLASSES)
        if "true" in (objects.annotations(entry).get(IS_DEFAULT), objects.annotations(entry).get(BETA_IS_DEFAULT))
    ]
    marked.sort(key=objects.name)
    return max(marked, key=lambda entry: objects.metadata(entry).get("creationTimestamp") or "", default=None)


def _conforms(reader: Reader) -> MutatingPlugin:
    return DefaultStorageClass(reader)
