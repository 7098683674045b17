"""What happens to autoscalers, Services, nodes and others, so that their controllers tell of it: scenarios of
``test_events``."""

from __future__ import annotations

from steersman.meta import times
from steersman.meta.resources import (
    CONFIGMAPS,
    CUSTOMRESOURCEDEFINITIONS,
    DEPLOYMENTS,
    ENDPOINTS,
    HORIZONTALPODAUTOSCALERS,
    JOBS,
    NODES,
    PODDISRUPTIONBUDGETS,
    PODS,
    RESOURCECLAIMS,
    RESOURCECLAIMTEMPLATES,
    RESOURCESLICES,
    SERVICECIDRS,
    SERVICES,
    Resource,
)
from tests.apiserver.extensions import builders as extensions
from tests.controllers.builders import pod, workload
from tests.controllers.conftest import StartWorld
from tests.controllers.kinds import test_resourceclaim as claims
from tests.controllers.kinds.test_disruption import budget
from tests.controllers.kinds.test_endpoints import add_pods, service
from tests.controllers.kinds.test_garbagecollector import config_map, owned_by
from tests.controllers.kinds.test_horizontalpodautoscaler import hpa
from tests.controllers.kinds.test_job import job
from tests.controllers.kinds.test_nodelifecycle import live as let_live
from tests.controllers.kinds.test_nodelifecycle import taint
from tests.controllers.world import World

WIDGETS = Resource(group="example.com", version="v1", plural="widgets", kind="Widget", namespaced=True)


async def autoscalers(world_of: StartWorld) -> World:
    world = await world_of("horizontal-pod-autoscaler-controller")
    world.log.refuse("PUT", "/scale")
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=8))
    metrics = [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
        {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
        {"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": "main", "target": {"type": "Utilization", "averageUtilization": 50}}},
        {"type": "Pods", "pods": {"metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": "1"}}},
        {"type": "Object", "object": {
            "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "web"},
            "metric": {"name": "hits"}, "target": {"type": "Value", "value": "1"}}},
        {"type": "External", "external": {
            "metric": {"name": "queue", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "1"}}},
    ]  # fmt: skip
    await world.create(HORIZONTALPODAUTOSCALERS, hpa(minReplicas=2, metrics=metrics))
    world.log.accept()
    await world.advance(16)
    await world.advance(16)
    return world


async def autoscalers_without_a_target(world_of: StartWorld) -> World:
    world = await world_of("horizontal-pod-autoscaler-controller")
    missing, unknown, malformed = hpa(), hpa(), hpa()
    unknown["metadata"] = {**unknown["metadata"], "name": "unknown"}
    unknown["spec"] = {**unknown["spec"], "scaleTargetRef": {"apiVersion": "apps/v9", "kind": "Gadget", "name": "x"}}
    malformed["metadata"] = {**malformed["metadata"], "name": "old-version"}
    for made in (missing, unknown, malformed):
        await world.create(HORIZONTALPODAUTOSCALERS, made)
    world.log.refuse("PUT", "/horizontalpodautoscalers")
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=1))
    await world.advance(16)
    world.log.accept()
    await world.advance(30)
    return world


async def autoscalers_that_do_not_know_their_pods(world_of: StartWorld) -> World:
    world = await world_of("horizontal-pod-autoscaler-controller")
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    served = extensions.version(
        subresources={"status": {}, "scale": {**scale, "labelSelectorPath": ".status.selector"}},
        schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    )
    await world.create(CUSTOMRESOURCEDEFINITIONS, extensions.definition(served))
    await world.advance(1)
    for name, selector in (("none", ""), ("bad", "=,="), ("a", "app=web"), ("b", "app=web")):
        made = await world.client.create(WIDGETS, extensions.widget(name, spec={"replicas": 1}))
        await world.client.update(
            WIDGETS, {**made, "status": {"replicas": 1, "selector": selector}}, subresource="status"
        )  # fmt: skip
        scaler = hpa()
        scaler["metadata"] = {"name": name, "namespace": "default"}
        scaler["spec"]["scaleTargetRef"] = {"apiVersion": "example.com/v1", "kind": "Widget", "name": name}
        await world.create(HORIZONTALPODAUTOSCALERS, scaler)
    await world.create(PODS, pod())
    await world.advance(16)
    await world.advance(16)
    return world


