"""ResourceQuota: usage counted from what is there."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.meta import objects, quotas
from steersman.meta.errors import Forbidden, Invalid
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.meta.resources import (
    CONFIGMAPS,
    CUSTOMRESOURCEDEFINITIONS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    RESOURCEQUOTAS,
    SECRETS,
    SERVICES,
    Resource,
)
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

NAME = "resourcequota-controller"


def quota(hard: dict[str, str], **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "quota", "namespace": "default"},
        "spec": {"hard": hard, **spec},
    }


def sized(name: str = "web-1", **resources: dict[str, str]) -> Object:
    made = pod(name)
    made["spec"]["containers"][0]["resources"] = resources
    return made


async def test_counts_pods_services_and_any_object(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    hard = {
        "pods": "5",
        "requests.cpu": "2",
        "limits.memory": "4Gi",
        "services": "2",
        "count/configmaps": "9",
        "count/leases.coordination.k8s.io": "1",
    }
    await world.create(RESOURCEQUOTAS, quota(hard))
    used = (await world.get(RESOURCEQUOTAS, "quota"))["status"]["used"]
    before = int(used["count/configmaps"])
    assert used | {"count/configmaps": "0"} == dict.fromkeys(hard, "0")
    await world.create(PODS, sized(requests={"cpu": "500m"}, limits={"memory": "1Gi"}))
    await world.create(
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s", "namespace": "default"},
            "spec": {"ports": [{"port": 80}]},
        },
    )
    await world.create(
        CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}}
    )
    await world.advance(301)
    used = (await world.get(RESOURCEQUOTAS, "quota"))["status"]["used"]
    assert used == {
        "pods": "1", "requests.cpu": "500m", "limits.memory": "1Gi", "services": "1",
        "count/configmaps": str(before + 1), "count/leases.coordination.k8s.io": "0",
    }  # fmt: skip
    [only] = await world.list(PODS)
    await world.client.delete(PODS, objects.name(only), namespace="default", grace_period_s=0)
    await world.settle()
    assert (await world.get(RESOURCEQUOTAS, "quota"))["status"]["used"]["pods"] == "0"


@pytest.mark.parametrize(
    "scope, resources, counts",
    [
        ("BestEffort", {}, True),
        ("BestEffort", {"requests": {"cpu": "1"}}, False),
        ("NotBestEffort", {"requests": {"cpu": "1"}}, True),
        ("NotTerminating", {}, True),
        ("Terminating", {}, False),
        ("PriorityClass", {}, False),
    ],
)
def test_scopes(scope: str, resources: dict[str, Any], counts: bool) -> None:
    scopes = quotas.scopes_of(quota({"pods": "1"}, scopes=[scope]))
    assert quotas.in_scope(PODS, sized(**resources), scopes, 0.0) is counts


def test_a_pod_takes_what_its_containers_or_its_init_containers_need() -> None:
    made = sized(requests={"cpu": "1", "example.com/gpu": "2"}, limits={"memory": "1Gi"})
    made["spec"]["initContainers"] = [
        {"name": "sidecar", "restartPolicy": "Always", "resources": {"requests": {"cpu": "250m"}}},
        {"name": "init", "resources": {"requests": {"cpu": "3"}}},
    ]
    usage = quotas.usage_of(PODS, made, 0.0)
    assert float(usage["requests.cpu"]) == 3.25
    assert usage["requests.example.com/gpu"] == 2
    assert usage["limits.memory"] == usage["requests.memory"] == 2**30
    assert "pods" not in quotas.usage_of(PODS, {**made, "status": {"phase": "Failed"}}, 0.0)


def test_a_claim_takes_of_its_class() -> None:
    claim = {"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}}
    usage = quotas.usage_of(PERSISTENTVOLUMECLAIMS, claim, 0.0)
    assert usage["fast.storageclass.storage.k8s.io/requests.storage"] == 2**30
    assert usage["persistentvolumeclaims"] == 1


# -- with admission: upstream's conformance tests of the life of objects

HARD = {
    "pods": "5",
    "cpu": "1",
    "memory": "500Mi",
    "ephemeral-storage": "50Gi",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "secrets": "10",
    "configmaps": "10",
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "10",
    "gold.storageclass.storage.k8s.io/requests.storage": "10Gi",
    "requests.example.com/dongle": "3",
    "count/replicasets.apps": "5",
}


async def _used(world: World) -> Object:
    used: Object = (await world.get(RESOURCEQUOTAS, "quota"))["status"]["used"]
    return used


def _template() -> Object:
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.parametrize(
    ("resource", "obj", "takes"),
    [
        (SERVICES, {"spec": {"ports": [{"port": 80}]}}, {"services": "1"}),
        (
            SERVICES,
            {"spec": {"type": "NodePort", "ports": [{"port": 80}]}},
            {"services": "1", "services.nodeports": "1"},
        ),
        (SECRETS, {"data": {}}, {"secrets": "1"}),
        (CONFIGMAPS, {}, {"configmaps": "1"}),
        (
            REPLICATIONCONTROLLERS,
            {"spec": {"replicas": 0, "selector": {"a": "b"}, "template": _template()}},
            {"replicationcontrollers": "1"},
        ),
        (
            REPLICASETS,
            {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": _template()}},
            {"count/replicasets.apps": "1"},
        ),
        (
            PERSISTENTVOLUMECLAIMS,
            {
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "gold",
                    "resources": {"requests": {"storage": "1Gi"}},
                }
            },
            {
                "persistentvolumeclaims": "1",
                "requests.storage": "1Gi",
                "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
                "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
            },
        ),
    ],
)
async def test_the_life_of_an_object(
    world_of: StartWorld, resource: Resource, obj: Object, takes: dict[str, str]
) -> None:
    world = await world_of(NAME)
    await world.create(RESOURCEQUOTAS, quota(HARD))
    before = await _used(world)
    assert before["resourcequotas"] == "1"
    await world.create(resource, {**obj, "metadata": {"name": "a", "namespace": "default"}})
    for name, amount in takes.items():
        assert quantity((await _used(world))[name]) == quantity(before[name]) + quantity(amount)
    claim = await world.get(resource, "a")
    if objects.finalizers(claim):
        await world.client.update(resource, objects.with_metadata(claim, finalizers=None))
    await world.client.delete(resource, "a", namespace="default", propagation="Background")
    await world.settle()
    assert await _used(world) == before
    await world.prove_idle()


async def test_the_life_of_a_pod(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(RESOURCEQUOTAS, quota(HARD))
    fits = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}
    made = await world.create(PODS, sized("test-pod", requests=fits, limits={"example.com/dongle": "2"}))
    used = await _used(world)
    assert used["pods"] == "1"
    assert [used[name] for name in ("cpu", "memory", "ephemeral-storage")] == ["500m", "252Mi", "30Gi"]
    assert used["requests.example.com/dongle"] == "2"
    with pytest.raises(Forbidden, match="exceeded quota: quota, requested: cpu=600m, used: cpu=500m, limited: cpu=1"):
        await world.client.create(PODS, sized("fail-pod", requests={"cpu": "600m", "memory": "100Mi"}))
    much = {"cpu": "500m", "memory": "100Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}
    with pytest.raises(Forbidden, match=r"requested: ephemeral-storage=30Gi,requests\.example\.com/dongle=2"):
        await world.client.create(PODS, sized("fail-pod", requests=much, limits={"example.com/dongle": "2"}))
    smaller = copy.deepcopy(made)
    smaller["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "100m", "memory": "100Mi"}
    with pytest.raises(Invalid):
        await world.client.update(PODS, smaller)
    assert await _used(world) == used
    await world.client.delete(PODS, "test-pod", namespace="default", grace_period_s=0)
    await world.settle()
    assert (await _used(world))["cpu"] == "0"


@pytest.mark.parametrize(
    ("scopes", "fitting", "other"),
    [
        (("Terminating", "NotTerminating"), {"activeDeadlineSeconds": 3600}, {}),
        (("BestEffort", "NotBestEffort"), {}, {"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}}),
    ],
)
async def test_scopes_of_pods(
    world_of: StartWorld, scopes: tuple[str, str], fitting: dict[str, Any], other: dict[str, Any]
) -> None:
    world = await world_of(NAME)
    for scope in scopes:
        made = quota({"pods": "5"}, scopes=[scope])
        await world.create(RESOURCEQUOTAS, objects.with_metadata(made, name=f"quota-{scope.lower()}"))

    async def used() -> list[str]:
        found = [await world.get(RESOURCEQUOTAS, f"quota-{scope.lower()}") for scope in scopes]
        return [entry["status"]["used"]["pods"] for entry in found]

    for name, spec, expected in (("a", fitting, ["1", "0"]), ("b", other, ["0", "1"])):
        made = sized(name, **spec.get("resources", {}))
        made["spec"] |= {key: value for key, value in spec.items() if key != "resources"}
        await world.create(PODS, made)
        assert await used() == expected
        await world.client.delete(PODS, name, namespace="default", grace_period_s=0)
        await world.settle()
        assert await used() == ["0", "0"]


async def test_a_quota_follows_its_spec_and_leaves_its_status_to_others(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    made = await world.create(RESOURCEQUOTAS, quota({"cpu": "1", "memory": "500Mi"}))
    await world.patch(RESOURCEQUOTAS, "quota", {"spec": {"hard": {"cpu": "2", "memory": "1Gi"}}})
    await world.settle()
    found = await world.get(RESOURCEQUOTAS, "quota")
    assert found["status"] == {"hard": {"cpu": "2", "memory": "1Gi"}, "used": {"cpu": "0", "memory": "0"}}
    status = {"status": {"hard": {"cpu": "3", "memory": "2Gi"}}}
    await world.patch(RESOURCEQUOTAS, "quota", status, subresource="status")
    await world.settle()
    assert (await world.get(RESOURCEQUOTAS, "quota"))["status"]["hard"]["cpu"] == "3"
    await world.advance(301)
    assert (await world.get(RESOURCEQUOTAS, "quota"))["status"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    assert made["metadata"]["uid"] == found["metadata"]["uid"]


async def test_the_life_of_a_custom_resource(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    widgets = Resource(group="example.com", version="v1", plural="widgets", kind="Widget", namespaced=True)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    await world.create(RESOURCEQUOTAS, quota({"count/widgets.example.com": "1"}))
    await world.create(CUSTOMRESOURCEDEFINITIONS, definition)
    await world.advance(301)
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "namespace": "default"}}
    await world.create(widgets, widget)
    assert await _used(world) == {"count/widgets.example.com": "1"}
    with pytest.raises(Forbidden, match=r"exceeded quota: quota, requested: count/widgets\.example\.com=1"):
        await world.client.create(widgets, objects.with_metadata(widget, name="b"))
    await world.client.delete(widgets, "a", namespace="default")
    await world.settle()
    assert await _used(world) == {"count/widgets.example.com": "0"}
