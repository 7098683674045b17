"""DaemonSet: a pod on every matching node."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import DAEMONSETS
from steersman.schema.columns import AGE, NAME, computed, containers, count, format_labels, selector, value_at
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.get("template"))
    strategy = spec.get("updateStrategy")
    if strategy is None:
        strategy = spec["updateStrategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            rolling = strategy["rollingUpdate"] = {}
        if rolling.get("maxUnavailable") is None:
            rolling["maxUnavailable"] = 1
        if rolling.get("maxSurge") is None:
            rolling["maxSurge"] = 0
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    for name in ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"):
        status.setdefault(name, 0)


KIND = Kind(
    resource=DAEMONSETS,
    definition="io.k8s.api.apps.v1.DaemonSet",
    singular="daemonset",
    short_names=("ds",),
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="daemonsets",
    has_status=True,
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        count(
            "Desired",
            "status",
            "desiredNumberScheduled",
            documented_by="io.k8s.api.apps.v1.DaemonSetStatus/desiredNumberScheduled",
        ),
        count(
            "Current",
            "status",
            "currentNumberScheduled",
            documented_by="io.k8s.api.apps.v1.DaemonSetStatus/currentNumberScheduled",
        ),
        count("Ready", "status", "numberReady", documented_by="io.k8s.api.apps.v1.DaemonSetStatus/numberReady"),
        count(
            "Up-to-date",
            "status",
            "updatedNumberScheduled",
            documented_by="io.k8s.api.apps.v1.DaemonSetStatus/updatedNumberScheduled",
        ),
        count(
            "Available", "status", "numberAvailable", documented_by="io.k8s.api.apps.v1.DaemonSetStatus/numberAvailable"
        ),
        computed(
            "Node Selector",
            lambda obj, now: format_labels(value_at(obj, "spec", "template", "spec", "nodeSelector")),
            documented_by="io.k8s.api.core.v1.PodSpec/nodeSelector",
        ),
        AGE,
        *containers("spec", "template"),
        selector("spec", "selector", documented_by="io.k8s.api.apps.v1.DaemonSetSpec/selector"),
    ),
)
