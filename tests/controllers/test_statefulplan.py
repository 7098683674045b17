"""StatefulSet, as a value: order, identities, updates and claims."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers import history
from steersman.controllers.statefulplan import Plan, make_claims, make_pod, plan
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import STATEFULSETS
from tests.controllers.builders import workload
from tests.controllers.kinds.test_statefulset import data_claim

NOW_S = 1_000_000.0
HELD = {"deletionTimestamp": times.format_time(NOW_S)}


def stateful(replicas: int = 3, status: Object | None = None, **spec: Any) -> Object:
    made = workload(STATEFULSETS, replicas=replicas, serviceName="web", **spec)
    made["metadata"] |= {"uid": "s", "generation": 2}
    made["spec"].setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    return {**made, "status": status or {}}


PARALLEL: dict[str, Any] = {"podManagementPolicy": "Parallel"}


def member(owner: Object, ordinal: int, revision: str = "new", *, state: str = "available", **metadata: Any) -> Object:
    made = make_pod(owner, revision, ordinal)
    ready_s = NOW_S if state == "ready" else 0.0
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": times.format_time(ready_s + 1)}
    status: Object = {"phase": {"pending": "Pending", "failed": "Failed", "done": "Succeeded"}.get(state, "Running")}
    status["conditions"] = [ready] if state in ("available", "ready") else []
    made = objects.with_metadata(made, uid=f"uid-{ordinal}", **metadata)
    return {**made, "status": status}


def run(owner: Object, pods: list[Object], claims: dict[str, Object] | None = None) -> Plan:
    old, new = (
        {"metadata": {"name": name}, "data": history.data_of(owner), "revision": number}
        for number, name in enumerate(("old", "new"))
    )
    return plan(owner, pods, claims or {}, old, new, NOW_S)


def outcome(todo: Plan) -> tuple[list[str], list[str]]:
    return [objects.name(entry.pod) for entry in todo.create], [objects.name(pod) for pod in todo.delete]


SET = stateful()


@pytest.mark.parametrize(
    ("owner", "states", "expected"),
    [
        (SET, {}, (["web-0"], [])),
        (SET, {0: "pending"}, ([], [])),
        (SET, {0: "running"}, ([], [])),
        (SET, {0: "available"}, (["web-1"], [])),
        (SET, {0: "available", 2: "available"}, (["web-1"], [])),
        (SET, {0: "available", 1: "failed"}, ([], ["web-1"])),
        (SET, {0: "done"}, ([], ["web-0"])),
        (SET, {0: "available", 1: "available", 2: "available", 3: "available"}, ([], ["web-3"])),
        (SET, {0: "available", 1: "available", 2: "available", 3: "available", 4: "available"}, ([], ["web-4"])),
        (SET, {0: "available", 1: "available", 2: "running", 3: "available"}, ([], [])),
        (SET, {0: "available", 1: "available", 2: "available", 3: "running", 4: "available"}, ([], ["web-4"])),
        (SET, {0: "available", 1: "available", 2: "available", 3: "running", 4: "running"}, ([], [])),
        (stateful(0), {0: "running"}, ([], ["web-0"])),
        (stateful(0), {0: "available", 1: "available"}, ([], ["web-1"])),
        (stateful(minReadySeconds=10), {0: "ready"}, ([], [])),
        (stateful(minReadySeconds=10), {0: "available"}, (["web-1"], [])),
        (stateful(2, ordinals={"start": 5}), {}, (["web-5"], [])),
        (stateful(2, ordinals={"start": 1}), {0: "available", 1: "available", 2: "available"}, ([], ["web-0"])),
        (stateful(3, **PARALLEL), {}, (["web-0", "web-1", "web-2"], [])),
        (stateful(3, **PARALLEL), {0: "running"}, (["web-1", "web-2"], [])),
        (stateful(1, **PARALLEL), {0: "running", 1: "running", 2: "available"}, ([], ["web-2", "web-1"])),
    ],
)
def test_which_pod_is_next(owner: Object, states: dict[int, str], expected: tuple[list[str], list[str]]) -> None:
    pods = [member(owner, ordinal, state=state) for ordinal, state in states.items()]
    assert outcome(run(owner, pods)) == expected


def test_nothing_is_done_beside_a_pod_that_terminates_nor_by_a_set_that_does() -> None:
    pods = [member(SET, 0, **HELD), member(SET, 2)]
    assert outcome(run(SET, pods)) == ([], [])
    going = objects.with_metadata(SET, **HELD)
    todo = run(going, [member(SET, 0), member(SET, 7)])
    assert outcome(todo) == ([], [])
    assert todo.status is not None
    assert todo.status["status"]["replicas"] == 2


def rolling(**how: Any) -> Object:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": how}}


@pytest.mark.parametrize(
    ("owner", "revisions", "states", "deletes"),
    [
        (SET, ("old", "old", "old"), {}, ["web-2"]),
        (SET, ("old", "old", "new"), {}, ["web-1"]),
        (SET, ("old", "old", "new"), {2: "running"}, []),
        (SET, ("old", "new", "new"), {}, ["web-0"]),
        (SET, ("new", "new", "new"), {}, []),
        (stateful(**rolling(partition=2)), ("old", "old", "new"), {}, []),
        (stateful(**rolling(partition=1)), ("old", "old", "new"), {}, ["web-1"]),
        (stateful(**rolling(partition=9)), ("old", "old", "old"), {}, []),
        (stateful(updateStrategy={"type": "OnDelete"}), ("old", "old", "old"), {}, []),
        (stateful(**rolling(partition=0, maxUnavailable=2), **PARALLEL), ("old", "old", "old"), {}, ["web-2", "web-1"]),
        (stateful(**rolling(partition=0, maxUnavailable="34%"), **PARALLEL), ("old", "old", "old"), {}, ["web-2"]),
        (
            stateful(**rolling(partition=0, maxUnavailable=2), **PARALLEL),
            ("old", "old", "new"),
            {2: "running"},
            ["web-1"],
        ),
        (stateful(**rolling(partition=1, maxUnavailable=3), **PARALLEL), ("old", "old", "old"), {}, ["web-2", "web-1"]),
    ],
)
def test_an_update_goes_from_the_highest(
    owner: Object, revisions: tuple[str, ...], states: dict[int, str], deletes: list[str]
) -> None:
    pods = [member(owner, n, revision, state=states.get(n, "available")) for n, revision in enumerate(revisions)]
    assert outcome(run(owner, pods)) == ([], deletes)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (stateful(**rolling(partition=0)), "new"),
        (stateful(**rolling(partition=2)), "old"),
        (stateful(updateStrategy={"type": "OnDelete"}), "new"),
        (stateful(updateStrategy={"type": "RollingUpdate"}, status={"currentReplicas": 2}), "old"),
        (stateful(updateStrategy={"type": "RollingUpdate"}, status={"currentReplicas": 1}), "new"),
    ],
)
def test_of_which_revision_a_pod_is_made(owner: Object, expected: str) -> None:
    [creation] = run(owner, [member(owner, 0, "old")]).create
    assert objects.name(creation.pod) == "web-1"
    assert objects.labels(creation.pod)["controller-revision-hash"] == expected


@pytest.mark.parametrize(
    ("revisions", "status"),
    [
        (
            ("old", "old"),
            {"currentRevision": "old", "updateRevision": "new", "currentReplicas": 2, "updatedReplicas": None},
        ),
        (
            ("old", "new"),
            {"currentRevision": "old", "updateRevision": "new", "currentReplicas": None, "updatedReplicas": 1},
        ),
        (
            ("new", "new"),
            {"currentRevision": "new", "updateRevision": "new", "currentReplicas": 2, "updatedReplicas": 2},
        ),
    ],
)
def test_an_update_is_complete_when_every_pod_is_new_and_ready(revisions: tuple[str, ...], status: Object) -> None:
    owner = stateful(2, **rolling(partition=2 if revisions == ("old", "old") else 0))
    todo = run(owner, [member(owner, n, revision) for n, revision in enumerate(revisions)])
    assert todo.status is not None
    found = todo.status["status"]
    assert {name: found.get(name) for name in status} == status
    assert found["readyReplicas"] == found["availableReplicas"] == 2


def test_a_failed_write_leaves_what_was_to_be_deleted_in_the_status() -> None:
    todo = run(SET, [member(SET, n, "old") for n in range(3)])
    assert todo.status is not None and todo.failed_status is not None
    assert todo.status["status"]["currentReplicas"] == 2
    assert todo.failed_status["status"]["currentReplicas"] == 3


def with_claims(scaled: str = "Retain", deleted: str = "Retain", replicas: int = 1) -> Object:
    return stateful(
        replicas, volumeClaimTemplates=[data_claim()],
        persistentVolumeClaimRetentionPolicy={"whenScaled": scaled, "whenDeleted": deleted},
    )  # fmt: skip


def reference(kind: str, name: str, uid: str, *, controls: bool = True) -> Object:
    api_version = "apps/v1" if kind == "StatefulSet" else "v1"
    found: Object = {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid}
    return found | ({"controller": True, "blockOwnerDeletion": True} if controls else {})


OF_SET, OF_POD = reference("StatefulSet", "web", "s"), reference("Pod", "web-0", "uid-0")
STALE_SET, STALE_POD = reference("StatefulSet", "web", "before"), reference("Pod", "web-0", "before")
FOREIGN = reference("ConfigMap", "c", "x")
LOOSE = reference("ConfigMap", "c", "x", controls=False)


@pytest.mark.parametrize(
    ("scaled", "deleted", "is_scaled_down", "before", "after"),
    [
        ("Retain", "Retain", False, [], []),
        ("Retain", "Retain", False, [OF_SET], []),
        ("Retain", "Retain", True, [OF_POD], []),
        ("Retain", "Delete", False, [], [OF_SET]),
        ("Retain", "Delete", True, [], [OF_SET]),
        ("Delete", "Retain", False, [], []),
        ("Delete", "Retain", False, [OF_POD], []),
        ("Delete", "Retain", True, [], [OF_POD]),
        ("Delete", "Delete", False, [OF_POD], [OF_SET]),
        ("Delete", "Delete", True, [OF_SET], [OF_POD]),
        ("Retain", "Delete", False, [LOOSE], [LOOSE, OF_SET]),
        ("Retain", "Delete", False, [reference("StatefulSet", "web", "s", controls=False)], [OF_SET]),
        ("Retain", "Delete", False, [FOREIGN], [FOREIGN]),
        ("Retain", "Delete", False, [FOREIGN, OF_SET], [FOREIGN]),
        ("Retain", "Retain", False, [FOREIGN], [FOREIGN]),
        ("Retain", "Delete", False, [STALE_SET], [STALE_SET]),
        ("Delete", "Delete", True, [STALE_POD], [STALE_POD]),
    ],
)  # fmt: skip
def test_with_whom_a_claim_goes(
    scaled: str, deleted: str, is_scaled_down: bool, before: list[Object], after: list[Object]
) -> None:
    owner = with_claims(scaled, deleted, replicas=0 if is_scaled_down else 1)
    [made] = make_claims(owner, 0)
    claim = objects.with_metadata(made, ownerReferences=before or None)
    todo = run(owner, [member(owner, 0)], {objects.name(claim): claim})
    changed = [*todo.claim_owners, *(entry for correction in todo.correct for entry in correction.claim_owners)]
    found = objects.owner_references(changed[0]) if changed else before
    assert sorted(map(str, found)) == sorted(map(str, after))


@pytest.mark.parametrize(
    ("scaled", "metadata", "creates", "blocked_by"),
    [
        ("Retain", {}, 1, ""),
        ("Retain", {"ownerReferences": [STALE_POD]}, 1, ""),
        ("Delete", {"ownerReferences": [STALE_POD]}, 0, ""),
        ("Delete", {"ownerReferences": [OF_SET]}, 1, ""),
        ("Retain", HELD, 1, "data-web-0"),
    ],
)
def test_a_pod_waits_for_the_claim_of_its_predecessor(
    scaled: str, metadata: dict[str, Any], creates: int, blocked_by: str
) -> None:
    owner = with_claims(scaled)
    [made] = make_claims(owner, 0)
    todo = run(owner, [], {objects.name(made): objects.with_metadata(made, **metadata)})
    assert [entry.blocked_by for entry in todo.create] == [blocked_by] * creates


def test_claims_that_are_missing_come_with_a_pod_and_also_later() -> None:
    owner = with_claims()
    assert [objects.name(claim) for claim in run(owner, []).create[0].claims] == ["data-web-0"]
    pending = run(owner, [member(owner, 0, state="pending")])
    assert [objects.name(claim) for claim in pending.claims] == ["data-web-0"]
    assert run(owner, [member(owner, 0)]).claims == []


def test_a_pod_without_its_identity_gets_it() -> None:
    owner = with_claims()
    bare = objects.with_metadata(member(owner, 0), labels={"app": "web"})
    bare = {**bare, "spec": {**bare["spec"], "volumes": []}}
    [correction] = run(owner, [bare], {"data-web-0": make_claims(owner, 0)[0]}).correct
    assert correction.pod is not None
    assert objects.labels(correction.pod)["statefulset.kubernetes.io/pod-name"] == "web-0"
    assert correction.pod["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data-web-0"}