async def budgets(world_of: StartWorld) -> World:
    world = await world_of("disruption-controller")
    await world.create(PODDISRUPTIONBUDGETS, budget(maxUnavailable=1))
    stranger = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gone", "uid": "x", "controller": True}
    await world.create(PODS, pod("lost", metadata={"ownerReferences": [stranger]}))
    await world.client.delete(PODS, "lost", namespace="default", grace_period_s=0)
    await world.create(PODS, pod())
    found = await world.get(PODDISRUPTIONBUDGETS, "pdb")
    await world.set_status(PODDISRUPTIONBUDGETS, found, disruptedPods={"web-1": times.format_time(world.clock.now())})
    await world.advance(121)
    rival = {**budget(maxUnavailable=1), "metadata": {"name": "another", "namespace": "default"}}
    await world.create(PODDISRUPTIONBUDGETS, rival)
    await world.patch(PODS, "web-1", {"metadata": {"labels": {"x": "y"}}})
    return world


async def endpoints_that_cannot_be_written(world_of: StartWorld) -> World:
    world = await world_of("endpoints-controller", "endpointslice-controller")
    await world.add_nodes("n1")
    for method in ("POST", "PUT"):
        world.log.refuse(method, "/endpoints")
        if method == "POST":
            await world.create(SERVICES, service())
        else:
            await add_pods(world, 1)
        world.log.accept()
        await world.advance(60)
    return world


async def hints_in_proportion(world_of: StartWorld) -> World:
    world = await world_of("endpointslice-controller")
    for name in ("n1", "n2"):
        await world.add_nodes(name, **{"topology.kubernetes.io/zone": f"zone-{name}"})
    made = service()
    made["metadata"] = {**made["metadata"], "annotations": {"service.kubernetes.io/topology-mode": "Auto"}}
    await world.create(SERVICES, made)
    await give_cpus(world, n1="1", n2="1")
    for number, node in enumerate(("n1", "n2")):
        found = await world.create(PODS, pod(f"web-{number}"))
        await world.run_pod(found, node=node, address=f"10.0.0.{number + 1}")
    await world.settle()
    await give_cpus(world, n1="1", n2="9")
    await give_cpus(world, n1="1", n2="1")
    annotations = {"service.kubernetes.io/topology-mode": None}
    await world.patch(SERVICES, "web", {"metadata": {"annotations": annotations}})
    return world


async def give_cpus(world: World, **cpus: str) -> None:
    for name, cpu in cpus.items():
        await world.set_status(NODES, await world.get(NODES, name), allocatable={"cpu": cpu})
    await world.settle()


async def an_endpoint_without_a_zone(world_of: StartWorld) -> World:
    world = await world_of("endpointslice-controller")
    for name in ("n1", "n2"):
        await world.add_nodes(name, **{"topology.kubernetes.io/zone": f"zone-{name}"})
    await give_cpus(world, n1="1", n2="1")
    control = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n0"}}
    await world.create(
        NODES, {**control, "metadata": {"name": "n0", "labels": {"node-role.kubernetes.io/control-plane": ""}}}
    )
    made = service()
    made["metadata"] = {**made["metadata"], "annotations": {"service.kubernetes.io/topology-mode": "Auto"}}
    for number, node in enumerate(("n1", "n0")):
        found = await world.create(PODS, pod(f"web-{number}"))
        await world.run_pod(found, node=node, address=f"10.0.0.{number + 1}")
    await world.create(SERVICES, made)
    return world


