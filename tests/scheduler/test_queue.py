"""The scheduling queue: order, backoff, and what wakes a pod that fits nowhere."""

from __future__ import annotations

import pytest

from steersman.meta.objects import Object
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.component import default_configuration
from steersman.scheduler.events import EVERYTHING_CHANGED, Action, ClusterEvent, EventResource, node_events, pod_events
from steersman.scheduler.pod_info import PodInfo, parse_pod
from steersman.scheduler.queue import SchedulingQueue
from tests.scheduler.builders import node, pod


def new_queue() -> SchedulingQueue:
    return SchedulingQueue(default_configuration().frameworks, Cluster())


def popped(queue: SchedulingQueue, now_s: float) -> list[str]:
    names = []
    while (queued := queue.pop(now_s)) is not None:
        names.append(queued.pod.name)
    return names


def failed(queue: SchedulingQueue, wanted: Object, plugin: str, now_s: float = 0.0) -> PodInfo:
    """A pod that was tried once and rejected by ``plugin``."""
    info = parse_pod(wanted)
    queue.add(info, now_s)
    assert queue.pop(now_s) is not None
    queue.fail(info.uid, frozenset({plugin}), now_s)
    return info


def test_higher_priority_first_then_first_come_first_served() -> None:
    queue = new_queue()
    for now_s, (name, priority) in enumerate([("a", 0), ("b", 10), ("c", 0), ("d", 10)]):
        queue.add(parse_pod(pod(name, priority=priority)), float(now_s))
    assert popped(queue, 10.0) == ["b", "d", "a", "c"]


TAINT = {"key": "k", "effect": "NoSchedule"}
ZONE = "topology.kubernetes.io/zone"
SPREAD = pod(labels={"app": "x"}, topologySpreadConstraints=[
    {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule",
     "labelSelector": {"matchLabels": {"app": "x"}}}])  # fmt: skip
CLAIMING = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "mine"}}])


def claim(name: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}}


def csi_node(count: int) -> Object:
    return {"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d", "allocatable": {"count": count}}]}}


def volume(zone: str) -> Object:
    return {"metadata": {"name": "v", "labels": {ZONE: zone}}}


def changed(resource: EventResource, old: Object | None, new: Object | None) -> list[ClusterEvent]:
    action: Action = "Add" if old is None else "Delete" if new is None else "Update"
    return [ClusterEvent(resource=resource, action=action, old=old, new=new)]


