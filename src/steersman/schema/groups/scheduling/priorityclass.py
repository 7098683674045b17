"""PriorityClass: a name for a priority of pods."""

from __future__ import annotations

from steersman.meta.resources import PRIORITYCLASSES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=PRIORITYCLASSES,
    definition="io.k8s.api.scheduling.v1.PriorityClass",
    singular="priorityclass",
    short_names=("pc",),
    storage_prefix="priorityclasses",
)
