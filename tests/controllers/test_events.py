"""Every event of ``upstream_events``, made to happen: who tells it, of what, and in which words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pytest

from steersman.controllers.kinds import cronjob as cron
from steersman.controllers.rolloutplan import plan as rollout_plan
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONFIGMAPS,
    CRONJOBS,
    CUSTOMRESOURCEDEFINITIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    ENDPOINTS,
    EVENTS,
    HORIZONTALPODAUTOSCALERS,
    JOBS,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PODDISRUPTIONBUDGETS,
    PODS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    RESOURCECLAIMS,
    RESOURCECLAIMTEMPLATES,
    RESOURCESLICES,
    SERVICECIDRS,
    SERVICES,
    STATEFULSETS,
    Resource,
)
from tests.apiserver.extensions import builders as extensions
from tests.controllers import upstream_events
from tests.controllers.builders import pod, template, workload
from tests.controllers.conftest import StartWorld
from tests.controllers.kinds import test_cronjob as crons
from tests.controllers.kinds import test_resourceclaim as claims
from tests.controllers.kinds.test_disruption import budget
from tests.controllers.kinds.test_endpoints import add_pods, service
from tests.controllers.kinds.test_garbagecollector import config_map, owned_by
from tests.controllers.kinds.test_horizontalpodautoscaler import hpa
from tests.controllers.kinds.test_job import job
from tests.controllers.kinds.test_nodelifecycle import live as let_live
from tests.controllers.kinds.test_nodelifecycle import taint
from tests.controllers.kinds.test_statefulset import data_claim, stateful
from tests.controllers.world import World

WIDGETS = Resource(group="example.com", version="v1", plural="widgets", kind="Widget", namespaced=True)
REFUSED = "the test refuses it"
Told = tuple[str, str, str]
"""(kind of the object, reason, message; ``*`` stands for anything)."""


@dataclass(frozen=True, slots=True)
class Case:
    component: str
    happen: Callable[[StartWorld], Awaitable[World]]
    told: Sequence[Told]


async def set_image(world: World, resource: Resource, image: str) -> None:
    container = {"name": "main", "image": image}
    await world.patch(resource, "web", {"spec": {"template": {"spec": {"containers": [container]}}}})


async def a_rollout(world_of: StartWorld) -> World:
    world = await world_of("deployment-controller", "replicaset-controller")
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=2))
    for image in ("example/web:1", "example/web:2"):
        await set_image(world, DEPLOYMENTS, image)
        for _ in range(3):
            await world.run_pods()
    return world


async def a_rollout_that_cannot_begin(world_of: StartWorld) -> World:
    world = await world_of("deployment-controller")
    world.log.refuse("POST", "/replicasets")
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS))
    world.log.accept()
    await world.advance(60)
    return world


async def ways_back(world_of: StartWorld) -> World:
    world = await world_of("deployment-controller")
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=0))
    for revision in ("0", "7", "1"):
        annotations = {"deprecated.deployment.rollback.to": revision}
        await world.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": annotations}})
    await set_image(world, DEPLOYMENTS, "example/web:2")
    await world.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": {"deprecated.deployment.rollback.to": "1"}}})
    return world


def pods_of(
    controller: str, resource: Resource, owner: Object, less: Object
) -> Callable[[StartWorld], Awaitable[World]]:
    """Pods that cannot be made, are made, cannot be deleted, and are."""

    async def happen(world_of: StartWorld) -> World:
        world = await world_of(controller)
        await world.add_nodes("n1")
        world.log.refuse("POST", "/pods")
        await world.create(resource, owner)
        world.log.accept()
        await world.advance(60)
        world.log.refuse("DELETE", "/pods")
        await world.patch(resource, objects.name(owner), less)
        world.log.accept()
        await world.advance(60)
        return world

    return happen


RC = {
    "apiVersion": "v1",
    "kind": "ReplicationController",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"replicas": 1, "selector": {"app": "web"}, "template": template()},
}
NONE = {"spec": {"replicas": 0}}
NOWHERE = {"spec": {"template": {"spec": {"nodeSelector": {"no": "where"}}}}}
SUSPENDED = {"spec": {"suspend": True}}


def told_of_pods(kind: str) -> list[Told]:
    return [
        (kind, "SuccessfulCreate", "Created pod: *-*"),
        (kind, "SuccessfulDelete", "Deleted pod: *-*"),
        (kind, "FailedCreate", f"Error creating: {REFUSED}"),
        (kind, "FailedDelete", f"Error deleting: {REFUSED}"),
    ]


async def daemons_that_end(world_of: StartWorld) -> World:
    world = await world_of("daemonset-controller")
    await world.add_nodes("n1")
    await world.create(DAEMONSETS, workload(DAEMONSETS))
    for phase in ("Failed", "Succeeded"):
        found = await world.list(PODS)
        await world.run_pods(found, node="n1")
        await world.finish_pods(phase, found)
        await world.reap_pods()
    return world


async def pods_with_identities(world_of: StartWorld) -> World:
    world = await world_of("statefulset-controller")
    world.log.refuse("POST", "/persistentvolumeclaims")
    await world.create(STATEFULSETS, stateful(replicas=1, volumeClaimTemplates=[data_claim()]))
    world.log.refuse("POST", "/pods")
    await world.advance(60)
    world.log.accept()
    await world.advance(60)
    await world.run_pods()
    world.log.refuse("PUT", "/persistentvolumeclaims")
    await world.patch(
        STATEFULSETS, "web", {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}}
    )
    world.log.accept()
    await world.advance(60)
    world.log.refuse("DELETE", "/pods")
    await world.patch(STATEFULSETS, "web", NONE)
    world.log.accept()
    await world.advance(60)
    return world


async def claims_that_are_in_the_way(world_of: StartWorld) -> World:
    world = await world_of("statefulset-controller")
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "of-another", "controller": True}
    metadata = {
        "name": "data-web-0",
        "namespace": "default",
        "ownerReferences": [other],
        "finalizers": ["example.com/x"],
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": data_claim()["spec"]}
    await world.create(PERSISTENTVOLUMECLAIMS, claim)
    await world.client.delete(PERSISTENTVOLUMECLAIMS, "data-web-0", namespace="default")
    retention = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    made = stateful(
        replicas=1, volumeClaimTemplates=[data_claim()], persistentVolumeClaimRetentionPolicy=retention
    )  # fmt: skip
    await world.create(STATEFULSETS, made)
    await world.patch(PERSISTENTVOLUMECLAIMS, "data-web-0", {"metadata": {"finalizers": None}})
    await world.advance(60)
    return world


async def jobs_that_end(world_of: StartWorld) -> World:
    world = await world_of("job-controller")
    rules = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    indexed: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": 2,
        "parallelism": 2,
        "backoffLimitPerIndex": 0,
    }
    for made in (
        job("well"),
        job("limit", backoffLimit=0),
        job("late", activeDeadlineSeconds=30),
        job("code", podFailurePolicy={"rules": rules}),
        job("cond", podFailurePolicy={"rules": rules}),
        job("many", maxFailedIndexes=0, **indexed),
        job("some", **indexed),
        job("shrunk", completions=2, parallelism=2, completionMode="Indexed"),
    ):
        await world.create(JOBS, made)
    outcomes = {
        "well": ("Succeeded", 0), "limit": ("Failed", 1), "code": ("Failed", 42), "cond": ("Failed", 1),
        "many": ("Failed", 1), "some": ("Failed", 1),
    }  # fmt: skip
    for found in await world.list(PODS):
        name = (objects.controller_of(found) or {})["name"]
        if name == "cond":
            entry = {"type": "DisruptionTarget", "status": "True"}
            await world.patch(PODS, objects.name(found), {"status": {"conditions": [entry]}}, subresource="status")
            await world.set_status(PODS, found, phase="Failed")
        elif name in outcomes:
            phase, code = outcomes[name]
            await world.finish_pods(phase, [found], exit_code=code)
    await world.client.delete(JOBS, "shrunk", namespace="default", propagation="Background")
    await world.advance(30)
    await world.advance(2)
    return world


async def a_job_that_pauses(world_of: StartWorld) -> World:
    world = await world_of("job-controller")
    await world.create(JOBS, job())
    await world.patch(JOBS, "sum", SUSPENDED)
    await world.patch(JOBS, "sum", {"spec": {"suspend": False}})
    return world


async def more_successes_than_wanted(world_of: StartWorld) -> World:
    """Both pods of a Job ended well before the controller saw either."""
    world = await world_of("job-controller")
    await world.create(JOBS, job(completions=2, parallelism=2))
    owner = await world.get(JOBS, "sum")
    one = next(iter(await world.list(PODS)))
    metadata = {**one["metadata"], "name": "third", "resourceVersion": None, "uid": None, "creationTimestamp": None}
    await world.client.create(PODS, {**one, "metadata": metadata, "status": {}})
    for found in await world.client_list(PODS):
        await world.set_status(PODS, found, phase="Succeeded")
    await world.settle()
    await world.advance(2)
    assert objects.is_true(await world.get(JOBS, objects.name(owner)), "Complete")
    return world


async def a_schedule(world_of: StartWorld) -> World:
    world = await world_of("cronjob-controller")
    made = crons.cronjob("*/5 * * * *", concurrencyPolicy="Forbid", successfulJobsHistoryLimit=0)
    world.log.refuse("POST", "/jobs")
    created = await world.create(CRONJOBS, made)
    await world.advance(301)
    world.log.accept()
    await world.advance(10)
    await world.advance(300)
    world.log.refuse("DELETE", "/jobs")
    [running] = await world.list(JOBS)
    await crons.finish(world, running)
    world.log.accept()
    await world.advance(300)
    [running] = await world.list(JOBS)
    await world.client.delete(JOBS, objects.name(running), namespace="default", propagation="Background")
    await world.settle()
    reference = [objects.controller_reference(created, CRONJOBS)]
    stranger = {
        **job("stranger"),
        "metadata": {"name": "stranger", "namespace": "default", "ownerReferences": reference},
    }
    await world.create(JOBS, stranger)
    await world.client.delete(JOBS, "stranger", namespace="default", propagation="Background")
    await world.settle()
    return world


async def schedules_that_were_missed(world_of: StartWorld) -> World:
    world = await world_of("cronjob-controller")
    await world.create(CRONJOBS, crons.cronjob("59 23 31 2 *"))
    await world.client.delete(CRONJOBS, "tick", namespace="default")
    await world.create(CRONJOBS, crons.cronjob("* * * * *", suspend=True))
    await world.advance(3 * 3600)
    await world.patch(CRONJOBS, "tick", {"spec": {"suspend": False}})
    await world.client.delete(CRONJOBS, "tick", namespace="default")
    await world.settle()
    return world


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


NO_RESOURCE_METRICS = "unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
NO_CUSTOM_METRICS = "unable to fetch metrics from custom metrics API: no known available metric versions found"
NO_EXTERNAL_METRICS = (
    "unable to fetch metrics from external metrics API: the server could not find the requested resource "
    "(get queue.external.metrics.k8s.io)"
)
QUEUE = "&LabelSelector{MatchLabels:map[[]string]string{a: b,},MatchExpressions:[[]]LabelSelectorRequirement{},}"
NOT_CREATED = f"failed to create EndpointSlice for Service default/web: {REFUSED}"

CASES = [
    Case("deployment-controller", a_rollout, [
        ("Deployment", "ScalingReplicaSet", "Scaled up replica set web-* from 0 to 2"),
        ("Deployment", "ScalingReplicaSet", "Scaled down replica set web-* from 2 to 1"),
    ]),
    Case("deployment-controller", a_rollout_that_cannot_begin, [
        ("Deployment", "ReplicaSetCreateError", f'Failed to create new replica set "web-*": {REFUSED}'),
    ]),
    Case("deployment-controller", ways_back, [
        ("Deployment", "DeploymentRollbackRevisionNotFound", "Unable to find last revision."),
        ("Deployment", "DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to."),
        ("Deployment", "DeploymentRollbackTemplateUnchanged",
         'The rollback revision contains the same template as current deployment "web"'),
        ("Deployment", "DeploymentRollback", 'Rolled back deployment "web" to revision 1'),
    ]),
    Case("replicaset-controller",
         pods_of("replicaset-controller", REPLICASETS, workload(REPLICASETS, replicas=1), NONE),
         told_of_pods("ReplicaSet")),
    Case("replication-controller", pods_of("replicationcontroller-controller", REPLICATIONCONTROLLERS, RC, NONE),
         told_of_pods("ReplicationController")),
    Case("daemonset-controller", pods_of("daemonset-controller", DAEMONSETS, workload(DAEMONSETS), NOWHERE),
         told_of_pods("DaemonSet")),
    Case("job-controller", pods_of("job-controller", JOBS, job(), SUSPENDED), told_of_pods("Job")),
    Case("daemonset-controller", daemons_that_end, [
        ("DaemonSet", "FailedDaemonPod", "Found failed daemon pod default/web-* on node n1, will try to kill it"),
        ("DaemonSet", "SucceededDaemonPod", "Found succeeded daemon pod default/web-* on node n1, will try to delete it"),
    ]),
    Case("statefulset-controller", pods_with_identities, [
        ("StatefulSet", "FailedCreate", f"Create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: {REFUSED}"),
        ("StatefulSet", "FailedCreate",
         f"Create Pod web-0 in StatefulSet web failed error: failed to create PVC data-web-0: {REFUSED}"),
        ("StatefulSet", "SuccessfulCreate", "Create Claim data-web-0 Pod web-0 in StatefulSet web success"),
        ("StatefulSet", "FailedCreate", f"Create Pod web-0 in StatefulSet web failed error: {REFUSED}"),
        ("StatefulSet", "SuccessfulCreate", "Create Pod web-0 in StatefulSet web successful"),
        ("StatefulSet", "FailedUpdate", f"Update Pod web-0 in StatefulSet web failed error: {REFUSED}"),
        ("StatefulSet", "SuccessfulUpdate", "Update Pod web-0 in StatefulSet web successful"),
        ("StatefulSet", "FailedDelete", f"Delete Pod web-0 in StatefulSet web failed error: {REFUSED}"),
        ("StatefulSet", "SuccessfulDelete", "Delete Pod web-0 in StatefulSet web successful"),
    ]),
    Case("statefulset-controller", claims_that_are_in_the_way, [
        ("StatefulSet", "FailedCreate",
         "Create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted"),
        ("StatefulSet", "ConflictingController",
         "PersistentVolumeClaim data-web-0 has a conflicting OwnerReference that acts as a manging controller, the retention "
         "policy is ignored for this claim"),
    ]),
    Case("job-controller", jobs_that_end, [
        ("Job", "Completed", "Job completed"),
        ("Job", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        ("Job", "DeadlineExceeded", "Job was active longer than specified deadline"),
        ("Job", "PodFailurePolicy",
         "Container main for pod default/code-* failed with exit code 42 matching FailJob rule at index 0"),
        ("Job", "PodFailurePolicy", "Pod default/cond-* has condition DisruptionTarget matching FailJob rule at index 1"),
        ("Job", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"),
        ("Job", "FailedIndexes", "Job has failed indexes"),
    ]),
    Case("job-controller", a_job_that_pauses, [
        ("Job", "Suspended", "Job suspended"),
        ("Job", "Resumed", "Job resumed"),
    ]),
    Case("job-controller", more_successes_than_wanted, [
        ("Job", "TooManySucceededPods", "Too many succeeded pods running after completion count reached"),
    ]),
    Case("cronjob-controller", a_schedule, [
        ("CronJob", "FailedCreate", f"Error creating job: {REFUSED}"),
        ("CronJob", "SuccessfulCreate", "Created job tick-*"),
        ("CronJob", "JobAlreadyActive",
         "Not starting job because prior execution is running and concurrency policy is Forbid"),
        ("CronJob", "SawCompletedJob", "Saw completed job: tick-*, condition: Complete"),
        ("CronJob", "FailedDelete", f"Deleted job: {REFUSED}"),
        ("CronJob", "SuccessfulDelete", "Deleted job tick-*"),
        ("CronJob", "MissingJob", "Active job went missing: tick-*"),
        ("CronJob", "UnexpectedJob", "Saw a job that the controller did not create or forgot: stranger"),
    ]),
    Case("cronjob-controller", schedules_that_were_missed, [
        ("CronJob", "InvalidSchedule",
         "invalid schedule: 59 23 31 2 [*] : time difference between two schedules is less than 1 second"),
        ("CronJob", "TooManyMissedTimes",
         "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"),
    ]),
    Case("horizontal-pod-autoscaler", autoscalers, [
        ("HorizontalPodAutoscaler", "FailedRescale",
         f"New size: 5; reason: Current number of replicas above Spec.MaxReplicas; error: {REFUSED}"),
        ("HorizontalPodAutoscaler", "SuccessfulRescale",
         "New size: 5; reason: Current number of replicas above Spec.MaxReplicas"),
        ("HorizontalPodAutoscaler", "FailedGetResourceMetric",
         f"failed to get cpu utilization: unable to get metrics for resource cpu: {NO_RESOURCE_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedGetResourceMetric",
         f"failed to get memory usage: unable to get metrics for resource memory: {NO_RESOURCE_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedGetContainerResourceMetric",
         f"failed to get cpu utilization: unable to get metrics for resource cpu: {NO_RESOURCE_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedGetPodsMetric", f"unable to get metric qps: {NO_CUSTOM_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedGetObjectMetric",
         f"unable to get metric hits: {NO_CUSTOM_METRICS} on Service default/web"),
        ("HorizontalPodAutoscaler", "FailedGetExternalMetric",
         f"unable to get external metric default/queue/{QUEUE}: {NO_EXTERNAL_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedComputeMetricsReplicas",
         "invalid metrics (6 invalid out of 6), first error is: failed to get cpu resource metric value: failed to get cpu "
         f"utilization: unable to get metrics for resource cpu: {NO_RESOURCE_METRICS}"),
    ]),
    Case("horizontal-pod-autoscaler", autoscalers_that_do_not_know_their_pods, [
        ("HorizontalPodAutoscaler", "SelectorRequired", "selector is required"),
        ("HorizontalPodAutoscaler", "FailedComputeMetricsReplicas", "selector is required"),
        ("HorizontalPodAutoscaler", "InvalidSelector",
         "couldn't convert selector into a corresponding internal selector object: *"),
        ("HorizontalPodAutoscaler", "AmbiguousSelector",
         "pods by selector app=web are controlled by multiple HPAs: [[]{a default} {b default}]"),
    ]),
    Case("horizontal-pod-autoscaler", autoscalers_without_a_target, [
        ("HorizontalPodAutoscaler", "FailedGetScale", 'deployments.apps "web" not found'),
        ("HorizontalPodAutoscaler", "FailedGetScale", 'no matches for kind "Gadget" in group "apps"'),
        ("HorizontalPodAutoscaler", "FailedUpdateStatus", REFUSED),
    ]),
    Case("controllermanager", budgets, [
        ("PodDisruptionBudget", "NoPods", "No matching pods found"),
        ("PodDisruptionBudget", "CalculateExpectedPodCountFailed",
         'Failed to calculate the number of expected pods: found no controllers for pod "lost"'),
        ("PodDisruptionBudget", "UnmanagedPods",
         "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[[]string]string{app: web,},"
         "MatchExpressions:[[]]LabelSelectorRequirement{},}) were found to be unmanaged. As a result, the status of the PDB "
         "cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set "
         '".spec.minAvailable" field of the PDB to an integer value.'),
        ("Pod", "NotDeleted", "Pod was expected by PDB default/default to be deleted but it wasn't"),
        ("Pod", "MultiplePodDisruptionBudgets",
         'Pod "default"/"web-1" matches multiple PodDisruptionBudgets.  Chose "another" arbitrarily.'),
    ]),
    Case("endpoint-controller", endpoints_that_cannot_be_written, [
        ("Endpoints", "FailedToCreateEndpoint", f"Failed to create endpoint for service default/web: {REFUSED}"),
        ("Endpoints", "FailedToUpdateEndpoint", f"Failed to update endpoint default/web: {REFUSED}"),
    ]),
    Case("endpoint-slice-controller", endpoints_that_cannot_be_written, [
        ("Service", "FailedToUpdateEndpointSlices", f"Error updating Endpoint Slices for Service default/web: {NOT_CREATED}"),
    ]),
    Case("endpoint-slice-controller", hints_in_proportion, [
        ("Service", "TopologyAwareHintsDisabled",
         "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv4"),
        ("Service", "TopologyAwareHintsDisabled",
         "Insufficient number of endpoints (0 endpoints, 2 zones), addressType: IPv4"),
        ("Service", "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled, addressType: IPv4"),
        ("Service", "TopologyAwareHintsDisabled",
         "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold "
         "(2 endpoints, 2 zones), addressType: IPv4"),
        ("Service", "TopologyAwareHintsDisabled", "Topology Aware Hints has been disabled, addressType: IPv4"),
    ]),
    Case("endpoint-slice-controller", an_endpoint_without_a_zone, [
        ("Service", "TopologyAwareHintsDisabled",
         "One or more endpoints do not have a zone specified, addressType: IPv4"),
    ]),
    Case("endpoint-slice-mirroring-controller", addresses_that_cannot_be_mirrored, [
        ("Endpoints", "TooManyAddressesToMirror",
         "A max of 2 addresses can be mirrored to EndpointSlices per Endpoints subset. 3 addresses were skipped"),
    ]),
    Case("garbage-collector-controller", an_owner_elsewhere, [
        ("Node", "OwnerRefInvalidNamespace",
         'ownerRef [[]batch/v1/Job, namespace: , name: owner, uid: *] does not exist in namespace ""'),
        ("ConfigMap", "OwnerRefInvalidNamespace",
         'ownerRef [[]batch/v1/Job, namespace: kube-system, name: owner, uid: *] does not exist in namespace "kube-system"'),
    ]),
    Case("cidrAllocator", blocks_of_addresses, [
        ("Node", "CIDRAssignmentFailed", "Node n1 status is now: CIDRAssignmentFailed"),
        ("Node", "CIDRNotAvailable", "Node n2 status is now: CIDRNotAvailable"),
    ]),
    Case("node-controller", a_node_that_falls_silent, [
        ("Node", "RegisteredNode", "Node n1 event: Registered Node n1 in Controller"),
        ("Node", "NodeNotReady", "Node n1 status is now: NodeNotReady"),
        ("Pod", "NodeNotReady", "Node is not ready"),
        ("Node", "RemovingNode", "Node n1 event: Removing Node n1 from Controller"),
    ]),
    Case("taint-eviction-controller", taints_that_come_and_go, [
        ("Pod", "TaintManagerEviction", "Marking for deletion Pod default/now"),
        ("Pod", "TaintManagerEviction", "Cancelling deletion of Pod default/later"),
    ]),
    Case("resource_claim", devices_that_break, [
        ("Pod", "FailedResourceClaimCreation",
         'PodResourceClaim gpu: resource claim template "gpu": resourceclaimtemplate.resource.k8s.io "gpu" not found'),
    ]),
    Case("device-taint-eviction-controller", devices_that_break, [
        ("Pod", "DeviceTaintManagerEviction", "Marking for deletion"),
        ("Pod", "DeviceTaintManagerEviction", "Cancelling deletion"),
    ]),
    Case("service-cidr-controller", a_range_that_cannot_be_served, [
        ("ServiceCIDR", "KubernetesServiceCIDRError", "The ServiceCIDR Status can not be set to Ready=True"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.component}-{case.happen.__name__}")
async def test_what_happened_is_told(world_of: StartWorld, case: Case) -> None:
    world = await case.happen(world_of)
    found = [
        (event["involvedObject"]["kind"], event["reason"], event["message"])
        for event in (await world.client.list(EVENTS)).items
        if event["source"]["component"] == case.component
    ]
    for kind, reason, message in case.told:
        assert any((kind, reason) == entry[:2] and fnmatchcase(entry[2], message) for entry in found), (reason, found)


OF_PLANS: list[tuple[str, Callable[[], Sequence[Any]]]] = [
    ("deployment-controller", lambda: rollout_plan(workload(DEPLOYMENTS, selector={}), (), {}, 0.0).events),
    ("cronjob-controller", lambda: cron.plan(crons.cronjob("never"), (), 1e9).events),
    ("cronjob-controller", lambda: cron.plan(crons.cronjob(timeZone="Mars/Base"), (), 1e9).events),
    ("cronjob-controller", lambda: cron.plan(crons.cronjob("TZ=UTC * * * * *"), (), 1e9).events),
]
"""Events about objects that the server does not let in: of those that were there before it became strict."""


@pytest.mark.parametrize(("component", "events"), OF_PLANS)
def test_what_the_server_lets_in_no_more_is_told_in_upstreams_words(
    component: str, events: Callable[[], Sequence[Any]]
) -> None:
    event = events()[0]
    assert upstream_events.row_of(component, event.type, event.reason, event.message) is not None


UNREACHABLE = {
    ("cronjob-controller", "MissSchedule"): "a time that is searched for after now - deadline is never late",
    ("daemonset-controller", "SelectingAll"): "the server refuses an empty selector; as for Deployments",
    ("endpoint-slice-mirroring-controller", "InvalidIPAddress"): "the server refuses such addresses",
}


def test_every_event_of_upstreams_is_shown() -> None:
    shown = {
        (case.component, upstream_events.row_of(case.component, kind, reason, _sample(message)))
        for case in CASES
        for _, reason, message in case.told
        for kind in ("Normal", "Warning")
    } | {
        (component, upstream_events.row_of(component, event.type, event.reason, event.message))
        for component, events in OF_PLANS
        for event in events()
    }
    missing = [
        (component, row.reason, row.message)
        for component, rows in upstream_events.EVENTS.items()
        for row in rows
        if (component, row) not in shown and (component, row.reason) not in UNREACHABLE
    ]
    assert missing == []


def _sample(pattern: str) -> str:
    return pattern.replace("[[]", "[").replace("[*]", "\0").replace("*", "x").replace("\0", "*")
