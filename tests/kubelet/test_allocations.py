"""Resizes of pods on a simulated node through a real API server: granted, deferred, refused, and granted later."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.kubelet.allocation import Actuated, Allocation, Amounts
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.resource_checkpoint import Checkpoint, ResourceCheckpoints
from steersman.meta.errors import Forbidden, Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS
from tests.kubelet.conftest import NODE, Node, is_ready
from tests.kubelet.pods import container, pod


def sized(cpu: str, memory: str = "1Gi", **fields: Any) -> Object:
    amounts = {"cpu": cpu, "memory": memory}
    return container("main", resources={"requests": amounts, "limits": amounts}, **fields)


async def resize(node: Node, cpu: str, name: str = "web", memory: str = "1Gi") -> Object:
    amounts = {"cpu": cpu, "memory": memory}
    resources = {"requests": amounts, "limits": amounts}
    patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
    return await node.client.patch(
        PODS, name, patch, namespace="default", subresource="resize", patch_type=STRATEGIC_MERGE_PATCH
    )


def condition(pod: Object, kind: str) -> Object | None:
    return next((entry for entry in pod["status"].get("conditions") or () if entry["type"] == kind), None)


def resized(cpu: str) -> Callable[[Object], bool]:
    """Granted, set and over."""

    def holds(pod: Object) -> bool:
        [status] = pod["status"]["containerStatuses"]
        is_set = status["resources"]["limits"]["cpu"] == status["allocatedResources"]["cpu"] == cpu
        over = condition(pod, "PodResizeInProgress") is None and condition(pod, "PodResizePending") is None
        return is_set and over and pod["status"]["observedGeneration"] == pod["metadata"]["generation"]

    return holds


def deferred(pod: Object) -> bool:
    found = condition(pod, "PodResizePending")
    return found is not None and found["reason"] == "Deferred"


async def test_a_running_pod_is_resized_without_a_restart(node: Node) -> None:
    await node.create(pod(sized("1")))
    before = await node.until(is_ready)
    after = await resize(node, "2")
    assert after["metadata"]["generation"] == 2
    found = await node.until(resized("2"))
    [was], [now] = before["status"]["containerStatuses"], found["status"]["containerStatuses"]
    assert (now["containerID"], now["restartCount"]) == (was["containerID"], 0)
    assert found["status"]["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert found["status"]["allocatedResources"] == {"cpu": "2", "memory": "1Gi"}
    events = [reason for reason, _ in await node.events()]
    assert events.index("ResizeStarted") < events.index("ResizeCompleted")


async def test_a_restart_where_the_policy_asks_for_one(node: Node) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    await node.create(pod(sized("1", resizePolicy=policy)))
    before = await node.until(is_ready)
    await resize(node, "2")
    found = await node.until(lambda pod: resized("2")(pod) and is_ready(pod))
    [was], [now] = before["status"]["containerStatuses"], found["status"]["containerStatuses"]
    assert now["containerID"] != was["containerID"] and now["restartCount"] == 1


async def test_what_does_not_fit_waits_and_is_granted_when_a_pod_goes(node: Node) -> None:
    await node.create(pod(sized("12")))
    await node.create(pod(sized("12"), name="other"))
    await node.until(is_ready)
    await node.until(is_ready, "other")
    await resize(node, "24")
    found = await node.until(deferred)
    shown = condition(found, "PodResizePending")
    assert shown is not None and shown["observedGeneration"] == 2
    assert shown["message"] == ("Node didn't have enough resource: cpu, requested: 24000, used: 12000, capacity: 32000")
    [status] = found["status"]["containerStatuses"]
    assert status["allocatedResources"]["cpu"] == status["resources"]["limits"]["cpu"] == "12"
    await node.client.delete(PODS, "other", namespace="default", grace_period_s=0)
    await node.until(resized("24"), within_s=20)
    assert [reason for reason, _ in await node.events()].count("ResizeDeferred") == 1


async def test_what_waits_is_granted_when_another_pod_shrinks(node: Node) -> None:
    await node.create(pod(sized("12")))
    await node.create(pod(sized("12"), name="other"))
    await node.until(is_ready)
    await node.until(is_ready, "other")
    await resize(node, "24")
    await node.until(deferred)
    await resize(node, "1", name="other")
    await node.until(resized("24"), within_s=20)
    count = node.kubelet.metrics.registry.get_sample_value
    for requirement in ("requests", "limits"):
        for operation in ("increase", "decrease"):
            labels = {"resource": "cpu", "requirement": requirement, "operation": operation}
            assert count("kubelet_container_requested_resizes_total", labels) == 1
    assert count("kubelet_pod_deferred_accepted_resizes_total", {"retry_trigger": "pod_resized"}) == 1
    assert count("kubelet_pod_resize_duration_milliseconds_count", {"success": "true"})


async def test_a_resize_that_waits_can_be_taken_back(node: Node) -> None:
    await node.create(pod(sized("12")))
    await node.create(pod(sized("12"), name="other"))
    await node.until(is_ready)
    await node.until(is_ready, "other")
    await resize(node, "24")
    await node.until(deferred)
    await resize(node, "12")
    await node.until(resized("12"))


async def test_of_those_that_wait_the_first_is_granted_first(node: Node) -> None:
    for name, cpu in (("web", "2"), ("low", "2"), ("big", "26")):
        await node.create(pod(sized(cpu), name=name))
        await node.until(is_ready, name)
    for name in ("low", "web"):
        await resize(node, "20", name=name)
        await node.until(deferred, name)
    await node.client.delete(PODS, "big", namespace="default", grace_period_s=0)
    await node.until(resized("20"), "low")
    assert deferred(await node.pod("web"))


async def test_what_would_change_the_quality_of_service_is_refused(node: Node) -> None:
    await node.create(pod(container("main")))
    await node.until(is_ready)
    with pytest.raises(Invalid, match="Pod QOS Class may not change as a result of resizing"):
        await resize(node, "1")


async def test_more_than_the_node_could_ever_give_is_forbidden(node: Node) -> None:
    await node.create(pod(sized("1")))
    await node.until(is_ready)
    with pytest.raises(Forbidden) as caught:
        await resize(node, "33")
    assert caught.value.message == (
        'pods "web" is forbidden: node didn\'t have enough allocatable resources: '
        "cpu, requested: 33000, allocatable: 32000"
    )
    assert caught.value.causes() == [{"reason": "NodeCapacity"}]


async def test_a_pod_that_is_still_being_made_starts_with_its_new_size(node: Node) -> None:
    await node.create(pod(sized("1"), metadata={"annotations": _slow()}))
    await resize(node, "2")
    await node.until(lambda pod: is_ready(pod) and resized("2")(pod))


def _slow() -> dict[str, str]:
    from steersman.kubelet.runtimes.behaviour import ANNOTATION

    return {ANNOTATION: json.dumps({"*": {"sandboxSeconds": 5}})}


async def test_the_node_counts_what_was_granted_rather_than_what_is_asked_for(node: Node) -> None:
    await node.create(pod(sized("12")))
    await node.create(pod(sized("12"), name="other"))
    await node.until(is_ready)
    await node.until(is_ready, "other")
    await resize(node, "24")
    await node.until(deferred)
    await node.create(pod(sized("8"), name="third"))
    await node.until(is_ready, "third")
    assert (await node.client.get(NODES, NODE))["status"]["allocatable"]["cpu"] == "32"


GIVEN = Checkpoint(
    allocation=Allocation(pod={"limits": {"cpu": "1"}}, containers={"a": {"requests": {"memory": "1Gi"}}}),
    actuated=Actuated(pod=Amounts(cpu_limit_milli=1000), containers={"a": Amounts(memory_request_bytes=1 << 30)}),
)


def test_what_was_granted_and_set_outlives_the_kubelet(tmp_path: Any) -> None:
    paths = PodPaths(root=tmp_path)
    first = ResourceCheckpoints(paths)
    assert GIVEN.allocation is not None and GIVEN.actuated is not None
    first.set_allocation("uid", GIVEN.allocation)
    first.set_actuated("uid", GIVEN.actuated)
    assert ResourceCheckpoints(paths).get("uid") == GIVEN
    assert [path.name for path in paths.pod("uid").iterdir()] == ["resources.json"]


def test_what_is_set_as_it_was_granted_is_written_with_the_next_grant(tmp_path: Any) -> None:
    paths = PodPaths(root=tmp_path)
    first = ResourceCheckpoints(paths)
    assert GIVEN.allocation is not None and GIVEN.actuated is not None
    first.set_allocation("uid", GIVEN.allocation)
    first.set_actuated("uid", GIVEN.actuated, as_granted=True)
    assert ResourceCheckpoints(paths).get("uid") == Checkpoint(allocation=GIVEN.allocation)
    more = Allocation(pod={"limits": {"cpu": "2"}}, containers=GIVEN.allocation.containers)
    first.set_allocation("uid", more)
    assert ResourceCheckpoints(paths).get("uid") == Checkpoint(allocation=more, actuated=GIVEN.actuated)
    set_now = GIVEN.actuated.with_pod(Amounts(cpu_limit_milli=2000))
    first.set_actuated("uid", set_now, as_granted=True)
    assert ResourceCheckpoints(paths).get("uid") == Checkpoint(allocation=more, actuated=set_now)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"allocated": {"pod": 1}}', b'{"actuated": {"pod": {"x": 1}}}']
)
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Any, content: bytes) -> None:
    paths = PodPaths(root=tmp_path)
    paths.pod("uid").mkdir(parents=True)
    (paths.pod("uid") / "resources.json").write_bytes(content)
    assert ResourceCheckpoints(paths).get("uid") == Checkpoint()
