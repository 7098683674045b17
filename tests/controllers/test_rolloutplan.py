"""Deployment, as a value: from ReplicaSets as they are to what is written, for each strategy and moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from steersman.controllers import rollout
from steersman.controllers.rolloutplan import plan
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS
from tests.controllers.builders import pod, template, workload

NOW_S = 1_000_000.0
CREATED = {name: times.format_time(at) for at, name in enumerate(("a", "b", "c", "older", "old", "new"))}


def deployment(replicas: int = 10, surge: int | str = 0, unavailable: int | str = 0, **spec: Any) -> Object:
    made = workload(DEPLOYMENTS, replicas=replicas, **spec)
    made["metadata"] |= {"uid": "d", "generation": 1}
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    made["spec"].setdefault("strategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
    return made


def replicaset(
    name: str, size: int, available: int | None = None, *, new: bool = False, desired: int | None = None, **status: Any
) -> Object:
    """Of the present template where it is ``new``."""
    made = template()
    if not new:
        made["spec"]["containers"] = [{"name": "main", "image": f"example/{name}"}]
    count = size if available is None else available
    annotations = {"deployment.kubernetes.io/revision": "9" if new else "1"}
    if desired is not None:
        annotations |= {rollout.DESIRED_REPLICAS: str(desired), rollout.MAX_REPLICAS: str(desired)}
    return {
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "uid": name, "annotations": annotations, "generation": 1, "creationTimestamp": CREATED[name]},
        "spec": {"replicas": size, "template": made},
        "status": {"replicas": size, "readyReplicas": count, "availableReplicas": count, "observedGeneration": 1, **status},
    }  # fmt: skip


def sizes(owner: Object, sets: Sequence[Object], **pods: Sequence[Object]) -> dict[str, int]:
    """What each ReplicaSet is resized to."""
    todo = plan(owner, sets, pods, NOW_S)
    found = {objects.name(entry.replicaset): rollout.replicas_of(entry.replicaset) for entry in todo.resize}
    before = {objects.name(rs): rollout.replicas_of(rs) for rs in sets}
    return {name: size for name, size in found.items() if size != before[name]}


@pytest.mark.parametrize(
    ("owner", "old", "new", "expected"),
    [
        (deployment(10, surge=0, unavailable=2), (10, 10), (0, 0), {"old": 8}),
        (deployment(10, surge=2, unavailable=0), (10, 10), (0, 0), {"new": 2}),
        (deployment(10, surge=2, unavailable=0), (10, 10), (2, 0), {}),
        (deployment(10, surge=2, unavailable=0), (10, 10), (2, 2), {"old": 8}),
        (deployment(10, surge=2, unavailable=0), (8, 8), (2, 2), {"new": 4}),
        (deployment(10, surge="25%", unavailable="25%"), (10, 10), (0, 0), {"new": 3}),
        (deployment(10, surge=0, unavailable=0), (10, 10), (0, 0), {"old": 9}),
        (deployment(10, surge=0, unavailable=2), (8, 8), (2, 0), {}),
        (deployment(10, surge=0, unavailable=2), (8, 6), (2, 0), {}),
        (deployment(10, surge=0, unavailable=2), (8, 7), (2, 2), {"old": 6}),
        (deployment(10, surge=0, unavailable=2), (10, 6), (0, 0), {"old": 8}),
        (deployment(10, surge=10, unavailable=0), (0, 0), (0, 0), {"new": 10}),
        (deployment(0, surge=2, unavailable=0), (0, 0), (3, 3), {"new": 0}),
        (deployment(1, surge="25%", unavailable="25%"), (1, 1), (0, 0), {"new": 1}),
        (deployment(1, surge="25%", unavailable="25%"), (1, 1), (1, 1), {"old": 0}),
    ],
)
def test_one_step_of_a_rolling_update(
    owner: Object, old: tuple[int, int], new: tuple[int, int], expected: dict[str, int]
) -> None:
    assert sizes(owner, [replicaset("old", *old), replicaset("new", *new, new=True)]) == expected


@pytest.mark.parametrize(
    ("replicas", "before", "sets", "expected"),
    [
        (10, 5, [("new", 5)], {"new": 10}),
        (5, 10, [("new", 10)], {"new": 5}),
        (20, 10, [("new", 5), ("old", 5)], {"new": 10, "old": 10}),
        (5, 10, [("new", 5), ("old", 5)], {"new": 3, "old": 2}),
        (10, 10, [("new", 5), ("old", 5)], {"old": 4}),
        (0, 10, [("new", 5), ("old", 5)], {"new": 0, "old": 0}),
        (100, 10, [("new", 5), ("old", 3), ("older", 2)], {"new": 50, "old": 30, "older": 20}),
        (7, 0, [("new", 0), ("old", 0)], {"new": 7}),
    ],
)
def test_a_resize_is_shared_out_in_proportion(
    replicas: int, before: int, sets: list[tuple[str, int]], expected: dict[str, int]
) -> None:
    owner = deployment(replicas, surge=0, unavailable=1)
    found = [replicaset(name, size, new=name == "new", desired=before) for name, size in sets]
    assert sizes(owner, found) == expected


RECREATE = {"type": "Recreate"}


@pytest.mark.parametrize(
    ("old", "pods", "expected"),
    [
        (3, {}, {"old": 0}),
        (0, {"old": [pod(status={"phase": "Running"})]}, {}),
        (0, {"old": [pod(status={"phase": "Succeeded"})]}, {"new": 3}),
        (0, {"new": [pod(status={"phase": "Running"})]}, {"new": 3}),
        (0, {}, {"new": 3}),
    ],
)
def test_recreate_waits_for_the_last_old_pod(old: int, pods: dict[str, list[Object]], expected: dict[str, int]) -> None:
    owner = deployment(3, strategy=RECREATE)
    assert sizes(owner, [replicaset("old", old, 0), replicaset("new", 0, new=True)], **pods) == expected


def test_recreate_makes_the_new_set_only_then() -> None:
    owner = deployment(3, strategy=RECREATE)
    assert plan(owner, [replicaset("old", 0, 0, replicas=1)], {}, NOW_S).create is None
    created = plan(owner, [replicaset("old", 0)], {}, NOW_S).create
    assert created is not None
    assert rollout.replicas_of(created) == 3


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, []), (0, ["a", "b"]), (1, ["a", "b"]), (2, ["a"]), (3, []), (2**31 - 1, [])]
)
def test_history_beyond_its_limit_goes_oldest_first(limit: int | None, expected: list[str]) -> None:
    """Those that still have pods count, but stay."""
    owner = deployment(1, unavailable=1, **({} if limit is None else {"revisionHistoryLimit": limit}))
    owner["status"] = {"updatedReplicas": 1, "replicas": 1, "availableReplicas": 1, "observedGeneration": 1}
    sets = [replicaset("a", 0), replicaset("b", 0), replicaset("c", 0, replicas=1), replicaset("new", 1, new=True)]
    sets[1]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "2"
    sets[2]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "3"
    assert [objects.name(rs) for rs in plan(owner, sets, {}, NOW_S).delete] == expected


def progressing(reason: str, status: str = "True", seconds_ago: float = 0.0) -> Object:
    at = times.format_time(NOW_S - seconds_ago)
    return {"type": "Progressing", "status": status, "reason": reason, "lastUpdateTime": at, "lastTransitionTime": at}


COMPLETE = {"updatedReplicas": 2, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2}


@pytest.mark.parametrize(
    ("owner", "condition", "available", "expected"),
    [
        ({}, None, 2, ("True", "NewReplicaSetAvailable", 'ReplicaSet "new" has successfully progressed.')),
        ({}, None, 0, ("True", "ReplicaSetUpdated", 'ReplicaSet "new" is progressing.')),
        ({}, progressing("ReplicaSetUpdated"), 1, ("True", "ReplicaSetUpdated", 'ReplicaSet "new" is progressing.')),
        ({}, progressing("ReplicaSetUpdated", seconds_ago=601), 0,
         ("False", "ProgressDeadlineExceeded", 'ReplicaSet "new" has timed out progressing.')),
        ({}, progressing("ReplicaSetUpdated", seconds_ago=599), 0, ("True", "ReplicaSetUpdated", None)),
        ({}, progressing("ProgressDeadlineExceeded", "False", 700), 2,
         ("True", "NewReplicaSetAvailable", 'ReplicaSet "new" has successfully progressed.')),
        ({}, progressing("NewReplicaSetAvailable", seconds_ago=700), 1, ("True", "NewReplicaSetAvailable", None)),
        ({"paused": True}, progressing("ReplicaSetUpdated"), 1, ("Unknown", "DeploymentPaused", "Deployment is paused")),
        ({"paused": True}, progressing("ProgressDeadlineExceeded", "False"), 1, ("False", "ProgressDeadlineExceeded", None)),
        ({}, progressing("DeploymentPaused", "Unknown"), 0, ("Unknown", "DeploymentResumed", "Deployment is resumed")),
        ({"progressDeadlineSeconds": 2**31 - 1}, progressing("ReplicaSetUpdated"), 1, None),
    ],
)  # fmt: skip
def test_what_the_progressing_condition_says(
    owner: Object, condition: Object | None, available: int, expected: tuple[str, str, str | None] | None
) -> None:
    made = deployment(2, unavailable=1, **{"progressDeadlineSeconds": 600, **owner})
    if condition is not None:
        made["status"] = {**COMPLETE, "availableReplicas": 0, "readyReplicas": 0, "conditions": [condition]}
    todo = plan(made, [replicaset("new", 2, available, new=True, desired=2)], {}, NOW_S)
    status = (todo.status or made)["status"]
    found = next((entry for entry in status["conditions"] if entry["type"] == "Progressing"), None)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert (found["status"], found["reason"]) == expected[:2]
    assert expected[2] in (None, found.get("message"))


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (8, ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")),
        (7, ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")),
    ],
)
def test_what_the_available_condition_says(available: int, expected: tuple[str, str, str]) -> None:
    todo = plan(deployment(10, unavailable=2), [replicaset("new", 10, available, new=True)], {}, NOW_S)
    assert todo.status is not None
    found = next(entry for entry in todo.status["status"]["conditions"] if entry["type"] == "Available")
    assert (found["status"], found["reason"], found["message"]) == expected


def test_a_failure_of_a_replicaset_is_passed_on_and_taken_back() -> None:
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "no more",
        "lastTransitionTime": "x",
    }
    failing = replicaset("new", 2, 0, new=True, conditions=[failure])
    todo = plan(deployment(2, unavailable=1), [failing], {}, NOW_S)
    assert todo.status is not None
    found = next(entry for entry in todo.status["status"]["conditions"] if entry["type"] == "ReplicaFailure")
    assert (found["status"], found["reason"], found["message"]) == ("True", "FailedCreate", "no more")
    again = plan(todo.status, [replicaset("new", 2, 0, new=True)], {}, NOW_S)
    assert again.status is not None
    assert all(entry["type"] != "ReplicaFailure" for entry in again.status["status"]["conditions"])


def test_two_steps_of_one_replicaset_are_told_one_by_one() -> None:
    """Unhealthy pods go first, healthy ones as far as availability allows: one write, two events, as upstream has two of each."""
    owner = deployment(10, surge=2, unavailable=2)
    todo = plan(owner, [replicaset("old", 8, 7), replicaset("new", 4, 4, new=True)], {}, NOW_S)
    resized = next(entry for entry in todo.resize if objects.name(entry.replicaset) == "old")
    assert rollout.replicas_of(resized.replicaset) == 4
    assert [event.message for event in resized.events] == [
        "Scaled down replica set old from 8 to 7",
        "Scaled down replica set old from 7 to 4",
    ]


def test_a_deployment_that_is_being_deleted_only_reports() -> None:
    owner = objects.with_metadata(deployment(5), deletionTimestamp="2026-01-01T00:00:00Z")
    todo = plan(owner, [replicaset("old", 3), replicaset("new", 1, new=True)], {}, NOW_S)
    assert (todo.create, todo.delete, todo.events) == (None, [], [])
    assert sizes(owner, [replicaset("old", 3), replicaset("new", 1, new=True)]) == {}
    assert todo.status is not None
    assert todo.status["status"]["replicas"] == 4


def test_revisions_rise_and_are_remembered() -> None:
    old, new = replicaset("old", 1), replicaset("new", 1, new=True)
    old["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "12"
    todo = plan(deployment(2, unavailable=1), [old, new], {}, NOW_S)
    changed = next(entry.replicaset for entry in todo.resize if objects.name(entry.replicaset) == "new")
    annotations = objects.annotations(changed)
    assert annotations["deployment.kubernetes.io/revision"] == "13"
    assert annotations["deployment.kubernetes.io/revision-history"] == "9"
