"""Which flow schema of a new cluster takes which request, and the rules of matching one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from steersman.apiserver.authn.api import User
from steersman.apiserver.flowcontrol import bootstrap
from steersman.apiserver.flowcontrol.matching import FlowSchema
from steersman.apiserver.requestinfo import RequestInfo, request_info
from steersman.meta.wire import Request

ANNA = User(name="anna", groups=("writers", "system:authenticated"))
BUILDER = User(
    name="system:serviceaccount:ci:builder",
    groups=("system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated"),
)
DNS = User(
    name="system:serviceaccount:kube-system:dns",
    groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
)
NODE = User(name="system:node:a", groups=("system:nodes", "system:authenticated"))
ADMIN = User(name="admin", groups=("system:masters", "system:authenticated"))
MANAGER = User(name="system:kube-controller-manager", groups=("system:authenticated",))
SCHEDULER = User(name="system:kube-scheduler", groups=("system:authenticated",))
NOBODY = User(name="system:anonymous", groups=("system:unauthenticated",))
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/a"


def _info(method: str, path: str) -> RequestInfo:
    return request_info(Request(method=method, path=path))


@pytest.mark.parametrize(
    ("user", "method", "path", "expected"),
    [
        (ADMIN, "GET", "/api/v1/pods", "exempt"),
        (NOBODY, "GET", "/healthz", "probes"),
        (NOBODY, "GET", "/livez/ping", "probes"),
        (NOBODY, "GET", "/version", "global-default"),
        (NODE, "PUT", "/api/v1/nodes/a/status", "system-node-high"),
        (NODE, "PUT", LEASE, "system-node-high"),
        (NODE, "GET", "/api/v1/namespaces/x/secrets/a", "system-nodes"),
        (NODE, "GET", "/metrics", "system-nodes"),
        (MANAGER, "PUT", LEASE, "system-leader-election"),
        (MANAGER, "DELETE", LEASE, "kube-controller-manager"),
        (SCHEDULER, "GET", LEASE, "system-leader-election"),
        (SCHEDULER, "POST", "/api/v1/namespaces/x/pods/a/binding", "kube-scheduler"),
        (DNS, "PUT", LEASE, "system-leader-election"),
        (DNS, "GET", "/api/v1/services", "kube-system-service-accounts"),
        (BUILDER, "PUT", LEASE, "service-accounts"),
        (BUILDER, "POST", "/api/v1/namespaces/x/pods", "service-accounts"),
        (ANNA, "GET", "/api/v1/namespaces/x/pods/a", "global-default"),
    ],
)
def test_the_schema_of_a_new_cluster(user: User, method: str, path: str, expected: str) -> None:
    schemas = sorted(map(FlowSchema.of, bootstrap.schemas()), key=lambda schema: (schema.precedence, schema.name))
    info = _info(method, path)
    assert next(schema.name for schema in schemas if schema.matches(user, info)) == expected


def _schema(
    subjects: Sequence[Mapping[str, Any]], rule: Mapping[str, Any] | None = None, path: Mapping[str, Any] | None = None
) -> FlowSchema:
    rules = {
        "subjects": subjects,
        "resourceRules": [rule] if rule else [],
        "nonResourceRules": [path] if path else [],
    }
    return FlowSchema.of({"metadata": {"name": "a"}, "spec": {"rules": [rules]}})


EVERYTHING: Mapping[str, Any] = {
    "verbs": ["*"],
    "apiGroups": ["*"],
    "resources": ["*"],
    "namespaces": ["*"],
    "clusterScope": True,
}


@pytest.mark.parametrize(
    ("subject", "user", "expected"),
    [
        ({"kind": "User", "user": {"name": "anna"}}, ANNA, True),
        ({"kind": "User", "user": {"name": "*"}}, ANNA, True),
        ({"kind": "User", "user": {"name": "joe"}}, ANNA, False),
        ({"kind": "Group", "group": {"name": "writers"}}, ANNA, True),
        ({"kind": "Group", "group": {"name": "*"}}, ANNA, True),
        ({"kind": "Group", "group": {"name": "readers"}}, ANNA, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ci", "name": "builder"}}, BUILDER, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ci", "name": "*"}}, BUILDER, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "c", "name": "*"}}, BUILDER, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ci", "name": "other"}}, BUILDER, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ci", "name": "*"}}, ANNA, False),
    ],
)
def test_subjects(subject: Mapping[str, Any], user: User, expected: bool) -> None:
    assert _schema([subject], EVERYTHING).matches(user, _info("GET", "/api/v1/pods")) is expected


ANYBODY = [{"kind": "Group", "group": {"name": "*"}}]


@pytest.mark.parametrize(
    ("changes", "method", "path", "expected"),
    [
        ({"verbs": ["get"]}, "GET", "/api/v1/namespaces/x/pods/a", True),
        ({"verbs": ["get"]}, "GET", "/api/v1/namespaces/x/pods", False),
        ({"resources": ["pods"]}, "GET", "/api/v1/namespaces/x/pods/a/status", False),
        ({"resources": ["pods/status"]}, "GET", "/api/v1/namespaces/x/pods/a/status", True),
        ({"apiGroups": [""]}, "GET", "/apis/apps/v1/deployments", False),
        ({"apiGroups": ["apps"]}, "GET", "/apis/apps/v1/deployments", True),
        ({"namespaces": ["x"]}, "GET", "/api/v1/namespaces/x/pods", True),
        ({"namespaces": ["x"]}, "GET", "/api/v1/namespaces/y/pods", False),
        ({"clusterScope": False}, "GET", "/api/v1/pods", False),
        ({"namespaces": []}, "GET", "/api/v1/pods", True),
        ({}, "GET", "/version", False),
    ],
)
def test_resource_rules(changes: Mapping[str, Any], method: str, path: str, expected: bool) -> None:
    assert _schema(ANYBODY, {**EVERYTHING, **changes}).matches(ANNA, _info(method, path)) is expected


@pytest.mark.parametrize(
    ("urls", "path", "expected"),
    [
        (["*"], "/anything", True),
        (["/healthz"], "/healthz", True),
        (["/healthz"], "/healthz/ping", True),
        (["/healthz"], "/healthzz", False),
        (["/debug/*"], "/debug/pprof", True),
        (["/debug/*"], "/debug", False),
    ],
)
def test_path_rules(urls: Sequence[str], path: str, expected: bool) -> None:
    schema = _schema(ANYBODY, path={"verbs": ["get"], "nonResourceURLs": urls})
    assert schema.matches(ANNA, _info("GET", path)) is expected
    assert not schema.matches(ANNA, _info("POST", path))


def test_flows_are_distinguished_by_user_or_namespace() -> None:
    info = _info("GET", "/api/v1/namespaces/x/pods")
    for kind, expected in (("ByUser", "anna"), ("ByNamespace", "x"), (None, "")):
        spec = {"distinguisherMethod": {"type": kind}} if kind else {}
        assert FlowSchema.of({"metadata": {"name": "a"}, "spec": spec}).flow_of(ANNA, info) == expected
