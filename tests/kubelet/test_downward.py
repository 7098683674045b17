"""Fields and resources of a pod as text."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.kubelet.downward import DownwardError, field_value, resource_value
from steersman.kubelet.podspec import addresses
from tests.kubelet.pods import UID, container, pod

OBJ = pod(
    metadata={
        "labels": {"b": "2", "a": 'say "hi"'},
        "annotations": {"x": "l1\nl2\t\x01\x7fé\u200b", "a['b']": "odd", "example.com/K": "v"},
    },
    serviceAccountName="robot",
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "default"),
        ("metadata.uid", UID),
        ("metadata.labels", 'a="say \\"hi\\""\nb="2"'),
        ("metadata.labels['b']", "2"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['example.com/K']", "v"),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "robot"),
        ("status.hostIP", "192.0.2.1"),
        ("status.hostIPs", "192.0.2.1,2001:db8::1"),
        ("status.podIP", "10.0.0.1"),
        ("status.podIPs", "10.0.0.1,fd00::1"),
    ],
)
def test_fields(path: str, value: str) -> None:
    found = field_value(OBJ, path, host_ips=("192.0.2.1", "2001:db8::1"), pod_ips=("10.0.0.1", "fd00::1"))
    assert found == value


def test_values_are_quoted_as_go_quotes_them() -> None:
    lines = field_value(OBJ, "metadata.annotations").split("\n")
    assert lines[-1] == 'x="l1\\nl2\\t\\x01\\x7fé\\u200b"'


def test_a_field_that_there_is_not() -> None:
    with pytest.raises(DownwardError, match=r"unsupported fieldPath: spec\.hostname"):
        field_value(OBJ, "spec.hostname")


def value(resource: str, resources: Any = None, pod_level: Any = None, divisor: str = "") -> str:
    spec = {"resources": pod_level} if pod_level else {}
    obj = pod(container("main", resources=resources or {}), **spec)
    reference = {"resource": resource, **({"divisor": divisor} if divisor else {})}
    allocatable = {"cpu": "8", "memory": "16Gi", "ephemeral-storage": "100Gi", "hugepages-2Mi": "1Gi"}
    return resource_value(obj, reference, container="main", allocatable=allocatable)


@pytest.mark.parametrize(
    ("resource", "resources", "pod_level", "divisor", "expected"),
    [
        ("limits.cpu", {"limits": {"cpu": "1500m"}}, None, "", "2"),
        ("limits.cpu", {"limits": {"cpu": "1500m"}}, None, "1m", "1500"),
        ("limits.cpu", {"limits": {"cpu": "0"}}, None, "", "8"),
        ("limits.cpu", None, {"limits": {"cpu": "3"}}, "", "3"),
        ("limits.cpu", {"limits": {"cpu": "1"}}, {"limits": {"cpu": "3"}}, "", "1"),
        ("limits.memory", None, {"limits": {"cpu": "3"}}, "1Gi", "16"),
        ("limits.memory", None, {"limits": {"memory": "2Gi"}}, "1Mi", "2048"),
        ("limits.ephemeral-storage", None, {"limits": {"cpu": "3"}}, "1Gi", "100"),
        ("limits.hugepages-2Mi", None, None, "", "0"),
        ("requests.hugepages-2Mi", {"requests": {"hugepages-2Mi": "4Mi"}}, None, "1Mi", "4"),
        ("requests.cpu", None, {"requests": {"cpu": "3"}}, "", "0"),
        ("requests.memory", {"requests": {"memory": "1"}}, None, "1Mi", "1"),
    ],
)
def test_resources(resource: str, resources: Any, pod_level: Any, divisor: str, expected: str) -> None:
    assert value(resource, resources, pod_level, divisor) == expected


@pytest.mark.parametrize("resource", ["cpu", "limits.", "wishes.cpu"])
def test_a_resource_that_there_is_not(resource: str) -> None:
    with pytest.raises(DownwardError):
        value(resource)


@pytest.mark.parametrize(
    ("ips", "host", "expected"),
    [
        (("10.0.0.1", "fd00::1"), ("2001:db8::1",), ("fd00::1", "10.0.0.1")),
        (("fd00::1", "10.0.0.1"), ("192.0.2.1", "2001:db8::1"), ("10.0.0.1", "fd00::1")),
        (("10.0.0.1",), ("2001:db8::1",), ("10.0.0.1",)),
        (("fd00::1", "10.0.0.1"), (), ("fd00::1", "10.0.0.1")),
    ],
)
def test_addresses_come_in_the_nodes_order(
    ips: tuple[str, ...], host: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert addresses(pod(), ips, host) == expected
    assert addresses(pod(hostNetwork=True), ips, host) == host
