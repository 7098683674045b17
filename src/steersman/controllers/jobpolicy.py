"""When a Job's pod counts as failed, when the Job fails or succeeds early, and how long to wait before another try.

Source: "Pod failure policy", "Success policy", "Backoff limit per index" and "Pod replacement policy" in the Job documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.controllers.jobindexes import Indexes
from steersman.controllers.pods import finished_s, phase
from steersman.meta import objects
from steersman.meta.objects import Object

COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURE_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count"
TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
FIRST_BACKOFF_S = 10.0
LONGEST_BACKOFF_S = 600.0


class Verdict(Struct, frozen=True, kw_only=True):
    """What the pod failure policy says of a failed pod."""

    counts: bool = True
    fails_index: bool = False
    fails_job: str = ""
    """The message of the Job's failure; empty: it does not fail by this."""


class Backoff(Struct, frozen=True, kw_only=True):
    """Failures since the last success, and when the last of them was."""

    failures: int = 0
    last_failure_s: float = 0.0

    def left_s(self, now_s: float) -> float:
        """How long new pods have to wait still: 10 s, doubled with each failure, at most ten minutes."""
        return _backoff_left_s(self.failures, self.last_failure_s, now_s)

    def after(self, succeeded: Sequence[Object], failed: Sequence[Object]) -> Backoff:
        """The record once these pods have ended."""
        ends = sorted(finished_s(pod) for pod in failed)
        if not succeeded:
            return Backoff(failures=self.failures + len(ends), last_failure_s=ends[-1]) if ends else self
        last_success_s = max(finished_s(pod) for pod in succeeded)
        since = [end_s for end_s in ends if end_s > last_success_s]
        return Backoff(failures=len(since), last_failure_s=since[-1]) if since else Backoff()


def _backoff_left_s(failures: int, last_failure_s: float, now_s: float) -> float:
    if not failures:
        return 0.0
    backoff_s = min(FIRST_BACKOFF_S * float(2 ** min(failures - 1, 10)), LONGEST_BACKOFF_S)
    return max(backoff_s - (now_s - last_failure_s), 0.0)


def index_backoff_left_s(failed: Object | None, now_s: float) -> float:
    """As ``Backoff.left_s`` for one index, whose failures are counted in the annotations of its last failed pod."""
    return _backoff_left_s(index_failures(failed) + 1, finished_s(failed), now_s) if failed is not None else 0.0


def is_indexed(job: Mapping[str, Any]) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_suspended(job: Mapping[str, Any]) -> bool:
    return bool(job["spec"].get("suspend"))


def is_finished(job: Mapping[str, Any]) -> bool:
    return objects.is_true(job, "Complete") or objects.is_true(job, "Failed")


def replaces_only_failed(job: Mapping[str, Any]) -> bool:
    """A pod that is being deleted is replaced only once it has ended."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy") is not None


def is_tracked(pod: Mapping[str, Any]) -> bool:
    return TRACKING_FINALIZER in objects.finalizers(pod)


def has_failed(pod: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    found = phase(pod)
    if found == "Failed":
        return True
    return not replaces_only_failed(job) and objects.is_deleting(pod) and found != "Succeeded"


def index_of(pod: Mapping[str, Any]) -> int | None:
    text = objects.annotations(pod).get(COMPLETION_INDEX, "")
    return int(text) if text.isdecimal() else None


def _count(pod: Mapping[str, Any], annotation: str) -> int:
    text = objects.annotations(pod).get(annotation, "")
    return int(text) if text.isdecimal() else 0


def index_failures(pod: Mapping[str, Any]) -> int:
    """Failures of the pod's index before it, the ignored ones too."""
    return _count(pod, FAILURE_COUNT) + _count(pod, IGNORED_FAILURE_COUNT)


def next_failure_counts(job: Mapping[str, Any], replaced: Object | None) -> tuple[int, int]:
    """(counted, ignored) failures of an index, for the annotations of the pod that replaces ``replaced``."""
    if replaced is None:
        return 0, 0
    counts = verdict(job, replaced).counts
    return _count(replaced, FAILURE_COUNT) + counts, _count(replaced, IGNORED_FAILURE_COUNT) + (not counts)


def verdict(job: Mapping[str, Any], pod: Mapping[str, Any]) -> Verdict:
    """The first rule of the pod failure policy that fits the failed ``pod``; without one it counts."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for position, rule in enumerate(rules):
        text = _matched(rule, pod)
        if text is None:
            continue
        action = rule["action"]
        if action == "FailJob":
            return Verdict(fails_job=f"{text} matching FailJob rule at index {position}")
        return Verdict(counts=action != "Ignore", fails_index=action == "FailIndex")
    return Verdict()


def _matched(rule: Mapping[str, Any], pod: Mapping[str, Any]) -> str | None:
    """What of ``pod`` fits ``rule``, in the words of the Job's failure message."""
    status, key = pod.get("status") or {}, f"{objects.namespace(pod)}/{objects.name(pod)}"
    codes = rule.get("onExitCodes")
    if codes is not None:
        for entry in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
            code = ((entry.get("state") or {}).get("terminated") or {}).get("exitCode")
            if not code or codes.get("containerName") not in (None, entry["name"]):
                continue
            if (code in codes["values"]) is (codes["operator"] == "In"):
                return f"Container {entry['name']} for pod {key} failed with exit code {code}"
        return None
    for entry in status.get("conditions") or ():
        for pattern in rule.get("onPodConditions") or ():
            if entry["type"] == pattern["type"] and entry["status"] == pattern.get("status", "True"):
                return f"Pod {key} has condition {entry['type']}"
    return None


def index_has_failed(job: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """``pod`` was the last try of its index."""
    if not has_failed(pod, job):
        return False
    said = verdict(job, pod)
    return said.fails_index or (said.counts and _count(pod, FAILURE_COUNT) >= job["spec"]["backoffLimitPerIndex"])


def success_rule(job: Mapping[str, Any], succeeded: Indexes) -> str | None:
    """The message of the first rule of the success policy that is met."""
    completions = job["spec"].get("completions") or 0
    if not len(succeeded):
        return None
    for position, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        count = rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            needed = Indexes.parse(rule["succeededIndexes"], completions)
            if not len(needed):
                continue
            have = needed.overlap(succeeded)
            met = have == len(needed) or (count is not None and have >= count)
        else:
            met = count is not None and len(succeeded) >= count
        if met:
            return f"Matched rules at index {position}"
    return None


def restarts_exceed_limit(job: Mapping[str, Any], pods: Iterable[Object]) -> bool:
    """With restartPolicy OnFailure the container restarts of running pods count against the backoff limit."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    total = 0
    for pod in pods:
        if phase(pod) in ("Running", "Pending"):
            status = pod.get("status") or {}
            for field in ("initContainerStatuses", "containerStatuses"):
                total += sum(entry.get("restartCount", 0) for entry in status.get(field) or ())
    limit = job["spec"].get("backoffLimit", 6)
    return total > 0 if limit == 0 else bool(total >= limit)
