"""FlowSchema: which requests go to which priority level."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import FLOWSCHEMAS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000
    if obj.get("status") is None:
        obj["status"] = {}


KIND = Kind(
    resource=FLOWSCHEMAS,
    definition="io.k8s.api.flowcontrol.v1.FlowSchema",
    singular="flowschema",
    subresources=(STATUS,),
    storage_prefix="flowschemas",
    has_status=True,
    counts_generation=True,
    default=default,
)