@pytest.mark.parametrize(
    ("plugin", "wanted", "events", "wakes"),
    [
        ("NodeResourcesFit", pod(cpu="1"), node_events(None, node("n")), True),
        ("NodeResourcesFit", pod(cpu="8"), node_events(None, node("n")), False),
        ("NodeResourcesFit", pod(cpu="1"), node_events(None, node("n", pods="0")), False),
        ("NodeResourcesFit", pod(cpu="1"), node_events(node("n", pods="0"), node("n")), True),
        ("NodeResourcesFit", pod(cpu="1"), node_events(node("n", cpu="1"), node("n", cpu="2")), True),
        ("NodeResourcesFit", pod(cpu="1"), node_events(node("n", memory="1Gi"), node("n", memory="2Gi")), False),
        ("NodeResourcesFit", pod(cpu="1"), pod_events(pod("x", node_name="n"), None), True),
        ("NodeResourcesFit", pod(cpu="1"), pod_events(pod("x"), None), False),
        ("NodeResourcesFit", pod(cpu="1"),
         pod_events(pod("x", cpu="2", node_name="n"), pod("x", cpu="1", node_name="n")), True),
        ("NodeResourcesFit", pod(cpu="1"), pod_events(None, pod("x", node_name="n")), False),
        ("TaintToleration", pod(), node_events(node("n", taints=[TAINT]), node("n")), True),
        ("TaintToleration", pod(), node_events(None, node("n", taints=[TAINT])), False),
        ("TaintToleration", pod(), pod_events(pod(), pod(tolerations=[{"operator": "Exists"}])), True),
        ("NodeAffinity", pod(nodeSelector={"x": "y"}), node_events(node("n"), node("n", labels={"x": "y"})), True),
        ("NodeAffinity", pod(nodeSelector={"x": "y"}), node_events(node("n"), node("n", labels={"x": "z"})), False),
        ("NodeUnschedulable", pod(), node_events(node("n", unschedulable=True), node("n")), True),
        ("NodeUnschedulable", pod(), node_events(node("n"), node("n", unschedulable=True)), False),
        ("NodeName", pod(node_name=""), node_events(None, node("n")), False),
        ("NodePorts", pod(), node_events(None, node("n")), True),
        ("NodeResourcesFit", pod(cpu="1"), node_events(node("n"), node("n")), False),
        ("PodTopologySpread", SPREAD, pod_events(None, pod("y", labels={"app": "x"}, node_name="n")), True),
        ("PodTopologySpread", SPREAD, pod_events(None, pod("y", labels={"app": "y"}, node_name="n")), False),
        ("PodTopologySpread", SPREAD, pod_events(pod("y", labels={"app": "x"}, node_name="n"), None), True),
        ("PodTopologySpread", SPREAD, node_events(None, node("n", labels={ZONE: "z"})), True),
        ("PodTopologySpread", SPREAD, node_events(None, node("n")), False),
        ("VolumeBinding", CLAIMING, changed("PersistentVolumeClaim", None, claim("mine")), True),
        ("VolumeBinding", CLAIMING, changed("PersistentVolumeClaim", None, claim("other")), False),
        ("VolumeBinding", CLAIMING, changed("CSIStorageCapacity", {"capacity": "1Gi"}, {"capacity": "2Gi"}), True),
        ("VolumeBinding", CLAIMING, changed("CSIStorageCapacity", {"capacity": "2Gi"}, {"capacity": "1Gi"}), False),
        ("VolumeZone", CLAIMING, changed("PersistentVolume", volume("a"), volume("b")), True),
        ("VolumeZone", CLAIMING, changed("PersistentVolume", volume("a"), volume("a")), False),
        ("NodeVolumeLimits", CLAIMING, changed("CSINode", csi_node(1), csi_node(2)), True),
        ("NodeVolumeLimits", CLAIMING, changed("CSINode", csi_node(2), csi_node(1)), False),
        ("NodeVolumeLimits", CLAIMING, pod_events({**CLAIMING, "spec": {**CLAIMING["spec"], "nodeName": "n"}}, None), True),
        ("NodeVolumeLimits", CLAIMING, pod_events(pod("y", node_name="n"), None), False),
        ("VolumeRestrictions", CLAIMING, pod_events(
            pod("y", node_name="n", volumes=CLAIMING["spec"]["volumes"]), None), True),
        ("VolumeRestrictions", CLAIMING, pod_events(pod("y", node_name="n"), None), False),
    ],
)  # fmt: skip
def test_an_event_wakes_the_pods_it_can_help(
    plugin: str, wanted: Object, events: list[ClusterEvent], wakes: bool
) -> None:
    queue = new_queue()
    failed(queue, wanted, plugin)
    woken = sum(queue.on_event(event, 100.0) for event in events)
    assert (woken > 0) is wakes
    assert (popped(queue, 100.0) == ["p1"]) is wakes


def test_affinity_is_woken_by_the_pod_it_waits_for() -> None:
    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}]}}  # fmt: skip
    queue = new_queue()
    failed(queue, pod(affinity=near), "InterPodAffinity")
    [other] = pod_events(None, pod("other", labels={"app": "y"}, node_name="n"))
    [friend] = pod_events(None, pod("friend", labels={"app": "x"}, node_name="n"))
    assert queue.on_event(other, 50.0) == 0
    assert queue.on_event(friend, 50.0) == 1


def test_backoff_doubles_up_to_its_limit() -> None:
    queue = new_queue()
    info = parse_pod(pod())
    queue.add(info, 0.0)
    now_s, rests = 0.0, []
    for _ in range(6):
        assert queue.pop(now_s) is not None
        queue.fail(info.uid, frozenset(), now_s, is_error=True)
        deadline_s = queue.next_deadline_s()
        assert deadline_s is not None
        assert queue.pop(deadline_s - 0.01) is None
        rests.append(deadline_s - now_s)
        now_s = deadline_s
    assert rests == [2.0, 3.0, 5.0, 9.0, 11.0, 11.0], "to the end of the second in which the rest ends"


