"""IPAddress: an address in use by a Service."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import IPADDRESSES
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, value_at
from steersman.schema.kind import Kind


def _parent(obj: Object, now: float) -> str:
    parent = value_at(obj, "spec", "parentRef")
    if parent is None:
        return NONE
    resource = (
        f"{parent.get('resource') or ''}.{parent['group']}" if parent.get("group") else parent.get("resource") or ""
    )
    space = f"/{parent['namespace']}" if parent.get("namespace") else ""
    return f"{resource.lower()}{space}/{parent.get('name') or ''}"


KIND = Kind(
    resource=IPADDRESSES,
    definition="io.k8s.api.networking.v1.IPAddress",
    singular="ipaddress",
    short_names=("ip",),
    storage_prefix="ipaddresses",
    columns=(
        NAME,
        computed("ParentRef", _parent, documented_by="io.k8s.api.networking.v1.IPAddressSpec/parentRef"),
        AGE,
    ),
)
