"""PersistentVolumeClaimResize: only bound claims grow, and only where their class says that they can."""

from __future__ import annotations

from fractions import Fraction

from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, STORAGECLASSES

_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


class PersistentVolumeClaimResize:
    NAME = "PersistentVolumeClaimResize"
    OPERATIONS = ("UPDATE",)
    RESOURCES = (PERSISTENTVOLUMECLAIMS,)
    SUBRESOURCES = ("",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: AdmissionRequest) -> None:
        claim, old = request.obj, request.old
        if request.kind.resource != PERSISTENTVOLUMECLAIMS or request.subresource or claim is None or old is None:
            return
        if _size(claim) <= _size(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            why = "Only bound persistent volume claims can be expanded"
            raise refused(request, why)
        name = _class_of(claim)
        found = self._reader.get(STORAGECLASSES, "", name) if name and name == _class_of(old) else None
        if not (found or {}).get("allowVolumeExpansion"):
            why = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support "
                "resize"
            )
            raise refused(request, why)


def _size(claim: Object) -> Fraction:
    requests = (((claim.get("spec") or {}).get("resources")) or {}).get("requests") or {}
    return quantity(requests.get("storage") or "0")


def _class_of(claim: Object) -> str:
    return objects.annotations(claim).get(_BETA_CLASS) or (claim.get("spec") or {}).get("storageClassName") or ""


def _conforms(reader: Reader) -> ValidatingPlugin:
    return PersistentVolumeClaimResize(reader)
