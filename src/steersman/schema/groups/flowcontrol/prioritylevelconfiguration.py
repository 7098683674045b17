"""PriorityLevelConfiguration: how many requests of a level run at once."""

from __future__ import annotations

from steersman.meta.resources import PRIORITYLEVELCONFIGURATIONS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=PRIORITYLEVELCONFIGURATIONS,
    definition="io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    singular="prioritylevelconfiguration",
    subresources=(STATUS,),
    storage_prefix="prioritylevelconfigurations",
    has_status=True,
    counts_generation=True,
)
