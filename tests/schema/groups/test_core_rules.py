"""What is wrong with objects of core other than pods."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from tests.schema.groups.samples import GONE, create_errors, kind_of, prepared, sample, status_errors, update_errors

Row = tuple[str, Mapping[str, Any], list[str]]
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def _ids(rows: list[Row]) -> list[str]:
    return [f"{name} {' '.join(changes)} {errors[0] if errors else ''}"[:120] for name, changes, errors in rows]


CREATED: list[Row] = [
    ("ConfigMap", {"data": {"a b": "c"}}, [f'data[a b]: Invalid value: "a b": {KEY}']),
    (
        "ConfigMap",
        {"binaryData": {"k": "dg=="}},
        ['data[k]: Invalid value: "k": duplicate of key present in binaryData'],
    ),
    ("ConfigMap", {"data": {"k": "x" * 1048577}}, ["[]: Too long: may not be more than 1048576 bytes"]),
    (
        "Secret",
        {"type": "kubernetes.io/tls"},
        ["data[tls.crt]: Required value", "data[tls.key]: Required value"],
    ),
    (
        "Secret",
        {"type": "kubernetes.io/dockerconfigjson", "data": {}},
        ["data[.dockerconfigjson]: Required value"],
    ),
    ("Secret", {"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]: Required value"]),
    (
        "Secret",
        {"type": "kubernetes.io/service-account-token"},
        ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    ),
    ("Secret", {"stringData": {"b": "c"}}, []),
    ("Service", {"spec.ports": []}, ["spec.ports: Required value"]),
    (
        "Service",
        {"spec.ports.0.port": 0},
        [
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    ),
    (
        "Service",
        {"spec.ports": [{"port": 1}, {"port": 2}]},
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
    ),
    (
        "Service",
        {"spec.ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]},
        [
            'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}'
        ],
    ),
    (
        "Service",
        {"spec.type": "Other"},
        [
            'spec.type: Unsupported value: "Other": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
        ],
    ),
    (
        "Service",
        {"spec.ports.0.nodePort": 30000},
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ),
    (
        "Service",
        {"spec.type": "ExternalName", "spec.clusterIP": GONE, "spec.clusterIPs": GONE},
        ["spec.externalName: Required value"],
    ),
    (
        "Service",
        {"spec.sessionAffinity": "Maybe"},
        ['spec.sessionAffinity: Unsupported value: "Maybe": supported values: "ClientIP", "None"'],
    ),
    (
        "Service",
        {"spec.clusterIPs": ["1.2.3"], "spec.clusterIP": "1.2.3"},
        ['spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    ),
    (
        "Service",
        {"spec.loadBalancerClass": "example.com/a"},
        ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
    ),
    (
        "Endpoints",
        {"subsets.0.addresses": []},
        ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
    ),
    (
        "Endpoints",
        {"subsets.0.addresses.0.ip": "127.0.0.1"},
        [
            'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'
        ],
    ),
    (
        "PersistentVolumeClaim",
        {"spec.accessModes": []},
        ["spec.accessModes: Required value: at least 1 access mode is required"],
    ),
    ("PersistentVolumeClaim", {"spec.resources": {}}, ["spec.resources[storage]: Required value"]),
    (
        "PersistentVolumeClaim",
        {"spec.accessModes": ["Sometimes"]},
        [
            'spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", '
            '"ReadWriteOnce", "ReadWriteOncePod"'
        ],
    ),
    ("PersistentVolume", {"spec.accessModes": []}, ["spec.accessModes: Required value"]),
    ("PersistentVolume", {"spec.hostPath": GONE}, ["spec: Required value: must specify a volume type"]),
    (
        "ResourceQuota",
        {"spec.hard": {"pods": "1.5"}},
        ['spec.hard[pods]: Invalid value: "1500m": must be an integer'],
    ),
    (
        "ResourceQuota",
        {"spec.hard": {"pods": "-1"}},
        ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    (
        "LimitRange",
        {"spec.limits.0.default": {"cpu": "3"}},
        [
            'spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than max value 2',
            'spec.limits[0].default[cpu]: Invalid value: "3": default value 3 is greater than max value 2',
        ],
    ),
]


@pytest.mark.parametrize(("name", "changes", "expected"), CREATED, ids=_ids(CREATED))
def test_what_is_wrong_with_a_new_object(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    assert create_errors(name, sample(name, changes)) == expected


UPDATED: list[Row] = [
    ("ConfigMap", {"data": {"k": "other"}}, []),
    ("Secret", {"type": "other"}, ['type: Invalid value: "other": field is immutable']),
    (
        "Service",
        {"spec.clusterIP": "10.0.0.2", "spec.clusterIPs": ["10.0.0.2"]},
        ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'],
    ),
    ("Service", {"spec.ports.0.port": 81}, []),
    (
        "PersistentVolumeClaim",
        {"spec.resources.requests.storage": "2Gi"},
        [
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
            "bound claims"
        ],
    ),
    (
        "PersistentVolume",
        {"spec.hostPath.path": "/b"},
        ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"],
    ),
]


@pytest.mark.parametrize(("name", "changes", "expected"), UPDATED, ids=_ids(UPDATED))
def test_what_may_change(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    found = update_errors(name, prepared(name, sample(name)), changes)
    assert [error.partition("\n")[0] for error in found] == expected


@pytest.mark.parametrize("name", ["ConfigMap", "Secret"])
def test_immutable_data_stays(name: str) -> None:
    stored = prepared(name, sample(name, {"immutable": True}))
    detail = "field is immutable when `immutable` is set"
    assert update_errors(name, stored, {"data": {"k": "eHg="}}) == [f"data: Forbidden: {detail}"]
    assert update_errors(name, stored, {"immutable": False}) == [f"immutable: Forbidden: {detail}"]
    assert update_errors(name, stored, {"metadata.labels": {"a": "b"}}) == []


def test_string_data_becomes_data() -> None:
    stored = prepared("Secret", sample("Secret", {"stringData": {"b": "c"}}))
    assert stored["data"] == {"k": "dg==", "b": base64.b64encode(b"c").decode()}
    assert "stringData" not in stored


def test_a_claim_that_is_bound_keeps_its_volume() -> None:
    stored = prepared("PersistentVolumeClaim", sample("PersistentVolumeClaim", {"spec.volumeName": "v"}))
    (error,) = update_errors("PersistentVolumeClaim", stored, {"spec.volumeName": "w"})
    assert error.startswith(
        "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
        "claims"
    )


def test_node_conditions_are_written_through_status() -> None:
    stored = prepared("Node", sample("Node"))
    conditions = [{"type": "Ready", "status": "True"}]
    assert status_errors("Node", stored, {"status.conditions": conditions}) == []


def test_warning_about_endpoints() -> None:
    text = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert kind_of("Endpoints").deprecation == text
