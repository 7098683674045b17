"""Scale: the number of replicas of a workload, as its ``scale`` subresource shows it. It is stored nowhere."""

from __future__ import annotations

from steersman.meta.resources import Resource
from steersman.schema.columns import AGE, NAME, count
from steersman.schema.kind import Kind

_API = "io.k8s.api.autoscaling.v1"

KIND = Kind(
    resource=Resource(group="autoscaling", version="v1", kind="Scale", plural="scales", namespaced=True),
    definition=f"{_API}.Scale",
    singular="scale",
    storage_prefix="",
    is_stored=False,
    columns=(
        NAME,
        count("Desired", "spec", "replicas", documented_by=f"{_API}.ScaleSpec/replicas"),
        count("Available", "status", "replicas", documented_by=f"{_API}.ScaleStatus/replicas"),
        AGE,
    ),
)
