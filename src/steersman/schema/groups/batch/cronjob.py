"""CronJob: jobs by the clock."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import CRONJOBS
from steersman.schema.cells import NONE, UNSET, age
from steersman.schema.columns import AGE, NAME, computed, containers, length, selector, text, value_at
from steersman.schema.groups.batch.jobspec import default_job_spec
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    if spec.get("suspend") is None:
        spec["suspend"] = False
    if spec.get("successfulJobsHistoryLimit") is None:
        spec["successfulJobsHistoryLimit"] = 3
    if spec.get("failedJobsHistoryLimit") is None:
        spec["failedJobsHistoryLimit"] = 1
    template = spec.get("jobTemplate")
    if template is not None:
        if template.get("metadata") is None:
            template["metadata"] = {}
        default_job_spec(template.setdefault("spec", {}))
    if obj.get("status") is None:
        obj["status"] = {}


def _suspended(obj: Object, now: float) -> str:
    suspended = value_at(obj, "spec", "suspend")
    return UNSET if suspended is None else str(suspended)


def _last_schedule(obj: Object, now: float) -> str:
    last = value_at(obj, "status", "lastScheduleTime")
    return age(last, now) if last else NONE


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
    default=default,
    columns=(
        NAME,
        text("Schedule", "spec", "schedule", documented_by="io.k8s.api.batch.v1.CronJobSpec/schedule"),
        text("Timezone", "spec", "timeZone", empty=NONE, documented_by="io.k8s.api.batch.v1.CronJobSpec/timeZone"),
        computed("Suspend", _suspended, type="boolean", documented_by="io.k8s.api.batch.v1.CronJobSpec/suspend"),
        length("Active", ("status", "active"), documented_by="io.k8s.api.batch.v1.CronJobStatus/active"),
        computed("Last Schedule", _last_schedule, documented_by="io.k8s.api.batch.v1.CronJobStatus/lastScheduleTime"),
        AGE,
        *containers("spec", "jobTemplate", "spec", "template"),
        selector("spec", "jobTemplate", "spec", "selector", documented_by="io.k8s.api.batch.v1.JobSpec/selector"),
    ),
)
