"""The embedded cluster is a whole one: controllers, scheduler and nodes act, in its own time, without sockets."""

from __future__ import annotations

import time

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS, JOBS, NODES, PODS
from steersman.testing import Cluster


def deployment(name: str, replicas: int) -> Object:
    labels = {"app": name}
    container = {"name": "main", "image": "registry.example/app:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


async def test_a_deployment_becomes_running_pods_and_goes_without_a_trace() -> None:
    async with Cluster(nodes=2) as cluster:
        await cluster.client.create(DEPLOYMENTS, deployment("web", 3))

        async def is_available() -> bool:
            found = await cluster.client.get(DEPLOYMENTS, "web", namespace="default")
            return bool((found.get("status") or {}).get("availableReplicas") == 3)

        await cluster.eventually(is_available)
        pods = (await cluster.client.list(PODS, namespace="default")).items
        assert len(pods) == 3
        assert {pod["status"]["phase"] for pod in pods} == {"Running"}
        assert {pod["spec"]["nodeName"] for pod in pods} <= {
            objects.name(node) for node in (await cluster.client.list(NODES)).items
        }

        await cluster.client.delete(DEPLOYMENTS, "web", namespace="default", propagation="Background")

        async def nothing_is_left() -> bool:
            return not (await cluster.client.list(PODS, namespace="default")).items

        await cluster.eventually(nothing_is_left)


async def test_an_unschedulable_pod_waits_and_goes_when_a_node_comes() -> None:
    async with Cluster(nodes=0) as cluster:
        await cluster.client.create(DEPLOYMENTS, deployment("web", 1))

        async def reason() -> str:
            for pod in (await cluster.client.list(PODS, namespace="default")).items:
                condition = objects.condition(pod, "PodScheduled") or {}
                if condition.get("reason") == "Unschedulable":
                    return str(condition["message"])
            return ""

        assert (await cluster.eventually(reason)).startswith("no nodes available to schedule pods")
        await cluster.add_nodes(1)

        async def is_running() -> bool:
            pods = (await cluster.client.list(PODS, namespace="default")).items
            return [pod["status"]["phase"] for pod in pods] == ["Running"]

        await cluster.eventually(is_running)


async def test_time_is_the_tests_own() -> None:
    async with Cluster() as cluster:
        before_s, began_s = cluster.clock.now(), time.monotonic()
        await cluster.advance(3600)
        assert cluster.clock.now() == before_s + 3600
        assert time.monotonic() - began_s < 60
        node = (await cluster.client.list(NODES)).items[0]
        assert objects.is_true(node, "Ready")


async def test_one_seed_gives_one_history() -> None:
    histories = []
    for _ in range(2):
        async with Cluster(nodes=3, seed=7) as cluster:
            await cluster.client.create(DEPLOYMENTS, deployment("web", 4))

            async def all_placed(cluster: Cluster = cluster) -> list[tuple[str, str]] | None:
                pods = (await cluster.client.list(PODS, namespace="default")).items
                placed = sorted((objects.name(pod), pod["spec"].get("nodeName", "")) for pod in pods)
                return placed if len(placed) == 4 and all(node for _, node in placed) else None

            histories.append(await cluster.eventually(all_placed))
    assert histories[0] == histories[1]


async def test_many_clusters_live_in_one_process() -> None:
    async with Cluster() as one, Cluster() as other:
        await one.client.create(DEPLOYMENTS, deployment("web", 1))
        assert not (await other.client.list(DEPLOYMENTS)).items


async def test_jobs_run_to_their_end() -> None:
    async with Cluster() as cluster:
        template = {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "registry.example/job:1"}]}
        }
        template["metadata"] = {"annotations": {"simulated.steersman.dev/behaviour": '{"*": {"runSeconds": 5}}'}}  # type: ignore[dict-item]
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "once", "namespace": "default"},
            "spec": {"template": template},
        }
        await cluster.client.create(JOBS, job)

        async def is_complete() -> bool:
            return objects.is_true(await cluster.client.get(JOBS, "once", namespace="default"), "Complete")

        await cluster.eventually(is_complete)
