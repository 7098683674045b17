"""FlowSchema: which requests go to which priority level."""

from __future__ import annotations

from steersman.meta.resources import FLOWSCHEMAS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=FLOWSCHEMAS,
    definition="io.k8s.api.flowcontrol.v1.FlowSchema",
    singular="flowschema",
    subresources=(STATUS,),
    storage_prefix="flowschemas",
    has_status=True,
    counts_generation=True,
)
