"""ControllerRevision: an immutable snapshot of a workload's state, for rollbacks."""

from __future__ import annotations

from steersman.meta.resources import CONTROLLERREVISIONS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=CONTROLLERREVISIONS,
    definition="io.k8s.api.apps.v1.ControllerRevision",
    singular="controllerrevision",
    storage_prefix="controllerrevisions",
)
