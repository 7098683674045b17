"""RuntimeClass: which container runtime configuration pods may ask for."""

from __future__ import annotations

from steersman.meta.resources import RUNTIMECLASSES
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.kind import Kind

KIND = Kind(
    resource=RUNTIMECLASSES,
    definition="io.k8s.api.node.v1.RuntimeClass",
    singular="runtimeclass",
    storage_prefix="runtimeclasses",
    allows_create_on_update=True,
    allows_unconditional_update=False,
    columns=(
        NAME,
        text("Handler", "handler", documented_by="io.k8s.api.node.v1.RuntimeClass/handler"),
        AGE,
    ),
)