async def addresses_that_cannot_be_mirrored(world_of: StartWorld) -> World:
    world = await world_of("endpointslice-mirroring-controller", mirroring_max_endpoints_per_subset=2)
    await world.create(SERVICES, service("db", selector=None))
    metadata = {"name": "db", "namespace": "default"}
    subset = {"addresses": [{"ip": f"192.0.2.{n}"} for n in range(1, 6)], "ports": [{"port": 80}]}
    await world.create(ENDPOINTS, {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": [subset]})
    return world


async def an_owner_elsewhere(world_of: StartWorld) -> World:
    world = await world_of("garbage-collector-controller")
    owner = await world.create(JOBS, {**job("owner"), "spec": {**job()["spec"], "suspend": True}})
    reference = owned_by(owner) | {"apiVersion": "batch/v1"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "ownerReferences": [reference]}}
    await world.create(NODES, node)
    assert await world.exists(NODES, "n1")
    kube = {**config_map("child", reference), "metadata": {"name": "child", "namespace": "kube-system"}}
    kube["metadata"]["ownerReferences"] = [reference]
    await world.create(CONFIGMAPS, kube)
    assert not await world.exists(CONFIGMAPS, "child", "kube-system")
    return world


async def blocks_of_addresses(world_of: StartWorld) -> World:
    world = await world_of(
        "node-ipam-controller", allocate_node_cidrs=True, cluster_cidrs=("10.8.0.0/24",), node_cidr_mask_size_ipv4=24
    )
    world.log.refuse("PATCH", "/nodes")
    await world.add_nodes("n1")
    world.log.accept()
    await world.advance(10)
    await world.add_nodes("n2")
    return world


async def a_node_that_falls_silent(world_of: StartWorld) -> World:
    world = await world_of("node-lifecycle-controller")
    await world.add_nodes("n1", "n2", "n3")
    await world.create(PODS, pod())
    await world.run_pods(node="n1")
    await let_live(world, 60, "n2", "n3")
    await world.client.delete(NODES, "n1")
    await world.settle()
    return world


async def taints_that_come_and_go(world_of: StartWorld) -> World:
    world = await world_of("taint-eviction-controller")
    await world.add_nodes("n1")
    later = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    await world.create(PODS, pod("now"))
    await world.create(PODS, pod("later", spec={"tolerations": [later]}))
    await world.run_pods(node="n1")
    await taint(world, "n1", {"key": "a", "effect": "NoExecute"})
    await taint(world, "n1")
    return world


async def devices_that_break(world_of: StartWorld) -> World:
    world = await world_of(claims.CLAIMS, claims.EVICTION)
    await world.add_nodes("n1")
    await world.create(PODS, claims.user())
    await world.create(RESOURCECLAIMTEMPLATES, claims.template())
    made = await world.create(RESOURCESLICES, claims.resource_slice())
    owner = await world.get(PODS, "trainer")
    [claim] = await world.list(RESOURCECLAIMS)
    await claims.allocate(world, claim, consumers=(owner,))
    await world.run_pod(owner, node="n1")
    await world.settle()
    broken = {"key": "broken", "effect": "NoExecute", "timeAdded": times.format_time(world.clock.now() + 60)}
    for taints in ([broken], [], [{"key": "broken", "effect": "NoExecute"}]):
        made = await world.client.update(RESOURCESLICES, {**made, "spec": claims.resource_slice(*taints)["spec"]})
        await world.settle()
    return world


async def a_range_that_cannot_be_served(world_of: StartWorld) -> World:
    world = await world_of("service-cidr-controller")
    world.log.refuse("PUT", "/servicecidrs")
    spec = {"cidrs": ["10.97.0.0/24"]}
    await world.create(
        SERVICECIDRS,
        {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
         "metadata": {"name": "extra", "finalizers": ["networking.k8s.io/service-cidr-finalizer"]}, "spec": spec},
    )  # fmt: skip
    world.log.accept()
    await world.advance(60)
    return world
