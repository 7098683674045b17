"""Namespaces: what every one has, and how one goes away."""

from __future__ import annotations

import pytest

from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, NAMESPACES, PODS, SECRETS, SERVICEACCOUNTS
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld

NAME = "namespace-controller"


def namespace(name: str = "team") -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config_map(name: str, space: str = "team", **metadata: object) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": space, **metadata}}


async def test_a_deleted_namespace_goes_with_everything_in_it(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(NAMESPACES, namespace())
    await world.create(CONFIGMAPS, config_map("a"))
    await world.create(SECRETS, {**config_map("b"), "kind": "Secret"})
    await world.client.delete(NAMESPACES, "team")
    await world.settle()
    assert (await world.get(NAMESPACES, "team"))["status"]["phase"] == "Terminating"
    await world.advance(6)
    assert not await world.exists(NAMESPACES, "team")
    assert not await world.list(CONFIGMAPS, "team")


async def test_says_what_keeps_it(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(NAMESPACES, namespace())
    await world.create(CONFIGMAPS, config_map("held", finalizers=["example.com/hold"]))
    await world.client.delete(NAMESPACES, "team")
    await world.advance(6)
    found = await world.get(NAMESPACES, "team")
    remaining = objects.condition(found, "NamespaceContentRemaining")
    finalizers = objects.condition(found, "NamespaceFinalizersRemaining")
    assert remaining is not None and finalizers is not None
    assert remaining["message"] == "Some resources are remaining: configmaps. has 1 resource instances"
    assert finalizers["message"] == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    assert not objects.is_true(found, "NamespaceDeletionContentFailure")
    await world.patch(CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, "team")
    await world.advance(10)
    assert not await world.exists(NAMESPACES, "team")


async def test_pods_go_before_what_they_use(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(NAMESPACES, namespace())
    await world.create(SERVICEACCOUNTS, {**config_map("default"), "kind": "ServiceAccount"})
    await world.create(CONFIGMAPS, config_map("a"))
    body = pod("busy")
    body["metadata"]["namespace"] = "team"
    await world.create(PODS, body)
    await world.add_nodes("n1")
    await world.run_pods(node="n1")
    await world.client.delete(NAMESPACES, "team")
    await world.advance(6)
    [busy] = await world.list(PODS, "team")
    assert objects.is_deleting(busy)
    assert await world.exists(CONFIGMAPS, "a", "team")
    await world.reap_pods()
    await world.advance(1)
    assert not await world.exists(NAMESPACES, "team")


async def test_every_active_namespace_has_a_default_service_account(world_of: StartWorld) -> None:
    world = await world_of("serviceaccount-controller")
    await world.create(NAMESPACES, namespace())
    assert await world.exists(SERVICEACCOUNTS, "default", "team")
    await world.client.delete(SERVICEACCOUNTS, "default", namespace="team")
    await world.settle()
    assert await world.exists(SERVICEACCOUNTS, "default", "team")


async def test_every_active_namespace_has_the_root_ca_and_keeps_it(world_of: StartWorld) -> None:
    world = await world_of("root-ca-certificate-publisher-controller", root_ca_pem=b"PEM")
    await world.create(NAMESPACES, namespace())
    found = await world.get(CONFIGMAPS, "kube-root-ca.crt", "team")
    assert found["data"] == {"ca.crt": "PEM"}
    await world.patch(CONFIGMAPS, "kube-root-ca.crt", {"data": {"ca.crt": "changed", "more": "x"}}, "team")
    assert (await world.get(CONFIGMAPS, "kube-root-ca.crt", "team"))["data"] == {"ca.crt": "PEM"}
    await world.client.delete(CONFIGMAPS, "kube-root-ca.crt", namespace="team")
    await world.settle()
    with pytest.raises(NotFound):
        await world.get(CONFIGMAPS, "absent", "team")
    assert await world.exists(CONFIGMAPS, "kube-root-ca.crt", "team")
