"""A kubelet against a real API server, on simulated containers."""

from __future__ import annotations

import json

from steersman.kubelet.runtimes.behaviour import ANNOTATION
from steersman.meta import objects
from steersman.meta.resources import LEASES, NODES, PODS
from tests.kubelet.conftest import NODE, Node, is_ready, phase_is
from tests.kubelet.pods import container, pod


def behaving(**by_container: object) -> dict[str, object]:
    return {"annotations": {ANNOTATION: json.dumps(by_container)}}


async def test_the_node_registers_reports_ready_and_keeps_its_lease(node: Node) -> None:
    found = await node.client.get(NODES, NODE)
    assert objects.labels(found)["kubernetes.io/hostname"] == NODE
    assert objects.labels(found)["type"] == "simulated"
    assert found["spec"]["taints"][0]["key"] == "simulated"
    assert objects.is_true(found, "Ready")
    assert found["status"]["allocatable"]["pods"] == "110"
    before = await node.client.get(LEASES, NODE, namespace="kube-node-lease")
    await node.clock.advance(11)
    after = await node.client.get(LEASES, NODE, namespace="kube-node-lease")
    assert after["spec"]["renewTime"] > before["spec"]["renewTime"]
    assert after["metadata"]["ownerReferences"][0]["uid"] == objects.uid(found)


