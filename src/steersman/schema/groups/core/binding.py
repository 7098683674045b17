"""Binding: a pod is bound to a node by creating one; the older form of ``pods/binding``."""

from __future__ import annotations

from steersman.meta.resources import BINDINGS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=BINDINGS,
    definition="io.k8s.api.core.v1.Binding",
    singular="binding",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
)
