"""A kubelet reads what its own pods refer to, by name, and nothing of other nodes."""

from __future__ import annotations

import pytest

from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes
from steersman.apiserver.authz.node import NodeAuthorizer
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS, RESOURCESLICES
from steersman.meta.selectors import parse_field_selector
from tests.apiserver.readers import ListedObjects, named

POD = named(
    "web",
    "shop",
    spec={
        "nodeName": "n1",
        "serviceAccountName": "runner",
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [
            {
                "name": "c",
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}}],
                "envFrom": [{"configMapRef": {"name": "env-map"}}],
            }
        ],
        "volumes": [
            {"name": "a", "secret": {"secretName": "vol-secret"}},
            {
                "name": "b",
                "projected": {"sources": [{"configMap": {"name": "proj-map"}}, {"secret": {"name": "proj"}}]},
            },
            {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
        ],
    },
)
READER = ListedObjects(
    [
        (PODS, POD),
        (RESOURCESLICES, named("s1", spec={"nodeName": "n1"})),
        (PERSISTENTVOLUMECLAIMS, named("data", "shop", spec={"volumeName": "pv1"})),
        (PERSISTENTVOLUMES, named("pv1", spec={"csi": {"nodePublishSecretRef": {"name": "csi", "namespace": "shop"}}})),
    ]
)


def ask(
    node: str, verb: str, resource: str, name: str, *, group: str = "", namespace: str = "shop", fields: str = ""
) -> Attributes:
    plural, _, subresource = resource.partition("/")
    return Attributes(
        user=User(name=f"system:node:{node}", groups=("system:nodes",)),
        verb=verb, group=group, resource=plural, subresource=subresource, namespace=namespace, name=name,
        field_selector=parse_field_selector(fields),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("question", "allowed"),
    [
        *[(ask("n1", "get", "secrets", name), True) for name in ("pull", "env-secret", "vol-secret", "proj", "csi")],
        *[(ask("n1", "get", "configmaps", name), True) for name in ("env-map", "proj-map")],
        (ask("n1", "get", "persistentvolumeclaims", "data"), True),
        (ask("n1", "get", "persistentvolumes", "pv1", namespace=""), True),
        (ask("n1", "create", "serviceaccounts/token", "runner"), True),
        (ask("n1", "create", "serviceaccounts/token", "other"), False),
        (ask("n1", "get", "secrets", "unrelated"), False),
        (ask("n1", "list", "secrets", ""), False),
        (ask("n2", "get", "secrets", "pull"), False),
        (ask("n1", "update", "leases", "n1", group="coordination.k8s.io", namespace="kube-node-lease"), True),
        (ask("n1", "update", "leases", "n2", group="coordination.k8s.io", namespace="kube-node-lease"), False),
        (ask("n1", "get", "nodes", "n2", namespace=""), False),
        (ask("n1", "list", "nodes", "", namespace=""), False),
        (ask("n1", "watch", "nodes", "n1", namespace=""), True),
        (ask("n1", "update", "nodes", "n1", namespace=""), True),
        (ask("n1", "delete", "nodes", "n1", namespace=""), False),
        (ask("n1", "patch", "nodes/status", "n1", namespace=""), True),
        (ask("n1", "list", "pods", "", namespace=""), False),
        (ask("n1", "list", "pods", "", namespace="", fields="spec.nodeName=n1"), True),
        (ask("n1", "watch", "pods", "", namespace="", fields="status.phase!=Failed,spec.nodeName=n1"), True),
        (ask("n1", "list", "pods", "", namespace="", fields="spec.nodeName=n2"), False),
        (ask("n1", "list", "pods", "", namespace="", fields="spec.nodeName!=n1"), False),
        (ask("n1", "watch", "pods", "web", fields="metadata.name=web"), True),
        (ask("n2", "watch", "pods", "web", fields="metadata.name=web"), False),
        (ask("n1", "get", "pods", "web"), True),
        (ask("n2", "get", "pods", "web"), False),
        (ask("n1", "update", "pods", "web"), False),
        (ask("n1", "patch", "pods/status", "web"), True),
        (ask("n1", "get", "pods/log", "web"), False),
        (ask("n1", "list", "persistentvolumeclaims", "data"), False),
        (ask("n1", "patch", "persistentvolumeclaims/status", "data"), True),
        (ask("n1", "get", "resourceslices", "s1", group="resource.k8s.io", namespace=""), True),
        (ask("n2", "delete", "resourceslices", "s1", group="resource.k8s.io", namespace=""), False),
        (ask("n2", "create", "resourceslices", "", group="resource.k8s.io", namespace=""), True),
        (ask("n1", "list", "resourceslices", "", group="resource.k8s.io", namespace=""), False),
        (
            ask(
                "n1",
                "deletecollection",
                "resourceslices",
                "",
                group="resource.k8s.io",
                namespace="",
                fields="spec.nodeName=n1",
            ),
            True,
        ),
        (ask("n1", "list", "services", "", namespace=""), True),
        (ask("n1", "create", "pods/eviction", "web"), True),
        (ask("n1", "create", "deployments", "", group="apps"), False),
    ],
)
async def test_reads_follow_the_pods_of_the_node(question: Attributes, allowed: bool) -> None:
    assert (await NodeAuthorizer(READER).authorize(question)).allowed is allowed


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (ask("n1", "list", "pods", "", namespace=""), "can only list/watch pods with spec.nodeName field selector"),
        (ask("n1", "get", "pods", "gone"), "no relationship found between node 'n1' and this object"),
        (ask("n1", "list", "nodes", ""), "node 'n1' cannot read all nodes, only its own Node object"),
        (ask("n1", "get", "nodes", "n2"), "node 'n1' cannot read 'n2', only its own Node object"),
        (ask("n1", "list", "secrets", ""), "No Object name found"),
        (ask("n1", "list", "persistentvolumes", "", namespace=""), "can only get individual resources of this type"),
    ],
)
async def test_refusals_say_what_a_kubelet_may_ask(question: Attributes, reason: str) -> None:
    assert (await NodeAuthorizer(READER).authorize(question)).reason == reason


async def test_other_users_are_not_its_business() -> None:
    question = Attributes(user=User(name="jane"), verb="get", resource="secrets", name="pull", namespace="shop")
    decision = await NodeAuthorizer(READER).authorize(question)
    assert not decision.allowed
    assert not decision.reason
