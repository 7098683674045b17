"""VolumeAttachment: the wish to attach a volume to a node."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import VOLUMEATTACHMENTS
from steersman.schema.columns import AGE, NAME, flag, text
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if status.get("attached") is None:
        status["attached"] = False


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
)
