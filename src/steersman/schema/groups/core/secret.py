"""Secret: data that must not be shown around."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import SECRETS
from steersman.schema.columns import AGE, NAME, length, text
from steersman.schema.kind import Kind
from steersman.schema.selectable import text_at


def default(obj: Object) -> None:
    if not obj.get("type"):
        obj["type"] = "Opaque"


KIND = Kind(
    resource=SECRETS,
    definition="io.k8s.api.core.v1.Secret",
    singular="secret",
    storage_prefix="secrets",
    selectable_fields={"type": text_at("type")},
    default=default,
    columns=(
        NAME,
        text("Type", "type", documented_by="io.k8s.api.core.v1.Secret/type"),
        length("Data", ("data",), type="string", documented_by="io.k8s.api.core.v1.Secret/data"),
        AGE,
    ),
)
