"""StatefulSet: pods with stable names and storage."""

from __future__ import annotations

from steersman.meta.resources import STATEFULSETS
from steersman.schema.kind import Kind
from steersman.schema.subresources import SCALE, STATUS

KIND = Kind(
    resource=STATEFULSETS,
    definition="io.k8s.api.apps.v1.StatefulSet",
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    subresources=(
        SCALE,
        STATUS,
    ),
    storage_prefix="statefulsets",
    has_status=True,
    counts_generation=True,
)
