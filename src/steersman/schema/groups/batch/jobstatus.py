"""Status of a Job. A rule that the old status breaks already does not stand in the way of a later update."""

from __future__ import annotations

from typing import Any

from steersman.meta.errors import OMITTED, FieldError, duplicate, invalid, required
from steersman.meta.objects import Object, is_true
from steersman.schema.groups.batch.jobpolicies import IndexesError, parse_indexes
from steersman.schema.rules import Errors, check_counts

_CONDITIONS = "status.conditions"


def job_status_errors(new: Object, old: Object) -> list[FieldError]:
    known = {(error.field, error.detail) for error in _state_errors(old)}
    errors = [error for error in _state_errors(new) if (error.field, error.detail) not in known]
    status, before = new.get("status") or {}, old.get("status") or {}
    errors.extend(
        _condition(f"cannot disable the terminal {kind}=True condition")
        for kind in ("Failed", "Complete", "FailureTarget")
        if is_true(old, kind) and not is_true(new, kind)
    )
    for name in ("failed", "succeeded"):
        if (status.get(name) or 0) < (before.get(name) or 0):
            detail = f"cannot decrease the {name} counter"
            errors.append(invalid(f"status.{name}", status.get(name) or 0, detail))
    completed, was = status.get("completionTime"), before.get("completionTime")
    if completed and was and completed != was:
        errors.append(invalid("status.completionTime", completed, "field is immutable"))
    is_suspended = bool((new.get("spec") or {}).get("suspend"))
    started = before.get("startTime")
    if started and started != status.get("startTime") and not is_suspended:
        detail = "field is immutable for unsuspended job once set"
        errors.append(invalid("status.startTime", status.get("startTime"), detail))
    if is_true(old, "SuccessCriteriaMet") and not is_true(new, "SuccessCriteriaMet"):
        errors.append(_condition("cannot disable the SuccessCriteriaMet=True condition"))
    if is_true(old, "Complete") and not is_true(old, "SuccessCriteriaMet") and is_true(new, "SuccessCriteriaMet"):
        detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        errors.append(_condition(detail))
    return errors


def _condition(detail: str) -> FieldError:
    return invalid(_CONDITIONS, OMITTED, detail)


def _state_errors(job: Object) -> list[FieldError]:
    errors: Errors = []
    status = job.get("status") or {}
    check_counts(errors, status, "status", "active", "succeeded", "failed", "ready", "terminating")
    _check_uncounted(errors, status.get("uncountedTerminatedPods") or {})
    _check_conditions(errors, job)
    _check_times(errors, job, status)
    if is_true(job, "Complete") or is_true(job, "Failed"):
        _check_finished(errors, status)
    _check_indexes(errors, job, status)
    ready = status.get("ready")
    if ready is not None and ready > (status.get("active") or 0):
        errors.append(invalid("status.ready", ready, "cannot set more ready pods than active"))
    return errors


def _check_uncounted(errors: Errors, pods: Object) -> None:
    seen: set[Any] = set()
    for name in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(name) or ()):
            path = f"status.uncountedTerminatedPods.{name}[{index}]"
            if not uid:
                errors.append(invalid(path, uid, "must not be empty"))
            elif uid in seen:
                errors.append(duplicate(path, uid))
            seen.add(uid)


def _check_conditions(errors: Errors, job: Object) -> None:
    holds = {kind: is_true(job, kind) for kind in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")}
    if holds["Complete"] and holds["Failed"]:
        errors.append(_condition("cannot set Complete=True and Failed=true conditions"))
    if holds["Complete"] and holds["FailureTarget"]:
        errors.append(_condition("cannot set Complete=True and FailureTarget=true conditions"))
    if holds["Failed"] and not holds["FailureTarget"]:
        errors.append(_condition("cannot set Failed=True condition without the FailureTarget=true condition"))
    if holds["Complete"] and not holds["SuccessCriteriaMet"]:
        detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        errors.append(_condition(detail))
    if holds["SuccessCriteriaMet"] and holds["Failed"]:
        errors.append(_condition("cannot set SuccessCriteriaMet=True and Failed=true conditions"))
    if holds["SuccessCriteriaMet"] and holds["FailureTarget"]:
        errors.append(_condition("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"))


def _check_times(errors: Errors, job: Object, status: Object) -> None:
    started, completed, path = status.get("startTime"), status.get("completionTime"), "status.completionTime"
    if completed and not is_true(job, "Complete"):
        detail = "cannot set completionTime when there is no Complete=True condition"
        errors.append(invalid(path, completed, detail))
    if not completed and is_true(job, "Complete"):
        errors.append(required(path, "completionTime is required for Complete jobs"))
    if started and completed and completed < started:
        errors.append(invalid(path, completed, "must be equal to or after `startTime`"))


def _check_finished(errors: Errors, status: Object) -> None:
    if status.get("active"):
        errors.append(invalid("status.active", status["active"], "active>0 is invalid for finished job"))
    if not status.get("startTime"):
        errors.append(required("status.startTime", "startTime is required for finished job"))
    uncounted = status.get("uncountedTerminatedPods") or {}
    if uncounted.get("failed") or uncounted.get("succeeded"):
        detail = "must be empty for finished job"
        errors.append(invalid("status.uncountedTerminatedPods", uncounted, detail))
    if status.get("terminating"):
        detail = "terminating>0 is invalid for finished job"
        errors.append(invalid("status.terminating", status["terminating"], detail))


def _check_indexes(errors: Errors, job: Object, status: Object) -> None:
    spec = job.get("spec") or {}
    completions = spec.get("completions")
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    if completed and spec.get("completionMode") != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.append(invalid("status.completedIndexes", completed, detail))
    if failed is not None and spec.get("backoffLimitPerIndex") is None:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.append(invalid("status.failedIndexes", failed, detail))
    if completions is None:
        return
    parsed = []
    for name, text in (("completedIndexes", completed), ("failedIndexes", failed or "")):
        try:
            parsed.append(parse_indexes(text, completions))
        except IndexesError as error:
            errors.append(invalid(f"status.{name}", text, f"error parsing {name}: {error}"))
            return
    for low, high in parsed[0]:
        for first, last in parsed[1]:
            if low <= last and first <= high:
                detail = f"failedIndexes and completedIndexes overlap at index: {max(low, first)}"
                errors.append(invalid("status.failedIndexes", failed, detail))
                return
