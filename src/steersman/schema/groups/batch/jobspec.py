"""The specification of a Job, as in Jobs and in the templates of CronJobs."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.schema.groups.core.podspec.defaults import default_pod_template

_LARGEST_INT32 = 2**31 - 1


def default_job_spec(spec: Object) -> None:
    """What Jobs and job templates alike get."""
    default_pod_template(spec.get("template"))
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"


def default_running_job_spec(spec: Object) -> None:
    """What only Jobs themselves get; the templates of CronJobs stay as they were written."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    if spec.get("parallelism") is None:
        spec["parallelism"] = 1
    if spec.get("backoffLimit") is None:
        spec["backoffLimit"] = 6 if spec.get("backoffLimitPerIndex") is None else _LARGEST_INT32
    if not spec.get("completionMode"):
        spec["completionMode"] = "NonIndexed"
    if spec.get("suspend") is None:
        spec["suspend"] = False
    if not spec.get("podReplacementPolicy"):
        spec["podReplacementPolicy"] = "Failed" if spec.get("podFailurePolicy") is not None else "TerminatingOrFailed"
    if spec.get("manualSelector") is None:
        spec["manualSelector"] = False
