"""Job, as a value: counting, verdicts, which pods come and go. Cases follow upstream's unit tests of the job controller."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.jobpolicy import COMPLETION_INDEX, FAILURE_COUNT, TRACKING_FINALIZER, Backoff
from steersman.controllers.kinds.job import plan, pod_of
from steersman.meta import objects, times
from steersman.meta.objects import Object
from tests.controllers.builders import pod, template

NOW_S = 1_000_000.0


def job(completions: int | None = 1, parallelism: int = 1, status: Object | None = None, **spec: Any) -> Object:
    made = {
        "template": template({}, restartPolicy=spec.pop("restartPolicy", "Never")),
        "parallelism": parallelism,
        **spec,
    }
    if completions is not None:
        made["completions"] = completions
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "namespace": "default", "uid": "j"},
        "spec": {"backoffLimit": 6, **made}, "status": status or {},
    }  # fmt: skip


def member(
    name: str, phase: str = "Running", *, index: int | None = None, tracked: bool = True, deleted: bool = False,
    code: int = 1, failures: int | None = None, ready: bool = True, seconds_ago: float = 1000, conditions: list[Object] | None = None,
) -> Object:  # fmt: skip
    metadata: Object = {"uid": name, "annotations": {}, "finalizers": [TRACKING_FINALIZER] if tracked else []}
    if index is not None:
        metadata["annotations"][COMPLETION_INDEX] = str(index)
    if failures is not None:
        metadata["annotations"][FAILURE_COUNT] = str(failures)
    if deleted:
        metadata["deletionTimestamp"] = times.format_time(NOW_S)
    status: Object = {"phase": phase, "conditions": conditions or []}
    if phase == "Running" and ready:
        status["conditions"] = [{"type": "Ready", "status": "True"}]
    if phase in ("Succeeded", "Failed"):
        ended = {"exitCode": code if phase == "Failed" else 0, "finishedAt": times.format_time(NOW_S - seconds_ago)}
        status["containerStatuses"] = [{"name": "main", "restartCount": 0, "state": {"terminated": ended}}]
    return pod(name, metadata=metadata, status=status)


def members(phase: str, *names: str, **fields: Any) -> list[Object]:
    return [member(name, phase, **fields) for name in names]


INDEXED: dict[str, Any] = {"completionMode": "Indexed"}
OLD_FAILURE = {"status": {"failed": 6}}


@pytest.mark.parametrize(
    ("found", "pods", "creates", "deletes"),
    [
        (job(5, 2), [], 2, 0),
        (job(None, 2), [], 2, 0),
        (job(5, 2), members("Running", "a", "b"), 0, 0),
        (job(5, 2), members("Running", "a", "b", "c"), 0, 1),
        (job(5, 2), members("Running", "a"), 1, 0),
        (job(5, 0), members("Running", "a", "b"), 0, 2),
        (job(5, 5, {"succeeded": 3}), members("Running", "a"), 1, 0),
        (job(5, 5), members("Succeeded", "a", "b", "c", "d"), 1, 0),
        (job(5, 5, {"succeeded": 4}), members("Running", "a", "b"), 0, 1),
        (job(None, 2, {"succeeded": 1}), members("Running", "a"), 0, 0),
        (job(None, 3), [member("a", "Succeeded"), *members("Running", "b")], 0, 0),
        (job(5, 2, suspend=True), members("Running", "a", "b"), 0, 2),
        (job(2, 2), [member("a", deleted=True)], 0, 0),
        (job(2, 2), [member("a", deleted=True, seconds_ago=0)], 0, 0),
        (job(2, 2, podReplacementPolicy="Failed"), [member("a", deleted=True)], 1, 0),
        (job(1000, 1000), [], 500, 0),
        (job(3, 3, **INDEXED), [member("a", index=0), member("b", index=0), member("c", index=7)], 0, 2),
        (job(3, 3, **INDEXED), [member("a", index=1)], 2, 0),
    ],
)
def test_which_pods_come_and_go(found: Object, pods: list[Object], creates: int, deletes: int) -> None:
    todo = plan(found, pods, Backoff(), NOW_S)
    assert (len(todo.create), len(todo.delete)) == (creates, deletes)
    assert plan(found, pods, Backoff(), NOW_S, starts_and_stops=False).create == []


@pytest.mark.parametrize(
    ("found", "pods", "indexes"),
    [
        (job(5, 5, **INDEXED), [], [0, 1, 2, 3, 4]),
        (job(5, 2, **INDEXED), [], [0, 1]),
        (job(5, 5, {"completedIndexes": "0,2"}, **INDEXED), [], [1, 3, 4]),
        (job(5, 5, {"completedIndexes": "0-3"}, **INDEXED), [member("a", index=4)], []),
        (job(5, 3, {"completedIndexes": "1"}, **INDEXED), [member("a", index=0)], [2, 3]),
        (job(3, 3, {"failedIndexes": "1"}, backoffLimitPerIndex=1, **INDEXED), [], [0, 2]),
        (job(2, 2, podReplacementPolicy="Failed", **INDEXED), [member("a", index=0, deleted=True)], [1]),
        (job(2, 2, podReplacementPolicy="TerminatingOrFailed", **INDEXED), [member("a", index=0, deleted=True, tracked=False)], [0, 1]),
        (job(2, 2, {"completedIndexes": "nonsense,1"}, **INDEXED), [], [0]),
        (job(3, 3, {"completedIndexes": "1,5-9"}, **INDEXED), [], [0, 2]),
    ],
)  # fmt: skip
def test_which_indexes_start(found: Object, pods: list[Object], indexes: list[int]) -> None:
    assert [entry.index for entry in plan(found, pods, Backoff(), NOW_S).create] == indexes


FAIL_42 = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
IGNORE_DISRUPTED = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
FAIL_INDEX = {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [3]}}
DISRUPTED = [{"type": "DisruptionTarget", "status": "True"}]


def policy(*rules: Object) -> Object:
    return {"podFailurePolicy": {"rules": list(rules)}}


def rule(*rules: Object) -> Object:
    return {"successPolicy": {"rules": list(rules)}}


@pytest.mark.parametrize(
    ("found", "pods", "reason"),
    [
        (job(1, 1, {"failed": 6}), [], ""),
        (job(1, 1, {"failed": 7}), [], "BackoffLimitExceeded"),
        (job(1, 1, {"failed": 6}), members("Failed", "a"), "BackoffLimitExceeded"),
        (job(1, 1, backoffLimit=0), members("Failed", "a"), "BackoffLimitExceeded"),
        (job(1, 1, {"startTime": times.format_time(NOW_S - 10)}, activeDeadlineSeconds=10), [], "DeadlineExceeded"),
        (job(1, 1, {"startTime": times.format_time(NOW_S - 9)}, activeDeadlineSeconds=10), [], ""),
        (job(1, 1, {"startTime": times.format_time(NOW_S - 99)}, activeDeadlineSeconds=10, suspend=True), [], ""),
        (job(1, 1, **policy(FAIL_42)), [member("a", "Failed", code=42)], "PodFailurePolicy"),
        (job(1, 1, **policy(FAIL_42)), [member("a", "Failed", code=41)], ""),
        (job(1, 1, backoffLimit=0, **policy(IGNORE_DISRUPTED)), [member("a", "Failed", conditions=DISRUPTED)], ""),
        (job(1, 1, backoffLimit=0, **policy(IGNORE_DISRUPTED)), [member("a", "Failed")], "BackoffLimitExceeded"),
        (job(1, 1, backoffLimit=0, **policy(FAIL_42)), [member("a", deleted=True)], ""),
        (job(2, 2, **policy(FAIL_INDEX), backoffLimitPerIndex=5, **INDEXED),
         [member("a", "Failed", index=0), member("b", "Succeeded", index=1)], "FailedIndexes"),
        (job(2, 2, **policy(FAIL_INDEX), backoffLimitPerIndex=5, **INDEXED),
         [member("a", "Failed", index=0, code=3), member("b", "Succeeded", index=1)], ""),
        (job(2, 2, backoffLimitPerIndex=1, **INDEXED), [member("a", "Failed", index=0, failures=0)], ""),
        (job(2, 2, backoffLimitPerIndex=1, maxFailedIndexes=0, **INDEXED), [member("a", "Failed", index=0, failures=1)],
         "MaxFailedIndexesExceeded"),
        (job(3, 3, backoffLimitPerIndex=0, maxFailedIndexes=1, **INDEXED), [member("a", "Failed", index=0)], ""),
        (job(3, 3, {"failedIndexes": "0", "completedIndexes": "1,2"}, backoffLimitPerIndex=0, **INDEXED), [], "FailedIndexes"),
        (job(5, 5, {"completedIndexes": "1"}, **rule({"succeededIndexes": "0,1", "succeededCount": 1}), **INDEXED), [],
         "SuccessPolicy"),
        (job(5, 5, {"completedIndexes": "1"}, **rule({"succeededIndexes": "0,1"}), **INDEXED), [], ""),
        (job(5, 5, {"completedIndexes": "0-1"}, **rule({"succeededIndexes": "0,1"}), **INDEXED), [], "SuccessPolicy"),
        (job(5, 5, {"completedIndexes": "3-4"}, **rule({"succeededCount": 2}), **INDEXED), [], "SuccessPolicy"),
        (job(5, 5, {"completedIndexes": "3"}, **rule({"succeededCount": 2}, {"succeededIndexes": "3"}), **INDEXED), [],
         "SuccessPolicy"),
        (job(5, 5, {"failed": 7}, **rule({"succeededCount": 1}), **INDEXED), [member("a", "Succeeded", index=0)],
         "BackoffLimitExceeded"),
        (job(1), members("Succeeded", "a"), "CompletionsReached"),
        (job(1), [*members("Succeeded", "a"), *members("Running", "b")], "CompletionsReached"),
        (job(None, 2), [*members("Succeeded", "a"), *members("Running", "b")], ""),
        (job(None, 2), members("Succeeded", "a"), "CompletionsReached"),
        (job(0), [], "CompletionsReached"),
        (job(2, 2, {"completedIndexes": "0-1"}, **INDEXED), [], "CompletionsReached"),
        (job(2, 2, {"completedIndexes": "0-9"}, **INDEXED), [], "CompletionsReached"),
    ],
)  # fmt: skip
def test_how_a_job_ends(found: Object, pods: list[Object], reason: str) -> None:
    todo = plan(found, pods, Backoff(), NOW_S)
    status = (todo.status or found)["status"]
    verdicts = {"SuccessCriteriaMet", "FailureTarget"}
    reasons = {entry.get("reason") for entry in status.get("conditions") or () if entry["type"] in verdicts}
    assert reasons == ({reason} if reason else set())


def test_the_message_names_the_rule_that_was_met() -> None:
    found = job(5, 5, {"completedIndexes": "3"}, **rule({"succeededCount": 2}, {"succeededIndexes": "3"}), **INDEXED)
    todo = plan(found, [], Backoff(), NOW_S)
    assert todo.status is not None
    assert todo.status["status"]["conditions"][0]["message"] == "Matched rules at index 1"


@pytest.mark.parametrize(("restarts", "limit", "fails"), [(5, 6, False), (6, 6, True), (0, 0, False), (1, 0, True)])
def test_restarts_of_containers_count_where_they_are_restarted(restarts: int, limit: int, fails: bool) -> None:
    found = member("a")
    found["status"]["containerStatuses"] = [{"name": "main", "restartCount": restarts, "state": {}}]
    todo = plan(job(1, 1, restartPolicy="OnFailure", backoffLimit=limit), [found], Backoff(), NOW_S)
    assert bool(todo.delete) is fails


@pytest.mark.parametrize(
    ("pods", "before", "wait_s"),
    [
        (members("Failed", "a", seconds_ago=4), Backoff(), 6),
        (members("Failed", "a", "b", seconds_ago=4), Backoff(), 16),
        (members("Failed", "a", seconds_ago=0), Backoff(failures=2, last_failure_s=NOW_S - 90), 40),
        (members("Failed", "a", seconds_ago=0), Backoff(failures=50), 600),
        (
            [*members("Failed", "a", seconds_ago=9), *members("Succeeded", "b", seconds_ago=5)],
            Backoff(failures=9),
            None,
        ),
        ([*members("Failed", "a", seconds_ago=3), *members("Succeeded", "b", seconds_ago=5)], Backoff(failures=9), 7),
        (members("Failed", "a", seconds_ago=11), Backoff(), None),
    ],
)
def test_how_long_a_new_try_waits(pods: list[Object], before: Backoff, wait_s: float | None) -> None:
    todo = plan(job(5, 1, backoffLimit=99), pods, before, NOW_S)
    assert todo.requeue_after_s == wait_s
    assert bool(todo.create) is (wait_s is None)


@pytest.mark.parametrize(("failures", "ago_s", "starts"), [(0, 9, False), (0, 10, True), (1, 19, False), (1, 20, True)])
def test_each_index_waits_for_itself(failures: int, ago_s: float, starts: bool) -> None:
    failed = member("a", "Failed", index=0, failures=failures, seconds_ago=ago_s)
    found = job(2, 2, backoffLimitPerIndex=5, **INDEXED)
    todo = plan(found, [failed], Backoff(), NOW_S)
    assert [entry.index for entry in todo.create] == ([0, 1] if starts else [1])
    assert todo.untrack == []
    if starts:
        annotations = objects.annotations(pod_of(found, todo.create[0]))
        assert annotations[FAILURE_COUNT] == str(failures + 1)


@pytest.mark.parametrize(
    ("pods", "status", "first", "second", "untracked"),
    [
        (members("Succeeded", "a"), {}, ({"succeeded": ["a"]}, 0, 0), ({}, 1, 0), ["a"]),
        (members("Failed", "a"), {}, ({"failed": ["a"]}, 0, 0), ({}, 0, 1), ["a"]),
        ([], {"uncountedTerminatedPods": {"succeeded": ["gone"]}}, ({}, 1, 0), ({}, 1, 0), []),
        (members("Succeeded", "a"), {"uncountedTerminatedPods": {"succeeded": ["a"]}}, ({"succeeded": ["a"]}, 0, 0), ({}, 1, 0), ["a"]),
        (members("Succeeded", "a", tracked=False), {"succeeded": 1}, ({}, 1, 0), ({}, 1, 0), []),
        (members("Failed", "a", tracked=False), {"failed": 1}, ({}, 0, 1), ({}, 0, 1), []),
        ([member("a", deleted=True)], {}, ({"failed": ["a"]}, 0, 0), ({}, 0, 1), ["a"]),
    ],
)  # fmt: skip
def test_each_pod_is_counted_once(
    pods: list[Object],
    status: Object,
    first: tuple[Object, int, int],
    second: tuple[Object, int, int],
    untracked: list[str],
) -> None:
    """First listed, then let go, then counted."""
    found = job(9, 1, {"startTime": times.format_time(NOW_S), **status}, backoffLimit=99)
    todo = plan(found, pods, Backoff(), NOW_S)
    listed = (todo.status or found)["status"]
    counted = (todo.counted or todo.status or found)["status"]
    for found_status, (uncounted, succeeded, failed) in ((listed, first), (counted, second)):
        assert found_status.get("uncountedTerminatedPods", {}) == uncounted
        assert (found_status.get("succeeded", 0), found_status.get("failed", 0)) == (succeeded, failed)
    assert [objects.name(entry) for entry in todo.untrack] == untracked


def test_no_more_than_500_pods_are_counted_at_once_and_none_is_lost() -> None:
    pods = members("Succeeded", *(f"p{number}" for number in range(501)))
    todo = plan(job(501, 501), pods, Backoff(), NOW_S)
    assert len(todo.untrack) == 500
    assert todo.counted is not None
    assert todo.counted["status"]["succeeded"] == 500
    assert todo.finished == []


def test_a_job_is_finished_only_when_no_pod_is_terminating() -> None:
    terminating = member("b", deleted=True, tracked=False)
    done = job(1, 1, podReplacementPolicy="Failed")
    assert plan(done, [*members("Succeeded", "a"), terminating], Backoff(), NOW_S).finished == []
    assert [event.reason for event in plan(done, members("Succeeded", "a"), Backoff(), NOW_S).finished] == ["Completed"]


@pytest.mark.parametrize(
    ("suspend", "conditions", "start", "expected"),
    [
        (False, [], None, ([], True, [])),
        (True, [], None, ([("Suspended", "True", "JobSuspended")], False, ["Suspended"])),
        (True, [], NOW_S - 60, ([("Suspended", "True", "JobSuspended")], False, ["Suspended"])),
        (False, [("Suspended", "True", "JobSuspended", "Job suspended")], None,
         ([("Suspended", "False", "JobResumed")], True, ["Resumed"])),
        (False, [("Suspended", "False", "JobResumed", "Job resumed")], NOW_S,
         ([("Suspended", "False", "JobResumed")], True, [])),
    ],
)  # fmt: skip
def test_suspending_and_resuming(
    suspend: bool, conditions: list[tuple[str, ...]], start: float | None, expected: tuple[Any, bool, list[str]]
) -> None:
    entries = [dict(zip(("type", "status", "reason", "message"), entry, strict=True)) for entry in conditions]
    status: Object = {"conditions": entries} | ({"startTime": times.format_time(start)} if start is not None else {})
    todo = plan(job(1, 1, status, suspend=suspend), [], Backoff(), NOW_S)
    found = (todo.status or {"status": status})["status"]
    said = [(entry["type"], entry["status"], entry["reason"]) for entry in found.get("conditions") or ()]
    assert (said, "startTime" in found, [event.reason for event in todo.events]) == expected


def test_what_the_server_refused_is_not_counted_as_done() -> None:
    """Creation failed: the status says what is there, and nothing ends."""
    running = members("Running", "a", "b")
    todo = plan(job(5, 3, {"failed": 7}), running, Backoff(), NOW_S, starts_and_stops=False)
    assert todo.status is not None
    assert todo.status["status"]["active"] == 2
    assert "conditions" not in todo.status["status"]
    assert (todo.delete, todo.create) == ([], [])
