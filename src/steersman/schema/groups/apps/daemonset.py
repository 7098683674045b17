"""DaemonSet: a pod on every matching node."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import DAEMONSETS
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
    for count in ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"):
        status.setdefault(count, 0)


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
)
