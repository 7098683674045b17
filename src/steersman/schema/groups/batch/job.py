"""Job: pods that run to completion."""

from __future__ import annotations

from typing import Any

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.names import label_errors
from steersman.meta.objects import Object, is_deleting, is_true, uid
from steersman.meta.objects import name as name_of
from steersman.meta.resources import JOBS
from steersman.meta.selectors import SelectorError, label_selector_of
from steersman.meta.times import parse_time
from steersman.schema import goforms
from steersman.schema.cells import human_duration
from steersman.schema.columns import AGE, NAME, computed, containers, selector, value_at
from steersman.schema.groups.batch.jobspec import check_job_spec, default_job_spec, default_running_job_spec
from steersman.schema.groups.batch.jobstatus import job_status_errors
from steersman.schema.groups.core.podspec.warnings import workload_update_warnings, workload_warnings
from steersman.schema.groups.core.workloads import check_selector_matches
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable, check_label_selector
from steersman.schema.selectable import count_at
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_job_spec(spec)
    default_running_job_spec(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    metadata = obj.setdefault("metadata", {})
    if labels and not metadata.get("labels"):
        metadata["labels"] = labels  # the very ones: ``prepare_create`` sees by that whose they are
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


_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name")
_UID_LABEL = "batch.kubernetes.io/controller-uid"


def _own_labels(obj: Object) -> dict[str, str]:
    own_uid, own_name = uid(obj), name_of(obj)
    return {label: own_uid if label.endswith("controller-uid") else own_name for label in _LABELS}


def prepare_create(obj: Object) -> None:
    """A Job selects its pods by its own uid unless the user took that over. It has its pods' labels if it was given none."""
    obj["status"] = {}
    spec = obj["spec"]
    if spec.get("manualSelector"):
        return
    template = spec.get("template") or {}
    metadata = template.get("metadata") or {}
    labels = {**_own_labels(obj), **(metadata.get("labels") or {})}
    own = obj["metadata"].get("labels")
    if not own or own is metadata.get("labels"):
        obj["metadata"]["labels"] = dict(labels)
    spec["template"] = {**template, "metadata": {**metadata, "labels": labels}}
    selector = spec.get("selector") or {}
    spec["selector"] = {**selector, "matchLabels": {_UID_LABEL: uid(obj), **(selector.get("matchLabels") or {})}}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_job_spec(errors, spec, "spec")
    if spec.get("selector") is None:
        errors.append(required("spec.selector"))
    else:
        check_label_selector(errors, spec["selector"], "spec.selector")
    check_selector_matches(errors, spec, invalid_selector=None)
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        longest = f"{name_of(obj)}-{completions - 1}"
        if label_errors(longest):
            detail = f"will not able to create pod with invalid DNS label: {longest}"
            errors.append(invalid("metadata.name", name_of(obj), detail))
    return errors


def validate_created(obj: Object) -> list[FieldError]:
    return _generated_selector_errors(obj) + validate(obj)


def _generated_selector_errors(obj: Object) -> list[FieldError]:
    """The selector is the one that was generated."""
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    if spec.get("manualSelector") or spec.get("selector") is None:
        return errors
    expected = _own_labels(obj)
    labels = value_at(spec, "template", "metadata", "labels") or {}
    for label, value in expected.items():
        path = f"spec.template.metadata.labels[{label}]"
        if label not in labels:
            errors.append(required(path, f"must be '{value}'"))
        elif labels[label] != value:
            errors.append(invalid(path, labels, f"must be '{value}'"))
    try:
        if not label_selector_of(spec["selector"]).matches(expected):
            shown = goforms.label_selector(spec["selector"])
            errors.append(invalid("spec.selector", shown, "`selector` not auto-generated"))
    except (SelectorError, KeyError):
        return errors
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    completions = spec.get("completions")
    if spec.get("completionMode") != "Indexed":
        check_immutable(errors, completions, before.get("completions"), "spec.completions")
    elif completions not in (None, before.get("completions"), spec.get("parallelism")):
        detail = "can only be modified in tandem with spec.parallelism"
        errors.append(invalid("spec.completions", completions, detail))
    check_immutable(errors, spec.get("selector"), before.get("selector"), "spec.selector", shown=goforms.label_selector)
    _check_template(errors, spec.get("template") or {}, before.get("template") or {}, may_change=_is_parked(old))
    for field in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        check_immutable(errors, spec.get(field), before.get(field), f"spec.{field}")
    return errors


def _shown_template(template: Object) -> Any:
    return goforms.internal("core.v1.PodTemplateSpec", template)


def _is_parked(job: Object) -> bool:
    """Suspended, and nothing of it runs: its template may still be fitted to where it will run."""
    status = job.get("status") or {}
    is_waiting = not status.get("startTime") or is_true(job, "Suspended")
    return bool(value_at(job, "spec", "suspend")) and is_waiting and not status.get("active")


def _check_template(errors: list[FieldError], new: Object, old: Object, *, may_change: bool) -> None:
    if not may_change:
        check_immutable(errors, new, old, "spec.template", shown=_shown_template)
        return
    pod, before = dict(new.get("spec") or {}), old.get("spec") or {}
    for field in ("nodeSelector", "tolerations", "schedulingGates"):
        pod[field] = before.get(field)
    affinity = {**(pod.get("affinity") or {}), "nodeAffinity": value_at(before, "affinity", "nodeAffinity")}
    pod["affinity"] = affinity
    for group in ("containers", "initContainers"):
        if len(pod.get(group) or ()) == len(before.get(group) or ()):
            pod[group] = [
                {**entry, "resources": was.get("resources")} if entry.get("name") == was.get("name") else entry
                for entry, was in zip(pod.get(group) or (), before.get(group) or (), strict=True)
            ]
    check_immutable(errors, _without_absent(pod), _without_absent(before), "spec.template.spec")


def _without_absent(value: Any) -> Any:
    """Nulls and what is empty without them left out, so that a field put back as absent equals one that was never there."""
    if isinstance(value, dict):
        kept = {key: _without_absent(entry) for key, entry in value.items()}
        return {key: entry for key, entry in kept.items() if entry is not None and entry != {} and entry != []}
    return [_without_absent(entry) for entry in value] if isinstance(value, list) else value


KIND = Kind(
    resource=JOBS,
    definition="io.k8s.api.batch.v1.Job",
    singular="job",
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="jobs",
    selectable_fields={"status.successful": count_at("status", "succeeded")},
    unselectable='field label "{field}" not supported for Job',
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
    prepare_create=prepare_create,
    validate=validate,
    validate_created=validate_created,
    validate_update=validate_update,
    validate_status_update=job_status_errors,
    warnings=workload_warnings,
    update_warnings=workload_update_warnings,
)
