"""ReplicaSet: keeps a number of pods running."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import REPLICASETS
from steersman.schema.columns import AGE, NAME, containers, count, selector
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.kind import Kind
from steersman.schema.subresources import SCALE, STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    default_pod_template(spec.get("template"))
    if obj.get("status") is None:
        obj["status"] = {"replicas": 0}


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
    default=default,
    columns=(
        NAME,
        count("Desired", "spec", "replicas", documented_by="io.k8s.api.apps.v1.ReplicaSetSpec/replicas"),
        count("Current", "status", "replicas", documented_by="io.k8s.api.apps.v1.ReplicaSetStatus/replicas"),
        count("Ready", "status", "readyReplicas", documented_by="io.k8s.api.apps.v1.ReplicaSetStatus/readyReplicas"),
        AGE,
        *containers("spec", "template"),
        selector("spec", "selector", documented_by="io.k8s.api.apps.v1.ReplicaSetSpec/selector"),
    ),
)
