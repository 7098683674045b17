"""What is wrong with workloads, and what may change in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from steersman.schema.groups.batch.schedule import schedule_errors
from tests.schema.groups.samples import create_errors, prepared, sample, status_errors, update_errors

Row = tuple[str, Mapping[str, Any], list[str]]
OTHER = {"c": "d"}
MISMATCH = 'spec.template.metadata.labels: Invalid value: {"c":"d"}: `selector` does not match template `labels`'


def _ids(rows: list[Row]) -> list[str]:
    return [f"{name} {' '.join(changes)}" for name, changes, _ in rows]


CREATED: list[Row] = [
    *(
        (name, {"spec.template.metadata.labels": OTHER}, [MISMATCH])
        for name in ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")
    ),
    *(
        (name, {"spec.replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"])
        for name in ("Deployment", "ReplicaSet", "StatefulSet", "ReplicationController")
    ),
    *(
        (
            name,
            {"spec.template.spec.restartPolicy": "Never"},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        )
        for name in ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet", "ReplicationController")
    ),
    ("Deployment", {"spec.template.spec.containers": []}, ["spec.template.spec.containers: Required value"]),
    (
        "Deployment",
        {"spec.strategy": {"type": "Recreate", "rollingUpdate": {}}},
        ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    ),
    (
        "Deployment",
        {"spec.strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}},
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
    ),
    (
        "Deployment",
        {"spec.strategy": {"rollingUpdate": {"maxUnavailable": "200%"}}},
        ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "200%": must not be greater than 100%'],
    ),
    (
        "Deployment",
        {"spec.minReadySeconds": 700},
        ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
    ),
    (
        "StatefulSet",
        {"spec.podManagementPolicy": "Whatever"},
        ["spec.podManagementPolicy: Invalid value: \"Whatever\": must be 'OrderedReady' or 'Parallel'"],
    ),
    (
        "Job",
        {"spec.template.spec.restartPolicy": "Always"},
        ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ),
    ("Job", {"spec.parallelism": -1}, ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"]),
    (
        "Job",
        {"spec.completionMode": "Indexed", "spec.parallelism": 1},
        ["spec.completions: Required value: when completion mode is Indexed"],
    ),
    (
        "Job",
        {"spec.selector": {"matchLabels": OTHER}},
        [
            'spec.selector: Invalid value: {"matchLabels":{"batch.kubernetes.io/controller-uid":"","c":"d"}}: `selector` not '
            "auto-generated",
            'spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/controller-uid":"",'
            '"batch.kubernetes.io/job-name":"a","controller-uid":"","job-name":"a"}: `selector` does not match template `labels`',
        ],
    ),
    ("CronJob", {"spec.schedule": ""}, ["spec.schedule: Required value"]),
    (
        "CronJob",
        {"spec.concurrencyPolicy": "Sometimes"},
        ['spec.concurrencyPolicy: Unsupported value: "Sometimes": supported values: "Allow", "Forbid", "Replace"'],
    ),
    (
        "CronJob",
        {"spec.timeZone": "Nowhere/Land"},
        ['spec.timeZone: Invalid value: "Nowhere/Land": unknown time zone Nowhere/Land'],
    ),
    ("CronJob", {"spec.timeZone": ""}, ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string']),
    (
        "CronJob",
        {"metadata.name": "a" * 53},
        [f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters'],
    ),
]


@pytest.mark.parametrize(("name", "changes", "expected"), CREATED, ids=_ids(CREATED))
def test_what_is_wrong_with_a_new_workload(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    assert create_errors(name, sample(name, changes)) == expected


@pytest.mark.parametrize("name", ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"])
def test_a_workload_without_anything_misses_its_selector_and_containers(name: str) -> None:
    assert create_errors(name, sample(name, {"spec": {}})) == [
        *(["spec.selector: Required value"] if name != "DaemonSet" else []),
        "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
        "spec.template.spec.containers: Required value",
    ]


@pytest.mark.parametrize("name", ["DaemonSet", "Deployment", "ReplicaSet"])
def test_selectors_stay(name: str) -> None:
    changes = {"spec.selector": {"matchLabels": OTHER}, "spec.template.metadata.labels": OTHER}
    assert update_errors(name, prepared(name, sample(name)), changes) == [
        'spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable'
    ]


UPDATED: list[Row] = [
    ("Deployment", {"spec.replicas": 3, "spec.template.spec.containers.0.image": "other"}, []),
    (
        "StatefulSet",
        {"spec.serviceName": "t"},
        [
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
            "forbidden"
        ],
    ),
    ("Job", {"spec.parallelism": 2}, []),
    ("Job", {"spec.suspend": True}, []),
    ("Job", {"spec.backoffLimit": 1}, []),
    ("ControllerRevision", {"data": {"a": "b"}}, ['data: Invalid value: {"a":"b"}: field is immutable']),
    ("ControllerRevision", {"revision": 2}, []),
]


@pytest.mark.parametrize(("name", "changes", "expected"), UPDATED, ids=_ids(UPDATED))
def test_what_may_change(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    assert update_errors(name, prepared(name, sample(name)), changes) == expected


STATUSES: list[Row] = [
    ("Deployment", {"status.replicas": 2, "status.readyReplicas": 1}, []),
    (
        "Deployment",
        {"status.replicas": 1, "status.readyReplicas": 2},
        ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"],
    ),
    (
        "ReplicaSet",
        {"status.replicas": -1},
        [
            "status.replicas: Invalid value: -1: must be greater than or equal to 0",
            *(
                f"status.{name}: Invalid value: 0: cannot be greater than status.replicas"
                for name in ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
            ),
        ],
    ),
]


@pytest.mark.parametrize(("name", "changes", "expected"), STATUSES, ids=_ids(STATUSES))
def test_what_may_be_reported(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    assert status_errors(name, prepared(name, sample(name)), changes) == expected


def test_a_job_gets_labels_and_selector_of_its_own() -> None:
    job = prepared("Job", sample("Job", {"metadata.uid": "u"}))
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/controller-uid"] == "u"
    assert labels["batch.kubernetes.io/job-name"] == "a"
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}


SCHEDULES = [
    ("* * * * *", True),
    ("*/5 0-23 1,15 jan-mar MON-FRI", True),
    ("@hourly", True),
    ("@every 1h30m", True),
    ("0 0 ? * 0", True),
    ("60 * * * *", False),
    ("* * * *", False),
    ("* * 32 * *", False),
    ("5-1 * * * *", False),
    ("*/0 * * * *", False),
    ("@sometimes", False),
    ("x * * * *", False),
]


@pytest.mark.parametrize(("schedule", "is_right"), SCHEDULES)
def test_schedules(schedule: str, *, is_right: bool) -> None:
    assert (schedule_errors(schedule) == []) is is_right