def test_pods_that_rest_at_the_same_time_return_by_priority() -> None:
    """The lesser pod failed first; when a node comes for both of them it must not be first there, too."""
    queue = new_queue()
    for now_s, (name, priority) in enumerate([("lesser", 0), ("greater", 10)], start=5):
        failed(queue, pod(name, cpu="1", priority=priority), "NodeResourcesFit", now_s / 10)
    [added] = node_events(None, node("n"))
    queue.on_event(added, 0.7)
    assert popped(queue, 0.7) == ["greater", "lesser"]


def test_who_waits_longer_keeps_his_turn_when_he_is_woken() -> None:
    queue = new_queue()
    failed(queue, pod("early", cpu="1"), "NodeResourcesFit", 0.0)
    queue.add(parse_pod(pod("late", cpu="1")), 50.0)
    [added] = node_events(None, node("n"))
    queue.on_event(added, 60.0)
    assert popped(queue, 60.0) == ["early", "late"]


def test_it_counts_who_comes_where_and_why() -> None:
    queue = new_queue()
    failed(queue, pod(cpu="1"), "NodeResourcesFit")
    [added] = node_events(None, node("n"))
    queue.on_event(added, 0.1)
    assert popped(queue, 0.1) == ["p1"]
    queue.add(parse_pod(pod("gated", schedulingGates=[{"name": "g"}])), 0.2)
    assert queue.incoming == {
        ("active", "UnschedulablePodAdd"): 1,
        ("unschedulable", "ScheduleAttemptFailure"): 1,
        ("backoff", "NodeAdd"): 1,
        ("active", "PopFromBackoffQ"): 1,
        ("unschedulable", "UnschedulablePodAdd"): 1,
    }


def test_with_nothing_else_to_do_a_rejected_pod_need_not_rest() -> None:
    queue = new_queue()
    info = failed(queue, pod(cpu="1"), "NodeResourcesFit")
    [added] = node_events(None, node("n"))
    queue.on_event(added, 0.1)
    assert queue.get(info.uid) is not None
    assert popped(queue, 0.1) == ["p1"]


def test_events_during_a_try_are_not_missed() -> None:
    queue = new_queue()
    info = parse_pod(pod(cpu="1"))
    queue.add(info, 0.0)
    assert queue.pop(0.0) is not None
    [added] = node_events(None, node("n"))
    queue.on_event(added, 0.0)
    queue.fail(info.uid, frozenset({"NodeResourcesFit"}), 0.0)
    assert popped(queue, 5.0) == ["p1"]


def test_events_are_kept_as_long_as_a_pod_that_may_need_them_is_tried() -> None:
    queue = new_queue()
    infos = [parse_pod(pod(name, cpu="1")) for name in ("gone", "refused")]
    for info in infos:
        queue.add(info, 0.0)
        assert queue.pop(0.0) is not None
    [added] = node_events(None, node("n"))
    queue.on_event(added, 0.0)
    assert queue.kept_events() == {"NodeAdd": 1, "PodPopped": 2}
    queue.remove(infos[0].uid)
    queue.fail(infos[1].uid, frozenset({"NodePorts"}), 0.0)
    assert queue.kept_events() == {}


def test_unschedulable_pods_are_tried_again_after_a_while_whatever_happened() -> None:
    queue = new_queue()
    failed(queue, pod(cpu="100"), "NodeResourcesFit")
    assert queue.flush(299.0) == 0
    assert queue.flush(301.0) == 1
    assert popped(queue, 301.0) == ["p1"]


def test_gated_pods_are_not_tried_not_even_after_a_while() -> None:
    queue = new_queue()
    gated = pod(schedulingGates=[{"name": "g"}])
    queue.add(parse_pod(gated), 0.0)
    assert queue.flush(1000.0) == 0
    queue.on_event(EVERYTHING_CHANGED, 1000.0)
    assert popped(queue, 1000.0) == []
    free = pod()
    queue.update(parse_pod(free), pod_events(gated, free), 1001.0)
    assert popped(queue, 1001.0) == ["p1"]


def test_removed_pods_are_not_tried() -> None:
    queue = new_queue()
    info = parse_pod(pod())
    queue.add(info, 0.0)
    queue.remove(info.uid)
    assert popped(queue, 0.0) == []
    assert queue.lengths().active == 0
