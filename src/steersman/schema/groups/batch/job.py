"""Job: pods that run to completion."""

from __future__ import annotations

from steersman.meta.resources import JOBS
from steersman.schema.kind import Kind
from steersman.schema.selectable import count_at
from steersman.schema.subresources import STATUS

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
)
