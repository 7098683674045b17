"""Defaults: a few written fields in, what upstream stores out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.schema.groups import REGISTRY, SUBRESOURCE_KINDS
from steersman.schema.kind import Kind

Case = tuple[str, dict[str, Any], dict[str, Any]]


def kind_of(name: str) -> Kind:
    """``Pod`` or, where several groups have it, ``autoscaling/v1/HorizontalPodAutoscaler``."""
    version, _, kind = name.rpartition("/")
    found = [
        entry
        for entry in (*REGISTRY, *SUBRESOURCE_KINDS)
        if entry.resource.kind == kind and version in ("", entry.resource.api_version)
    ]
    return found[0]


def defaulted(name: str, obj: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(obj)
    kind_of(name).default(made)
    return made


CONTAINER = {
    "name": "c",
    "image": "nginx",
    "imagePullPolicy": "Always",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
POD_SPEC = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
    "containers": [CONTAINER],
}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
FULL_TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD_SPEC}

WHOLE: list[Case] = [
    (
        "Pod",
        {"spec": {"containers": [{"name": "c", "image": "nginx"}]}},
        {"spec": {**POD_SPEC, "enableServiceLinks": True}, "status": {}},
    ),
    (
        "Deployment",
        {"spec": {"template": TEMPLATE}},
        {
            "spec": {
                "template": FULL_TEMPLATE,
                "replicas": 1,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
            },
            "status": {},
        },
    ),
    (
        "StatefulSet",
        {"spec": {"template": TEMPLATE, "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {}}]}},
        {
            "spec": {
                "template": FULL_TEMPLATE,
                "volumeClaimTemplates": [
                    {
                        "metadata": {"name": "v"},
                        "apiVersion": "v1",
                        "kind": "PersistentVolumeClaim",
                        "spec": {"volumeMode": "Filesystem", "resources": {}},
                        "status": {"phase": "Pending"},
                    }
                ],
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                "replicas": 1,
                "revisionHistoryLimit": 10,
            },
            "status": {"replicas": 0, "availableReplicas": 0},
        },
    ),
    (
        "Job",
        {"spec": {"template": TEMPLATE}},
        {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "template": FULL_TEMPLATE,
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": 6,
                "completionMode": "NonIndexed",
                "suspend": False,
                "podReplacementPolicy": "TerminatingOrFailed",
                "manualSelector": False,
            },
            "status": {},
        },
    ),
    (
        "Service",
        {"spec": {"ports": [{"port": 80}]}},
        {
            "spec": {
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
            },
            "status": {"loadBalancer": {}},
        },
    ),
    (
        "Namespace",
        {"metadata": {"name": "n"}},
        {
            "metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}},
            "spec": {},
            "status": {"phase": "Active"},
        },
    ),
    ("Secret", {}, {"type": "Opaque"}),
    ("TokenRequest", {"spec": {"audiences": []}}, {"spec": {"audiences": [], "expirationSeconds": 3600}}),
    ("PriorityClass", {"value": 1}, {"value": 1, "preemptionPolicy": "PreemptLowerPriority"}),
    ("StorageClass", {}, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
    (
        "NetworkPolicy",
        {"spec": {"egress": [{"ports": [{"port": 53}]}]}},
        {
            "spec": {
                "podSelector": {},
                "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
                "policyTypes": ["Ingress", "Egress"],
            }
        },
    ),
    (
        "RoleBinding",
        {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]},
        {
            "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io"}, {"kind": "ServiceAccount"}],
        },
    ),
    (
        "LimitRange",
        {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1000m"}, "min": {"memory": "1Mi"}}]}},
        {
            "spec": {
                "limits": [
                    {
                        "type": "Container",
                        "max": {"cpu": "1"},
                        "min": {"memory": "1Mi"},
                        "default": {"cpu": "1"},
                        "defaultRequest": {"cpu": "1", "memory": "1Mi"},
                    }
                ]
            }
        },
    ),
    (
        "CustomResourceDefinition",
        {"spec": {"names": {"kind": "Foo", "plural": "foos"}, "versions": [{"name": "v1", "storage": True}]}},
        {
            "spec": {
                "names": {"kind": "Foo", "plural": "foos", "singular": "foo", "listKind": "FooList"},
                "versions": [{"name": "v1", "storage": True}],
                "conversion": {"strategy": "None"},
            },
            "status": {"storedVersions": ["v1"]},
        },
    ),
]


@pytest.mark.parametrize(
    ("name", "written", "stored"), WHOLE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_left_out_is_filled_in(name: str, written: dict[str, Any], stored: dict[str, Any]) -> None:
    assert defaulted(name, written) == stored


@pytest.mark.parametrize("kind", [*REGISTRY, *SUBRESOURCE_KINDS], ids=lambda kind: kind.definition)
def test_an_empty_object_and_a_second_run_are_harmless(kind: Kind) -> None:
    obj: dict[str, Any] = {}
    kind.default(obj)
    once = copy.deepcopy(obj)
    kind.default(obj)
    assert obj == once


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/a/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        (f"nginx:latest@sha256:{'a' * 64}", "Always"),
        ("nginx:latest@sha256:abc", "IfNotPresent"),
        ("Not An Image", "IfNotPresent"),
    ],
)
def test_images_that_may_move_are_pulled_always(image: str, policy: str) -> None:
    pod = defaulted("Pod", {"spec": {"containers": [{"name": "c", "image": image}]}})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


CONTAINERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"resources": {"limits": {"cpu": "0.5"}}},
        {"resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}},
    ),
    (
        {"resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "1m"}}},
        {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1m", "memory": "1Gi"}}},
    ),
    ({"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]}),
    (
        {"livenessProbe": {"httpGet": {"port": 80}}},
        {
            "livenessProbe": {
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            }
        },
    ),
    (
        {"env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
        {"env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}]},
    ),
]


@pytest.mark.parametrize(("written", "stored"), CONTAINERS)
def test_container_fields(written: dict[str, Any], stored: dict[str, Any]) -> None:
    pod = {"spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "nginx", **written}]}}
    made = defaulted("Pod", pod)["spec"]["containers"][0]
    assert {**CONTAINER, **stored} == made


VOLUMES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"emptyDir": {}}),
    ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
    ({"hostPath": {"path": "/"}}, {"hostPath": {"path": "/", "type": ""}}),
    (
        {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {
            "projected": {
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                "defaultMode": 420,
            }
        },
    ),
]


@pytest.mark.parametrize(("written", "stored"), VOLUMES)
def test_volumes(written: dict[str, Any], stored: dict[str, Any]) -> None:
    made = defaulted("Pod", {"spec": {"volumes": [{"name": "v", **written}]}})
    assert made["spec"]["volumes"] == [{"name": "v", **stored}]


def test_a_pods_own_requests_come_from_its_containers_and_limits() -> None:
    spec = {
        "resources": {"limits": {"cpu": "2", "memory": "4Gi"}},
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1500m"}}}],
    }
    made = defaulted("Pod", {"spec": spec})
    assert made["spec"]["resources"] == {
        "limits": {"cpu": "2", "memory": "4Gi"},
        "requests": {"cpu": "1500m", "memory": "4Gi"},
    }
