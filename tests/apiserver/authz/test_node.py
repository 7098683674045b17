"""A kubelet reads what its own pods refer to, by name, and nothing of other nodes."""

from __future__ import annotations

import pytest

from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes
from steersman.apiserver.authz.node import NodeAuthorizer
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS
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
        (PERSISTENTVOLUMECLAIMS, named("data", "shop", spec={"volumeName": "pv1"})),
        (PERSISTENTVOLUMES, named("pv1", spec={"csi": {"nodePublishSecretRef": {"name": "csi", "namespace": "shop"}}})),
    ]
)


def ask(node: str, verb: str, resource: str, name: str, *, group: str = "", namespace: str = "shop") -> Attributes:
    plural, _, subresource = resource.partition("/")
    return Attributes(
        user=User(name=f"system:node:{node}", groups=("system:nodes",)),
        verb=verb, group=group, resource=plural, subresource=subresource, namespace=namespace, name=name,
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
        (ask("n1", "list", "pods", "", namespace=""), True),
        (ask("n1", "create", "pods/eviction", "web"), True),
        (ask("n1", "create", "deployments", "", group="apps"), False),
    ],
)
async def test_reads_follow_the_pods_of_the_node(question: Attributes, allowed: bool) -> None:
    assert (await NodeAuthorizer(READER).authorize(question)).allowed is allowed


async def test_other_users_are_not_its_business() -> None:
    question = Attributes(user=User(name="jane"), verb="get", resource="secrets", name="pull", namespace="shop")
    decision = await NodeAuthorizer(READER).authorize(question)
    assert not decision.allowed
    assert not decision.reason
