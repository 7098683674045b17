"""Deployment: pods that are replaced in a rolling way, through ReplicaSets."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS
from steersman.schema.columns import AGE, NAME, computed, containers, count, selector, value_at
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.kind import Kind
from steersman.schema.subresources import SCALE, STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.get("template"))
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    strategy = spec.get("strategy")
    if strategy is None:
        strategy = spec["strategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            rolling = strategy["rollingUpdate"] = {}
        if rolling.get("maxUnavailable") is None:
            rolling["maxUnavailable"] = "25%"
        if rolling.get("maxSurge") is None:
            rolling["maxSurge"] = "25%"
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    if spec.get("progressDeadlineSeconds") is None:
        spec["progressDeadlineSeconds"] = 600
    if obj.get("status") is None:
        obj["status"] = {}


def _ready(obj: Object, now: float) -> str:
    return f"{value_at(obj, 'status', 'readyReplicas') or 0}/{value_at(obj, 'spec', 'replicas') or 0}"


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
    default=default,
    columns=(
        NAME,
        computed("Ready", _ready, description="Number of the pod with ready state"),
        count(
            "Up-to-date",
            "status",
            "updatedReplicas",
            type="string",
            documented_by="io.k8s.api.apps.v1.DeploymentStatus/updatedReplicas",
        ),
        count(
            "Available",
            "status",
            "availableReplicas",
            type="string",
            documented_by="io.k8s.api.apps.v1.DeploymentStatus/availableReplicas",
        ),
        AGE,
        *containers("spec", "template"),
        selector("spec", "selector", documented_by="io.k8s.api.apps.v1.DeploymentSpec/selector"),
    ),
)
