"""CronJob: jobs by the clock."""

from __future__ import annotations

from steersman.meta.resources import CRONJOBS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=CRONJOBS,
    definition="io.k8s.api.batch.v1.CronJob",
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="cronjobs",
    has_status=True,
    counts_generation=True,
)
