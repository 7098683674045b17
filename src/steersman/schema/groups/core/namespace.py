"""Namespace: a scope for names."""

from __future__ import annotations

from steersman.meta.names import label_errors
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.kind import Kind, Subresource
from steersman.schema.selectable import text_at
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    """Every namespace carries its name as a label, so that selectors can name it."""
    metadata = obj.setdefault("metadata", {})
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
    if obj.get("spec") is None:
        obj["spec"] = {}
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Active"


KIND = Kind(
    resource=NAMESPACES,
    definition="io.k8s.api.core.v1.Namespace",
    singular="namespace",
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(
        Subresource(name="finalize", verbs=("update",)),
        STATUS,
    ),
    storage_prefix="namespaces",
    selectable_fields={"status.phase": text_at("status", "phase")},
    name_errors=label_errors,
    has_status=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        text("Status", "status", "phase", description="The status of the namespace"),
        AGE,
    ),
)
