"""ReplicationController: keeps a number of pods running; superseded by ReplicaSet."""

from __future__ import annotations

from steersman.meta.resources import REPLICATIONCONTROLLERS
from steersman.schema.kind import Kind
from steersman.schema.selectable import count_at
from steersman.schema.subresources import SCALE, STATUS

KIND = Kind(
    resource=REPLICATIONCONTROLLERS,
    definition="io.k8s.api.core.v1.ReplicationController",
    singular="replicationcontroller",
    short_names=("rc",),
    categories=("all",),
    subresources=(
        SCALE,
        STATUS,
    ),
    storage_prefix="controllers",
    selectable_fields={"status.replicas": count_at("status", "replicas")},
    has_status=True,
    counts_generation=True,
)
