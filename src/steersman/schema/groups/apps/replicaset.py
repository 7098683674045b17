"""ReplicaSet: keeps a number of pods running."""

from __future__ import annotations

from steersman.meta.resources import REPLICASETS
from steersman.schema.kind import Kind
from steersman.schema.subresources import SCALE, STATUS

KIND = Kind(
    resource=REPLICASETS,
    definition="io.k8s.api.apps.v1.ReplicaSet",
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    subresources=(
        SCALE,
        STATUS,
    ),
    storage_prefix="replicasets",
    has_status=True,
    counts_generation=True,
)
