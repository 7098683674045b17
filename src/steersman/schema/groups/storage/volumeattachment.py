"""VolumeAttachment: the wish to attach a volume to a node."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from steersman.meta.errors import FieldError, forbidden, invalid, required, too_long
from steersman.meta.names import between, subdomain_errors
from steersman.meta.objects import Object
from steersman.meta.resources import VOLUMEATTACHMENTS
from steersman.schema import goforms
from steersman.schema.columns import AGE, NAME, flag, text
from steersman.schema.groups.core.volumesources import check_csi_driver_name
from steersman.schema.groups.core.volumespec import check_volume_spec
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable, check_name
from steersman.schema.statuswrites import keep_metadata
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if status.get("attached") is None:
        status["attached"] = False


_METADATA_BYTES = 256 * 1024
_MESSAGE_BYTES = 1024


def prepare_create(obj: Object) -> None:
    obj["status"] = {"attached": False}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_csi_driver_name(errors, spec.get("attacher"), "spec.attacher")
    _check_source(errors, spec.get("source") or {}, "spec.source")
    check_name(errors, spec.get("nodeName") or "", "spec.nodeName", subdomain_errors)
    _check_status(errors, obj.get("status") or {})
    name = (spec.get("source") or {}).get("persistentVolumeName")
    if name is not None:
        check_name(errors, name, "spec.source.persistentVolumeName", subdomain_errors)
    return errors


def _check_source(errors: list[FieldError], source: Mapping[str, Any], path: str) -> None:
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if name is None and inline is None:
        errors.append(required(path, detail))
    elif name is not None and inline is not None:
        errors.append(forbidden(path, detail))
    elif inline is not None:
        check_volume_spec(errors, inline, f"{path}.inlineVolumeSpec", inline=True)
    elif not name:
        errors.append(required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName"))


def _check_status(errors: list[FieldError], status: Mapping[str, Any]) -> None:
    metadata = status.get("attachmentMetadata") or {}
    if sum(len(key.encode()) + len((value or "").encode()) for key, value in metadata.items()) > _METADATA_BYTES:
        errors.append(too_long("status.attachmentMetadata", _METADATA_BYTES))
    for name in ("attachError", "detachError"):
        error = status.get(name) or {}
        if len((error.get("message") or "").encode()) > _MESSAGE_BYTES:
            errors.append(too_long(f"status.{name}.message", _METADATA_BYTES))
        if (error.get("errorCode") or 0) < 0:
            errors.append(invalid(f"status.{name}.errorCode", error["errorCode"], between(0, 2**31 - 1)))


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    shown = partial(goforms.internal, "storage.v1.VolumeAttachmentSpec")
    check_immutable(errors, new.get("spec"), old.get("spec"), "spec", shown=shown)
    return errors


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    _check_status(errors, new.get("status") or {})
    return errors


KIND = Kind(
    resource=VOLUMEATTACHMENTS,
    definition="io.k8s.api.storage.v1.VolumeAttachment",
    singular="volumeattachment",
    subresources=(STATUS,),
    storage_prefix="volumeattachments",
    returns_deleted_object=True,
    has_status=True,
    allows_unconditional_update=False,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        text("Attacher", "spec", "attacher", documented_by="io.k8s.api.storage.v1.VolumeAttachmentSpec/attacher"),
        text(
            "PV",
            "spec",
            "source",
            "persistentVolumeName",
            documented_by="io.k8s.api.storage.v1.VolumeAttachmentSource/persistentVolumeName",
        ),
        text("Node", "spec", "nodeName", documented_by="io.k8s.api.storage.v1.VolumeAttachmentSpec/nodeName"),
        flag("Attached", "status", "attached", documented_by="io.k8s.api.storage.v1.VolumeAttachmentStatus/attached"),
        AGE,
    ),
    prepare_create=prepare_create,
    prepare_status_update=keep_metadata,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
)
