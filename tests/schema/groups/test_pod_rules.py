"""What is wrong with a pod, in upstream's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.schema.groups.samples import CONTAINER, GONE, create_errors, kind_of, prepared, sample, update_errors

Row = tuple[Mapping[str, Any], list[str]]
C = "spec.containers.0"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)

ROWS: list[Row] = [
    ({"spec.containers": GONE}, ["spec.containers: Required value"]),
    ({"spec.containers": []}, ["spec.containers: Required value"]),
    ({f"{C}.name": ""}, ["spec.containers[0].name: Required value"]),
    ({f"{C}.name": "A"}, [f'spec.containers[0].name: Invalid value: "A": {LABEL}']),
    ({f"{C}.image": ""}, ["spec.containers[0].image: Required value"]),
    (
        {f"{C}.image": " nginx"},
        ['spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace'],
    ),
    ({"spec.containers": [CONTAINER, CONTAINER]}, ['spec.containers[1].name: Duplicate value: "c"']),
    (
        {f"{C}.imagePullPolicy": "Sometimes"},
        [
            'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", '
            '"IfNotPresent", "Never"'
        ],
    ),
    (
        {"spec.restartPolicy": "Maybe"},
        ['spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"'],
    ),
    (
        {f"{C}.ports": [{"containerPort": 0}]},
        ["spec.containers[0].ports[0].containerPort: Required value"],
    ),
    (
        {f"{C}.ports": [{"containerPort": 70000}]},
        ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
    ),
    (
        {f"{C}.ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
        ['spec.containers[0].ports[1].name: Duplicate value: "a"'],
    ),
    (
        {f"{C}.ports": [{"containerPort": 1, "protocol": "ICMP"}]},
        ['spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
    ),
    (
        {"spec.hostNetwork": True, f"{C}.ports": [{"containerPort": 80, "hostPort": 81}]},
        [
            "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"
        ],
    ),
    ({f"{C}.env": [{"name": ""}]}, ["spec.containers[0].env[0].name: Required value"]),
    (
        {f"{C}.env": [{"name": "A", "valueFrom": {}}]},
        [
            'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, '
            "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        ],
    ),
    (
        {f"{C}.env": [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
        ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    (
        {f"{C}.resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
        ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ),
    (
        {f"{C}.resources": {"requests": {"cpu": "-1"}}},
        ['spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    (
        {f"{C}.resources": {"limits": {"example.com/gpu": "500m"}}},
        [
            'spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer',
            'spec.containers[0].resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer',
        ],
    ),
    (
        {f"{C}.volumeMounts": [{"name": "v", "mountPath": "/a"}]},
        ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    ),
    (
        {
            "spec.volumes": [{"name": "v", "emptyDir": {}}],
            f"{C}.volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}],
        },
        ['spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique'],
    ),
    (
        {"spec.volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]},
        ['spec.volumes[1].name: Duplicate value: "v"'],
    ),
    (
        {"spec.volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/a"}}]},
        ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    ),
    (
        {"spec.volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]},
        ["spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
    ),
    ({f"{C}.livenessProbe": {}}, ["spec.containers[0].livenessProbe: Required value: must specify a handler type"]),
    (
        {f"{C}.livenessProbe": {"tcpSocket": {"port": 1}, "exec": {"command": ["a"]}}},
        ["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    (
        {f"{C}.livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}},
        ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    ),
    (
        {f"{C}.securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
        [
            'spec.containers[0].securityContext: Invalid value: {"Capabilities":null,"Privileged":true,"SELinuxOptions":null,'
            '"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,'
            '"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}: cannot '
            "set `allowPrivilegeEscalation` to false and `privileged` to true"
        ],
    ),
    (
        {"spec.securityContext": {"runAsUser": -1}},
        ["spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
    ),
    (
        {"spec.tolerations": [{"operator": "Equal", "value": "b"}]},
        [
            'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means '
            '"match all values and all keys"'
        ],
    ),
    (
        {"spec.nodeSelector": {"a b": "c"}},
        [
            "spec.nodeSelector: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
            "for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ],
    ),
    (
        {"spec.topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
        ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
    ),
    (
        {"spec.activeDeadlineSeconds": 0},
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    (
        {"spec.initContainers": [{**CONTAINER, "name": "i", "restartPolicy": "Never", "lifecycle": {}}]},
        [
            "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always"
        ],
    ),
    (
        {"spec.initContainers": [CONTAINER]},
        ['spec.initContainers[0].name: Duplicate value: "c"'],
    ),
    (
        {"spec.ephemeralContainers": [{"name": "e", "image": "x"}]},
        [
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), ROWS, ids=[" ".join(map(str, row[0])) for row in ROWS])
def test_what_is_wrong_with_a_new_pod(changes: Mapping[str, Any], expected: list[str]) -> None:
    assert create_errors("Pod", sample("Pod", changes)) == expected


UPDATES: list[Row] = [
    ({f"{C}.image": "nginx:2"}, []),
    ({"spec.activeDeadlineSeconds": 30}, []),
    ({"spec.tolerations": [{"key": "a", "operator": "Exists"}]}, []),
    ({"metadata.labels": {"a": "b"}}, []),
    (
        {"spec.containers": [CONTAINER, {"name": "d", "image": "x"}]},
        ["spec.containers: Forbidden: pod updates may not add or remove containers"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), UPDATES, ids=[" ".join(map(str, row[0])) for row in UPDATES])
def test_what_may_change_in_a_pod(changes: Mapping[str, Any], expected: list[str]) -> None:
    assert update_errors("Pod", prepared("Pod", sample("Pod")), changes) == expected


@pytest.mark.parametrize(
    "changes", [{"spec.hostNetwork": True}, {f"{C}.command": ["sh"]}, {"spec.nodeName": "n"}], ids=str
)
def test_other_fields_of_a_pod_stay(changes: Mapping[str, Any]) -> None:
    (error,) = update_errors("Pod", prepared("Pod", sample("Pod")), changes)
    assert error.startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
        "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
    )


def _through(name: str, changes: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> tuple[Any, list[str]]:
    """The spec after a write through a subresource, and what is wrong with it."""
    from tests.schema.groups.samples import changed

    part = next(part for part in kind_of("Pod").subresources if part.name == name)
    assert part.prepare_update is not None
    assert part.validate_update is not None
    old = prepared("Pod", sample("Pod", before))
    new = changed(old, changes)
    kind_of("Pod").default(new)
    part.prepare_update(new, old)
    return new["spec"], [str(error) for error in part.validate_update(new, old)]


def test_ephemeral_containers_are_added_by_their_subresource_only() -> None:
    wanted = {"spec.ephemeralContainers": [{"name": "e", "image": "x"}], f"{C}.image": "other"}
    spec, errors = _through("ephemeralcontainers", wanted)
    assert errors == []
    assert (spec["containers"][0]["image"], spec["ephemeralContainers"][0]["name"]) == ("nginx", "e")


def test_resize_keeps_the_quality_of_service() -> None:
    _, errors = _through("resize", {f"{C}.resources": {"requests": {"cpu": "1"}}})
    assert errors == ['spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing']


def test_resize_changes_cpu_and_memory() -> None:
    before = {f"{C}.resources": {"requests": {"cpu": "1"}}}
    spec, errors = _through("resize", {f"{C}.resources": {"requests": {"cpu": "2"}}, f"{C}.image": "other"}, before)
    assert errors == []
    assert spec["containers"][0]["resources"] == {"requests": {"cpu": "2"}}
    assert spec["containers"][0]["image"] == "nginx"


WARNINGS: list[tuple[Mapping[str, Any], list[str]]] = [
    ({}, []),
    (
        {"spec.nodeSelector": {"beta.kubernetes.io/arch": "amd64"}},
        ['spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead'],
    ),
    (
        {f"{C}.resources": {"limits": {"memory": "100m"}, "requests": {"memory": "100m"}}},
        [
            'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
            'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer',
        ],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), WARNINGS, ids=[" ".join(row[0]) for row in WARNINGS])
def test_warnings(changes: Mapping[str, Any], expected: list[str]) -> None:
    warnings = kind_of("Pod").warnings
    assert warnings is not None
    assert warnings(prepared("Pod", sample("Pod", changes))) == expected


def test_what_is_remembered_of_a_specification_says_nothing_about_others() -> None:
    for _ in range(2):
        assert create_errors("Pod", sample("Pod")) == []
        for changes, expected in ROWS:
            assert create_errors("Pod", sample("Pod", changes)) == expected


def test_warnings_are_given_again() -> None:
    for _ in range(2):
        for changes, expected in WARNINGS:
            test_warnings(changes, expected)
            assert create_errors("Pod", sample("Pod", changes)) == []


def test_claims_of_ephemeral_volumes_are_checked_for_each_pod() -> None:
    """They are named after the pod: the same specification can be wrong in the next one."""
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    volumes = [
        {"name": "data", "ephemeral": {"volumeClaimTemplate": claim}},
        {"name": "other", "persistentVolumeClaim": {"claimName": "b-data"}},
    ]
    assert create_errors("Pod", sample("Pod", {"spec.volumes": volumes, "metadata.name": "a"})) == []
    assert len(create_errors("Pod", sample("Pod", {"spec.volumes": volumes, "metadata.name": "b"}))) == 1
