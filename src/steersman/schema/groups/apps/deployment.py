"""Deployment: pods that are replaced in a rolling way, through ReplicaSets."""

from __future__ import annotations

from steersman.meta.resources import DEPLOYMENTS
from steersman.schema.kind import Kind
from steersman.schema.subresources import SCALE, STATUS

KIND = Kind(
    resource=DEPLOYMENTS,
    definition="io.k8s.api.apps.v1.Deployment",
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    subresources=(
        SCALE,
        STATUS,
    ),
    storage_prefix="deployments",
    has_status=True,
    counts_generation=True,
)
