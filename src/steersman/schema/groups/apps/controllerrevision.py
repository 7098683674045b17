"""ControllerRevision: an immutable snapshot of a workload's state, for rollbacks."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import CONTROLLERREVISIONS
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    if obj.get("revision") is None:
        obj["revision"] = 0


KIND = Kind(
    resource=CONTROLLERREVISIONS,
    definition="io.k8s.api.apps.v1.ControllerRevision",
    singular="controllerrevision",
    storage_prefix="controllerrevisions",
    default=default,
)
