"""ResourceQuota: usage counted from what is there."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.meta import objects, quotas
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, PERSISTENTVOLUMECLAIMS, PODS, RESOURCEQUOTAS, SERVICES
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld

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
