"""Access modes and storage classes of volumes and claims, as ``kubectl get`` shortens them."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.meta.objects import Object, metadata

_SHORT = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
BETA_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def short_access_modes(modes: Iterable[str] | None) -> str:
    wanted = set(modes or ())
    return ",".join(short for mode, short in _SHORT.items() if mode in wanted)


def storage_class_of(obj: Object) -> str:
    """The class of a volume or claim; an annotation from before classes had a field wins."""
    annotated = (metadata(obj).get("annotations") or {}).get(BETA_CLASS_ANNOTATION)
    if annotated is not None:
        return str(annotated)
    return str((obj.get("spec") or {}).get("storageClassName") or "")