async def test_a_pod_runs_and_its_status_says_so(node: Node) -> None:
    await node.create(pod(container("a"), container("b")))
    found = await node.until(is_ready)
    status = found["status"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.")
    assert status["hostIP"] == "10.128.0.1"
    assert [entry["name"] for entry in status["containerStatuses"]] == ["a", "b"]
    assert status["containerStatuses"][0]["containerID"].startswith("simulated://")
    assert {entry["type"] for entry in status["conditions"]} == {
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"
    }  # fmt: skip
    reasons = [reason for reason, _ in await node.events()]
    assert reasons.count("Started") == 2
    assert {"Pulling", "Pulled", "Created", "Started"} <= set(reasons)


async def test_a_running_pod_is_written_no_more(node: Node) -> None:
    await node.create(pod())
    before = await node.until(is_ready)
    await node.clock.advance(120)
    assert objects.resource_version(await node.pod()) == objects.resource_version(before)


async def test_a_deleted_pod_is_stopped_and_goes(node: Node) -> None:
    await node.create(pod(metadata=behaving(main={"stopSeconds": 5})))
    await node.until(is_ready)
    await node.client.delete(PODS, "web", namespace="default")
    assert (await node.pod())["metadata"]["deletionGracePeriodSeconds"] == 30
    await node.until_gone(within_s=10)
    await node.clock.advance(1)
    assert not node.kubelet.workers
    assert not await node.runtime.list_pod_sandboxes()


async def test_a_force_deleted_pod_is_stopped_too(node: Node) -> None:
    await node.create(pod())
    await node.until(is_ready)
    await node.client.delete(PODS, "web", namespace="default", grace_period_s=0)
    await node.clock.advance(5)
    assert not await node.runtime.list_containers()


async def test_a_job_succeeds(node: Node) -> None:
    await node.create(pod(restartPolicy="Never", metadata=behaving(main={"runSeconds": 3})))
    found = await node.until(phase_is("Succeeded"))
    assert found["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"


async def test_init_containers_run_in_order_before_the_apps(node: Node) -> None:
    await node.create(
        pod(init=[container("one"), container("two")], metadata=behaving(one={"runSeconds": 1}, two={"runSeconds": 1}))
    )
    found = await node.until(is_ready)
    one, two = found["status"]["initContainerStatuses"]
    assert one["state"]["terminated"]["finishedAt"] <= two["state"]["terminated"]["startedAt"]


async def test_a_crashing_container_backs_off_and_recovers(node: Node) -> None:
    await node.create(pod(metadata=behaving(main={"runSeconds": 1, "exitCode": 2, "crashes": 3})))
    waiting = await node.until(
        lambda pod: (
            (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"].get("waiting", {}).get("reason")
            == "CrashLoopBackOff"
        )
    )
    assert waiting["status"]["phase"] == "Running"
    assert waiting["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 2
    found = await node.until(is_ready)
    await node.clock.advance(30)
    found = await node.until(is_ready)
    assert found["status"]["containerStatuses"][0]["restartCount"] == 3
    assert any(reason == "BackOff" for reason, _ in await node.events())


async def test_a_missing_image_is_announced_and_retried(node: Node) -> None:
    await node.create(pod(metadata=behaving(**{"*": {"pullError": "no such image"}})))
    await node.until(lambda pod: _waiting(pod) == "ErrImagePull")
    await node.until(lambda pod: _waiting(pod) == "ImagePullBackOff")
    assert ("Failed", "Error: ErrImagePull") in await node.events()


async def test_an_invalid_image_name_never_starts(node: Node) -> None:
    await node.create(pod(container("main", "not//valid")))
    await node.until(lambda pod: _waiting(pod) == "InvalidImageName")


async def test_liveness_failure_restarts_the_container(node: Node) -> None:
    probed = container("main", livenessProbe={"exec": {"command": ["x"]}, "periodSeconds": 2, "failureThreshold": 2})
    await node.create(pod(probed, metadata=behaving(main={"unhealthyAfterSeconds": 10})))
    found = await node.until(lambda pod: _restarts(pod) == 1)
    assert found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 143
    events = await node.events()
    assert ("Killing", "Container main failed liveness probe, will be restarted") in events
    assert ("Unhealthy", "Liveness probe failed: simulated failure") in events


async def test_readiness_follows_the_probe(node: Node) -> None:
    probed = container("main", readinessProbe={"httpGet": {"port": 80}, "periodSeconds": 1})
    await node.create(pod(probed, metadata=behaving(main={"readyAfterSeconds": 20})))
    await node.until(phase_is("Running"))
    assert not is_ready(await node.pod())
    await node.clock.advance(10)
    assert not is_ready(await node.pod())
    await node.until(is_ready, within_s=15)


async def test_a_pod_that_does_not_fit_is_refused(node: Node) -> None:
    await node.create(pod(container("main", resources={"requests": {"cpu": "1000"}})))
    found = await node.until(phase_is("Failed"))
    assert found["status"]["reason"] == "OutOfcpu"


async def test_a_lost_sandbox_is_replaced(node: Node) -> None:
    await node.create(pod())
    before = await node.until(is_ready)
    [box] = await node.runtime.list_pod_sandboxes()
    node.runtime.lose_sandbox(box.id)
    await node.until(lambda pod: _restarts(pod) == 1)
    found = await node.until(is_ready)
    assert found["status"]["podIP"]
    assert any(reason == "SandboxChanged" for reason, _ in await node.events())
    assert found["status"]["startTime"] == before["status"]["startTime"]


async def test_another_pod_of_the_same_name_follows(node: Node) -> None:
    await node.create(pod(metadata=behaving(main={"stopSeconds": 5})))
    await node.until(is_ready)
    await node.client.delete(PODS, "web", namespace="default", grace_period_s=0)
    second = await node.create(pod())
    found = await node.until(is_ready)
    assert objects.uid(found) == objects.uid(second)


def _waiting(obj: dict) -> str:  # type: ignore[type-arg]
    statuses = obj["status"].get("containerStatuses") or []
    return statuses[0]["state"].get("waiting", {}).get("reason", "") if statuses else ""


def _restarts(obj: dict) -> int:  # type: ignore[type-arg]
    statuses = obj["status"].get("containerStatuses") or []
    return statuses[0]["restartCount"] if statuses else 0


async def test_pods_wait_for_the_network_but_those_on_the_nodes_own(node: Node) -> None:
    node.runtime.troubles.network = "no CNI configuration"
    why = "container runtime network not ready: NetworkReady=false reason:Simulated message:no CNI configuration"
    await node.clock.advance(61)
    ready = objects.condition(await node.client.get(NODES, NODE), "Ready")
    assert ready is not None and ready["message"] == why
    await node.create(pod())
    await node.create(pod(name="own", hostNetwork=True))
    await node.until(is_ready, "own")
    assert ("NetworkNotReady", f"network is not ready: {why}") in await node.events()
    assert (await node.pod())["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
    await node.create(pod(name="late"))
    await node.client.delete(PODS, "late", namespace="default")
    await node.until_gone("late", within_s=5)
    node.runtime.troubles.network = ""
    await node.until(is_ready, within_s=3)


async def test_a_pod_that_cannot_be_stopped_says_so(node: Node) -> None:
    await node.create(pod())
    await node.until(is_ready)
    node.runtime.troubles.stopping = "the shim hangs"
    await node.client.delete(PODS, "web", namespace="default")
    await node.clock.advance(1)
    text = 'failed to "KillContainer" for "main" with KillContainerError: "rpc error: code = Unknown desc = the shim hangs"'
    assert ("FailedKillPod", f"error killing pod: {text}") in await node.events()
    node.runtime.troubles.stopping = ""
    await node.until_gone(within_s=10)
