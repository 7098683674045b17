"""ReplicaSet and ReplicationController, as a value: how many pods come, which go first, and what the status says."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.pods import DELETION_COST, deletion_order
from steersman.controllers.replicas import BURST, Failure, plan, status_of
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import REPLICASETS
from tests.controllers.builders import pod, workload

NOW_S = 1_000_000.0


def owner(replicas: int | None = 2, **fields: Any) -> Object:
    made = workload(REPLICASETS)
    if replicas is not None:
        made["spec"]["replicas"] = replicas
    return {**made, "metadata": {**made["metadata"], "generation": 3, **fields.pop("metadata", {})}, **fields}


def replica(
    name: str, *, node: str = "n1", phase: str = "Running", ready_s: float | None = 10, created_s: float = 5, restarts: int = 0, cost: str = ""
) -> Object:  # fmt: skip
    metadata: Object = {"uid": name, "creationTimestamp": times.format_time(NOW_S - created_s)}
    if cost:
        metadata["annotations"] = {DELETION_COST: cost}
    conditions = []
    if ready_s is not None:
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": times.format_time(NOW_S - ready_s)}]
    statuses = [{"name": "main", "restartCount": restarts}]
    status = {"phase": phase, "conditions": conditions, "containerStatuses": statuses}
    return pod(name, metadata=metadata, spec={"nodeName": node} if node else {}, status=status)


@pytest.mark.parametrize(
    ("found", "active", "creates", "deletes"),
    [
        (owner(2), 0, 2, 0),
        (owner(None), 0, 1, 0),
        (owner(2), 2, 0, 0),
        (owner(2), 5, 0, 3),
        (owner(0), 3, 0, 3),
        (owner(2000), 0, BURST, 0),
        (owner(0), 2000, 0, BURST),
        (owner(2, metadata={"deletionTimestamp": times.format_time(NOW_S)}), 0, 0, 0),
        (owner(0, metadata={"deletionTimestamp": times.format_time(NOW_S)}), 3, 0, 0),
    ],
)
def test_how_many_come_and_go(found: Object, active: int, creates: int, deletes: int) -> None:
    pods = [replica(f"p{number}") for number in range(active)]
    todo = plan(found, pods, pods, NOW_S)
    assert (todo.create, len(todo.delete)) == (creates, deletes)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (replica("z", node=""), replica("a", phase="Pending", ready_s=None)),
        (replica("z", phase="Pending", ready_s=None), replica("a", phase="Unknown", ready_s=None)),
        (replica("z", phase="Unknown", ready_s=None), replica("a", ready_s=None)),
        (replica("z", ready_s=None), replica("a")),
        (replica("z", ready_s=None, cost="100"), replica("a", cost="-100")),
        (replica("z", cost="-1"), replica("a")),
        (replica("z"), replica("a", cost="1")),
        (replica("z", cost="1"), replica("a", cost="2")),
        (replica("z", cost="+9"), replica("a", cost="1")),
        (replica("z", node="crowded", ready_s=99_999), replica("a")),
        (replica("z", ready_s=10), replica("a", ready_s=10_000)),
        (replica("z", restarts=3), replica("a", restarts=1)),
        (replica("z", created_s=10), replica("a", created_s=10_000)),
        (replica("a", ready_s=1000), replica("z", ready_s=1001)),
    ],
)
def test_which_goes_first(first: Object, second: Object) -> None:
    crowd = {"crowded": 5, "n1": 1}
    for candidates in ([first, second], [second, first]):
        ordered = deletion_order(candidates, ready_per_node=crowd, now_s=NOW_S)
        assert [objects.name(found) for found in ordered] == [objects.name(first), objects.name(second)]


@pytest.mark.parametrize(
    ("pods", "min_ready_s", "expected"),
    [
        ([], 0, {"replicas": 0}),
        ([replica("a")], 0, {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "fullyLabeledReplicas": 1}),
        ([replica("a", ready_s=None)], 0, {"replicas": 1, "fullyLabeledReplicas": 1}),
        ([replica("a", ready_s=9)], 10, {"replicas": 1, "readyReplicas": 1, "fullyLabeledReplicas": 1}),
        ([replica("a", ready_s=10)], 10, {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "fullyLabeledReplicas": 1}),
        ([pod("other", labels={"app": "web2"})], 0, {"replicas": 1}),
    ],
)  # fmt: skip
def test_what_the_status_counts(pods: list[Object], min_ready_s: int, expected: dict[str, int]) -> None:
    found = owner(1)
    found["spec"]["minReadySeconds"] = min_ready_s
    assert status_of(found, pods, None, None, NOW_S) == {**expected, "observedGeneration": 3}
    assert status_of(found, pods, 2, None, NOW_S)["terminatingReplicas"] == 2


def test_the_first_failure_stays_until_there_is_none() -> None:
    first = status_of(owner(1), [], None, Failure(reason="FailedCreate", message="no more"), NOW_S)
    [entry] = first["conditions"]
    assert (entry["type"], entry["status"], entry["reason"], entry["message"]) == (
        "ReplicaFailure", "True", "FailedCreate", "no more",
    )  # fmt: skip
    other = Failure(reason="FailedDelete", message="another")
    assert status_of(owner(1, status=first), [], None, other, NOW_S + 9)["conditions"] == [entry]
    assert "conditions" not in status_of(owner(1, status=first), [], None, None, NOW_S)
