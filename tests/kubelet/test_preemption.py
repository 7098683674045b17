"""Which pods make room for a critical one."""

from __future__ import annotations

import pytest

from steersman.kubelet.admission import Shortage
from steersman.kubelet.preemption import PreemptionError, is_preemptable, pods_to_preempt
from steersman.meta import objects
from steersman.meta.objects import Object
from tests.kubelet.conftest import NODE, Node, is_ready, phase_is
from tests.kubelet.pods import container, pod

CRITICAL = pod(name="critical", uid="critical", priority=2_000_001_000)


def effort(name: str) -> Object:
    return pod(name=name, uid=name)


def burstable(name: str, cpu: str, memory: str = "0") -> Object:
    return pod(container(resources={"requests": {"cpu": cpu, "memory": memory}}), name=name, uid=name)


def guaranteed(name: str, cpu: str) -> Object:
    amounts = {"cpu": cpu, "memory": "1Mi"}
    return pod(container(resources={"requests": amounts, "limits": amounts}), name=name, uid=name)


def lacking(**missing: int) -> list[Shortage]:
    return [Shortage(resource=name, requested=amount, used=0, capacity=0) for name, amount in missing.items()]


def chosen(running: list[Object], **missing: int) -> list[str]:
    return [objects.name(item) for item in pods_to_preempt(CRITICAL, running, lacking(**missing))]


def test_as_few_and_as_small_pods_as_possible_go() -> None:
    pods = [burstable("a", "100m"), burstable("b", "200m"), burstable("c", "500m")]
    assert chosen(pods, cpu=150) == ["b"]
    assert chosen(pods, cpu=100) == ["a"]
    assert chosen(pods, cpu=550) == ["c", "a"]


def test_guaranteed_pods_go_only_where_all_others_are_not_enough() -> None:
    pods = [guaranteed("g", "1"), burstable("b", "500m"), effort("e")]
    assert chosen(pods, cpu=400) == ["b"]
    assert chosen(pods, cpu=1000) == ["g"]
    assert chosen(pods, pods=1) == ["e"]


def test_critical_pods_stay_for_one_another() -> None:
    other = {**CRITICAL, "metadata": {**CRITICAL["metadata"], "uid": "other"}}
    assert not is_preemptable(CRITICAL, other)
    assert is_preemptable({**CRITICAL, "spec": {**CRITICAL["spec"], "priority": 2_000_001_001}}, other)
    with pytest.raises(
        PreemptionError, match=r"no set of running pods found to reclaim resources: \[\(res: pods, q: 1\), \]"
    ):
        pods_to_preempt(CRITICAL, [other], lacking(pods=1))


async def test_a_critical_pod_takes_the_place_of_another(node: Node) -> None:
    await node.create(pod(container(resources={"requests": {"cpu": "31"}})))
    await node.until(is_ready)
    wanting = container(resources={"requests": {"cpu": "2"}})
    await node.create(pod(wanting, name="critical", priorityClassName="system-node-critical"))
    victim = await node.until(phase_is("Failed"))
    assert (victim["status"]["reason"], victim["status"]["message"]) == (
        "Preempting", "Preempted in order to admit critical pod"
    )  # fmt: skip
    [condition] = [entry for entry in victim["status"]["conditions"] if entry["type"] == "DisruptionTarget"]
    assert (condition["status"], condition["reason"]) == ("True", "TerminationByKubelet")
    await node.until(is_ready, "critical")
    assert ("Preempting", "Preempted in order to admit critical pod") in await node.events()


async def test_a_critical_pod_that_cannot_be_helped_is_refused(node: Node) -> None:
    await node.create(pod(container(resources={"requests": {"cpu": "99"}}), priorityClassName="system-node-critical"))
    found = await node.until(phase_is("Failed"))
    assert found["status"]["reason"] == "UnexpectedAdmissionError"
    assert found["status"]["message"] == (
        "Pod was rejected: Unexpected error while attempting to recover from admission failure: preemption: error finding "
        "a set of pods to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 67000), ]"
    )


async def test_a_critical_pod_on_the_wrong_node_takes_nobodys_place(node: Node) -> None:
    await node.create(pod(container(resources={"requests": {"cpu": "31"}})))
    await node.until(is_ready)
    wanting = container(resources={"requests": {"cpu": "2"}})
    await node.create(
        pod(wanting, name="critical", priorityClassName="system-node-critical", nodeSelector={"no": "such"})
    )
    found = await node.until(phase_is("Failed"), "critical")
    assert found["status"]["reason"] == "NodeAffinity"
    assert found["spec"]["nodeName"] == NODE
    assert is_ready(await node.pod())
