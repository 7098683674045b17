"""StatefulSet: pods with stable names and storage."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import STATEFULSETS
from steersman.schema.columns import AGE, NAME, computed, containers, value_at
from steersman.schema.groups.core.claimspec import default_claim_template
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.kind import Kind
from steersman.schema.subresources import SCALE, STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.get("template"))
    for claim in spec.get("volumeClaimTemplates") or ():
        default_claim_template(claim)
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = spec.get("updateStrategy")
    if strategy is None:
        strategy = spec["updateStrategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        if strategy.get("rollingUpdate") is None:
            strategy["rollingUpdate"] = {}
    rolling = strategy.get("rollingUpdate")
    if strategy["type"] == "RollingUpdate" and rolling is not None and rolling.get("partition") is None:
        rolling["partition"] = 0
    retention = spec.get("persistentVolumeClaimRetentionPolicy")
    if retention is None:
        retention = spec["persistentVolumeClaimRetentionPolicy"] = {}
    for when in ("whenDeleted", "whenScaled"):
        if not retention.get(when):
            retention[when] = "Retain"
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    status.setdefault("replicas", 0)
    status.setdefault("availableReplicas", 0)


def _ready(obj: Object, now: float) -> str:
    return f"{value_at(obj, 'status', 'readyReplicas') or 0}/{value_at(obj, 'spec', 'replicas') or 0}"


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
    default=default,
    columns=(
        NAME,
        computed("Ready", _ready, description="Number of the pod with ready state"),
        AGE,
        *containers("spec", "template"),
    ),
)
