"""The specification of a Job, as in Jobs and in the templates of CronJobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import invalid, not_supported, required, too_long
from steersman.meta.names import subdomain_errors
from steersman.meta.objects import Object
from steersman.schema.groups.batch.jobpolicies import check_failure_policy, check_success_policy
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.groups.core.podspec.specification import check_pod_template
from steersman.schema.rules import Errors, check_counts, check_name, check_optional_choice

_LARGEST_INT32 = 2**31 - 1
_MANY, _MANY_WITH_BACKOFF = 100_000, 10_000
_MANAGER_LENGTH = 63
_URL_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", re.ASCII)
COMPLETION_MODES = ("NonIndexed", "Indexed")
REPLACEMENT_POLICIES = ("Failed", "TerminatingOrFailed")
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)


def default_job_spec(spec: Object) -> None:
    """What Jobs and job templates alike get."""
    default_pod_template(spec.setdefault("template", {}))
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


def check_job_spec(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    """Rules of Jobs and job templates alike."""
    check_counts(errors, spec, path, *_COUNTS)
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if spec.get("managedBy") is not None:
        _check_manager(errors, spec["managedBy"], f"{path}.managedBy")
    check_optional_choice(errors, spec.get("completionMode"), f"{path}.completionMode", COMPLETION_MODES)
    if spec.get("completionMode") == "Indexed":
        _check_indexed(errors, spec, path)
    else:
        errors.extend(
            invalid(f"{path}.{name}", spec[name], "requires indexed completion mode")
            for name in ("backoffLimitPerIndex", "maxFailedIndexes")
            if spec.get(name) is not None
        )
    if spec.get("podFailurePolicy") is not None:
        check_failure_policy(errors, spec, f"{path}.podFailurePolicy.rules")
    if spec.get("successPolicy") is not None:
        check_success_policy(errors, spec, f"{path}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else REPLACEMENT_POLICIES
        check_optional_choice(errors, replacement, f"{path}.podReplacementPolicy", allowed)
    check_pod_template(errors, spec.get("template"), f"{path}.template")
    if spec.get("template") is not None:
        _check_restart_policy(errors, spec, f"{path}.template.spec.restartPolicy")


def _check_restart_policy(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    policy = (spec["template"].get("spec") or {}).get("restartPolicy") or ""
    if policy in ("", "Always"):
        errors.append(required(path, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors.append(not_supported(path, policy, ("OnFailure", "Never")))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        errors.append(invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified'))


def _check_manager(errors: Errors, name: str, path: str) -> None:
    domain, slash, rest = name.partition("/")
    if not name:
        errors.append(required(path))
    elif not slash or not domain or not rest:
        errors.append(invalid(path, name, 'must be a domain-prefixed path (such as "acme.io/foo")'))
    else:
        check_name(errors, domain, path, subdomain_errors)
        if _URL_PATH.fullmatch(rest) is None:
            errors.append(invalid(path, rest, f"Invalid path (regex used for validation is '{_URL_PATH.pattern}')"))
    if len(name) > _MANAGER_LENGTH:
        errors.append(too_long(path, _MANAGER_LENGTH))


def _check_indexed(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    completions, parallelism = spec.get("completions"), spec.get("parallelism") or 0
    failed = spec.get("maxFailedIndexes")
    if completions is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
        completions = 0
    elif failed is not None and failed > completions:
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"))
    if parallelism > _MANY:
        detail = f"must be less than or equal to {_MANY} when completion mode is Indexed"
        errors.append(invalid(f"{path}.parallelism", parallelism, detail))
    if failed is not None and failed > _MANY:
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {_MANY}"))
    if completions <= _MANY or spec.get("backoffLimitPerIndex") is None:
        return
    detail = (
        f"must be less than or equal to {_MANY_WITH_BACKOFF} when completions are above {_MANY} and used with backoff limit per "
        "index"
    )
    if failed is None:
        errors.append(required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {_MANY}"))
    elif failed > _MANY_WITH_BACKOFF:
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, detail))
    if parallelism > _MANY_WITH_BACKOFF:
        errors.append(invalid(f"{path}.parallelism", parallelism, detail))
