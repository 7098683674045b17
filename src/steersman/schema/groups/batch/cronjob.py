"""CronJob: jobs by the clock."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid, not_supported, required
from steersman.meta.objects import Object
from steersman.meta.resources import CRONJOBS
from steersman.schema.cells import NONE, UNSET, age
from steersman.schema.columns import AGE, NAME, computed, containers, length, selector, text, value_at
from steersman.schema.groups.batch.jobspec import check_job_spec, default_job_spec
from steersman.schema.groups.batch.schedule import schedule_errors, time_zone_errors
from steersman.schema.groups.core.podspec.warnings import workload_update_warnings, workload_warnings
from steersman.schema.kind import Kind
from steersman.schema.rules import check_choice, check_counts, check_name
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


CONCURRENCY_POLICIES = ("Allow", "Forbid", "Replace")
_NAME_LENGTH = 52
"""Jobs of a CronJob append eleven characters."""


def prepare_create(obj: Object) -> None:
    obj["status"] = {}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    if not spec.get("schedule"):
        errors.append(required("spec.schedule"))
    else:
        check_name(errors, spec["schedule"], "spec.schedule", schedule_errors)
    check_counts(
        errors, spec, "spec", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"
    )
    check_choice(errors, spec.get("concurrencyPolicy"), "spec.concurrencyPolicy", CONCURRENCY_POLICIES)
    _check_template(errors, (spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")
    return errors


def _check_template(errors: list[FieldError], spec: Object, path: str) -> None:
    check_job_spec(errors, spec, path)
    if spec.get("selector") is not None:
        errors.append(invalid(f"{path}.selector", spec["selector"], "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        errors.append(not_supported(f"{path}.manualSelector", True, ("nil", "false")))


def validate_create(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    name = (obj.get("metadata") or {}).get("name") or ""
    if len(name) > _NAME_LENGTH:
        errors.append(invalid("metadata.name", name, f"must be no more than {_NAME_LENGTH} characters"))
    _check_zone(errors, obj.get("spec") or {}, had_zone=False)
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    had_zone = "TZ" in (before.get("schedule") or "")
    if spec.get("timeZone") != before.get("timeZone") or not had_zone:
        _check_zone(errors, spec, had_zone=had_zone)
    return errors


def _check_zone(errors: list[FieldError], spec: Object, *, had_zone: bool) -> None:
    schedule, zone = spec.get("schedule") or "", spec.get("timeZone")
    if "TZ" in schedule and not had_zone:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid("spec.schedule", schedule, detail))
    elif "TZ" in schedule and zone is not None:
        detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        errors.append(invalid("spec.schedule", schedule, detail))
    if zone is not None:
        check_name(errors, zone, "spec.timeZone", time_zone_errors)


def update_warnings(new: Object, old: Object) -> list[str]:
    """A schedule that names its time zone itself is an error of new objects only."""
    found = workload_update_warnings(new, old)
    if "TZ" in (value_at(new, "spec", "schedule") or ""):
        found.append(
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )
    return found


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
    prepare_create=prepare_create,
    validate=validate,
    validate_create=validate_create,
    validate_update=validate_update,
    warnings=workload_warnings,
    update_warnings=update_warnings,
)
