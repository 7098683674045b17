"""Job: pods that run to completion."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import JOBS
from steersman.schema.groups.batch.jobspec import default_job_spec, default_running_job_spec
from steersman.schema.kind import Kind
from steersman.schema.selectable import count_at
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_job_spec(spec)
    default_running_job_spec(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    metadata = obj.setdefault("metadata", {})
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)
    if obj.get("status") is None:
        obj["status"] = {}


KIND = Kind(
    resource=JOBS,
    definition="io.k8s.api.batch.v1.Job",
    singular="job",
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="jobs",
    selectable_fields={"status.successful": count_at("status", "succeeded")},
    has_status=True,
    counts_generation=True,
    default=default,
)
