"""Namespace: a scope for names."""

from __future__ import annotations

from steersman.meta.names import label_errors
from steersman.meta.resources import NAMESPACES
from steersman.schema.kind import Kind, Subresource
from steersman.schema.selectable import text_at
from steersman.schema.subresources import STATUS

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
)
