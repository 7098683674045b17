"""Mirroring, role aggregation, bootstrap tokens, protection of claims, volumes and address ranges, ReplicationController."""

from __future__ import annotations

import base64

from steersman.meta import bootstraptokens, objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CLUSTERROLES,
    CONFIGMAPS,
    ENDPOINTS,
    ENDPOINTSLICES,
    NAMESPACES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    REPLICATIONCONTROLLERS,
    SECRETS,
    SERVICECIDRS,
    SERVICES,
)
from tests.controllers.builders import pod, template
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World


async def ensure_namespace(world: World, name: str) -> None:
    if not await world.exists(NAMESPACES, name):
        await world.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


async def test_endpoints_of_a_service_without_selector_are_mirrored(world_of: StartWorld) -> None:
    world = await world_of("endpointslice-mirroring-controller")
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "default"}}
    await world.create(SERVICES, {**service, "spec": {"ports": [{"port": 5432}]}})
    subset = {"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "ports": [{"port": 5432}]}
    metadata = {"name": "db", "namespace": "default", "labels": {"tier": "data"}}
    await world.create(ENDPOINTS, {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": [subset]})
    found = {entry["addressType"]: entry for entry in await world.list(ENDPOINTSLICES)}
    assert found["IPv4"]["endpoints"][0]["addresses"] == ["192.0.2.1"]
    assert found["IPv6"]["endpoints"][0]["addresses"] == ["2001:db8::1"]
    assert objects.labels(found["IPv4"])["tier"] == "data"
    await world.patch(ENDPOINTS, "db", {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}})
    assert not await world.list(ENDPOINTSLICES)


async def test_a_role_is_the_sum_of_those_it_selects(world_of: StartWorld) -> None:
    world = await world_of("clusterrole-aggregation-controller")

    def role(name: str, verb: str | None = None, **fields: Object) -> Object:
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}] if verb else []
        metadata = {"name": name, "labels": {"sum": "yes"} if verb else {}}
        return {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": rules,
            **fields,
        }

    selectors = {"clusterRoleSelectors": [{"matchLabels": {"sum": "yes"}}]}
    await world.create(CLUSTERROLES, role("total", aggregationRule=selectors))
    await world.create(CLUSTERROLES, role("b", "list"))
    await world.create(CLUSTERROLES, role("a", "get"))
    rules = (await world.get(CLUSTERROLES, "total"))["rules"]
    assert [rule["verbs"] for rule in rules] == [["get"], ["list"]]
    await world.client.delete(CLUSTERROLES, "b")
    await world.settle()
    assert len((await world.get(CLUSTERROLES, "total"))["rules"]) == 1


def bootstrap_secret(token_id: str, **data: str) -> Object:
    values = {"token-id": token_id, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **data}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in values.items()},
    }


async def test_cluster_info_is_signed_by_tokens_until_they_expire(world_of: StartWorld) -> None:
    world = await world_of("bootstrap-signer-controller", "token-cleaner-controller")
    for name in ("kube-public", "kube-system"):
        await ensure_namespace(world, name)
    info = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info", "namespace": "kube-public"}}
    await world.create(CONFIGMAPS, {**info, "data": {"kubeconfig": "content"}})
    await world.create(SECRETS, bootstrap_secret("abcdef"))
    soon = times.format_time(world.clock.now() + 60)
    await world.create(SECRETS, bootstrap_secret("ghijkl", expiration=soon))
    data = (await world.get(CONFIGMAPS, "cluster-info", "kube-public"))["data"]
    assert set(data) == {"kubeconfig", "jws-kubeconfig-abcdef", "jws-kubeconfig-ghijkl"}
    header, payload, _ = data["jws-kubeconfig-abcdef"].split(".")
    assert payload == ""
    assert base64.urlsafe_b64decode(header + "==") == b'{"alg":"HS256","kid":"abcdef"}'
    await world.advance(61)
    assert not await world.exists(SECRETS, "bootstrap-token-ghijkl", "kube-system")
    data = (await world.get(CONFIGMAPS, "cluster-info", "kube-public"))["data"]
    assert set(data) == {"kubeconfig", "jws-kubeconfig-abcdef"}


def test_a_secret_under_another_name_holds_no_token() -> None:
    secret = bootstrap_secret("abcdef")
    secret["metadata"]["name"] = "bootstrap-token-other"
    assert bootstraptokens.parse(secret) is None


async def test_a_claim_in_use_is_not_removed(world_of: StartWorld) -> None:
    world = await world_of("persistentvolumeclaim-protection-controller", "persistentvolume-protection-controller")
    await world.add_nodes("n1")
    resources = {"requests": {"storage": "1Gi"}}
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources},
    }  # fmt: skip
    await world.create(PERSISTENTVOLUMECLAIMS, claim)
    assert "kubernetes.io/pvc-protection" in objects.finalizers(await world.get(PERSISTENTVOLUMECLAIMS, "data"))
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    await world.create(PODS, pod(spec={"volumes": [volume]}))
    await world.run_pods(node="n1")
    await world.client.delete(PERSISTENTVOLUMECLAIMS, "data", namespace="default")
    await world.settle()
    assert await world.exists(PERSISTENTVOLUMECLAIMS, "data")
    await world.finish_pods("Succeeded", await world.list(PODS))
    assert not await world.exists(PERSISTENTVOLUMECLAIMS, "data")


async def test_a_bound_volume_is_not_removed(world_of: StartWorld) -> None:
    world = await world_of("persistentvolume-protection-controller")
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": spec}
    created = await world.create(PERSISTENTVOLUMES, volume)
    await world.set_status(PERSISTENTVOLUMES, created, phase="Bound")
    await world.client.delete(PERSISTENTVOLUMES, "v")
    await world.settle()
    assert await world.exists(PERSISTENTVOLUMES, "v")
    await world.set_status(PERSISTENTVOLUMES, created, phase="Released")
    await world.settle()
    assert not await world.exists(PERSISTENTVOLUMES, "v")


async def test_an_address_range_in_use_is_not_removed(world_of: StartWorld) -> None:
    world = await world_of("service-cidr-controller")
    extra = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "extra"},
        "spec": {"cidrs": ["10.97.0.0/24"]},
    }
    await world.create(SERVICECIDRS, extra)
    found = await world.get(SERVICECIDRS, "extra")
    assert objects.is_true(found, "Ready")
    assert objects.finalizers(found) == ["networking.k8s.io/service-cidr-finalizer"]
    await world.client.delete(SERVICECIDRS, "extra")
    await world.settle()
    assert await world.exists(SERVICECIDRS, "extra")
    await world.advance(11)
    assert not await world.exists(SERVICECIDRS, "extra")


async def test_a_replication_controller_keeps_its_pods(world_of: StartWorld) -> None:
    world = await world_of("replicationcontroller-controller")
    spec = {"replicas": 2, "selector": {"app": "web"}, "template": template()}
    body = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": "rc", "namespace": "default"},
        "spec": spec,
    }
    await world.create(REPLICATIONCONTROLLERS, body)
    pods = await world.list(PODS)
    assert {(objects.controller_of(found) or {})["kind"] for found in pods} == {"ReplicationController"}
    assert len(pods) == 2
    status = (await world.get(REPLICATIONCONTROLLERS, "rc"))["status"]
    assert status["replicas"] == 2
