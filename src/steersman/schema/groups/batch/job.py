"""Job: pods that run to completion."""

from __future__ import annotations

from steersman.meta.objects import Object, is_deleting, is_true
from steersman.meta.resources import JOBS
from steersman.meta.times import parse_time
from steersman.schema.cells import human_duration
from steersman.schema.columns import AGE, NAME, computed, containers, selector, value_at
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


def _status(obj: Object, now: float) -> str:
    if is_true(obj, "Complete"):
        return "Complete"
    if is_true(obj, "Failed"):
        return "Failed"
    if is_deleting(obj):
        return "Terminating"
    found = (word for word in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if is_true(obj, word))
    return next(found, "Running")


def _completions(obj: Object, now: float) -> str:
    spec, succeeded = obj.get("spec") or {}, value_at(obj, "status", "succeeded") or 0
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(obj: Object, now: float) -> str:
    started, ended = value_at(obj, "status", "startTime"), value_at(obj, "status", "completionTime")
    if not started:
        return ""
    return human_duration((parse_time(ended) if ended else now) - parse_time(started))


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
    columns=(
        NAME,
        computed("Status", _status, description="Status of the job."),
        computed("Completions", _completions, documented_by="io.k8s.api.batch.v1.JobStatus/succeeded"),
        computed("Duration", _duration, description="Time required to complete the job."),
        AGE,
        *containers("spec", "template"),
        selector("spec", "selector", documented_by="io.k8s.api.batch.v1.JobSpec/selector"),
    ),
)
