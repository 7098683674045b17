"""Pods with resource claims: where they fit, what they are told, what is promised and written."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.meta.errors import Conflict
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, RESOURCECLAIMS, RESOURCESLICES
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.component import DEFAULT_PLUGINS
from steersman.scheduler.configuration import read_configuration
from steersman.scheduler.core import Decision, NotReserved, SchedulerCore
from steersman.scheduler.framework import Announce, CurrentTime, Errand, ErrandFailed, Read, Until, Write
from steersman.scheduler.plugin_calls import PluginFailed
from steersman.scheduler.pod_info import PodInfo, parse_pod
from steersman.scheduler.queue import SchedulingQueue
from tests.scheduler.builders import cluster_of, core_of, node, pod
from tests.scheduler.devices.builders import (
    DRIVER,
    allocated,
    claim,
    device,
    device_class,
    request,
    resource_slice,
    wanted,
    with_devices,
)
from tests.scheduler.test_configuration import HEAD


def using(*claims: str, name: str = "p1", **options: Any) -> Object:
    entries = [{"name": f"entry-{each}", "resourceClaimName": each} for each in claims]
    return pod(name, resourceClaims=entries, **options)


def two_nodes(**options: Any) -> Cluster:
    """Node ``a`` has one device, ``b`` two, ``c`` none."""
    return with_devices(
        cluster_of(node("a"), node("b"), node("c")),
        resource_slice("sa", device("a1"), node="a"),
        resource_slice("sb", device("b1"), device("b2"), node="b"),
        **options,
    )


def decide(cluster: Cluster, obj: Object) -> Decision:
    return core_of(cluster).decide(parse_pod(obj))


def message(decision: Decision) -> str:
    assert decision.diagnosis is not None
    return decision.diagnosis.message


def fitting(cluster: Cluster, obj: Object) -> set[str]:
    return set(core_of(cluster).search(parse_pod(obj)).names())


def test_nodes_with_enough_devices_fit() -> None:
    cluster = two_nodes(claims=(claim("one"), claim("two", request(count=2)), claim("three", request(count=3))))
    assert fitting(cluster, using("one")) == {"a", "b"}
    assert fitting(cluster, using("two")) == {"b"}
    assert fitting(cluster, using("one", "two")) == set()
    assert message(decide(cluster, using("three"))) == (
        "0/3 nodes are available: 3 cannot allocate all claims. still not schedulable, preemption: 0/3 nodes are "
        "available: 3 Preemption is not helpful for scheduling."
    )


def test_an_allocated_claim_keeps_its_pods_together() -> None:
    cluster = two_nodes(claims=(allocated("mine", ("b", "b1"), node="b", users=("someone",)),))
    assert fitting(cluster, using("mine")) == {"b"}


@pytest.mark.parametrize(
    ("obj", "claims", "expected"),
    [
        (using("nowhere"), (), 'could not find ResourceClaim "default/nowhere"'),
        (pod("p1", resourceClaims=[{"name": "e", "resourceClaimTemplateName": "t"}]), (),
         'pod "default/p1": ResourceClaim not created yet'),
        (using("c"), ({**claim("c"), "metadata": {**claim("c")["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}},),
         'resourceclaim "c" is being deleted'),
        (using("c"), (claim("c", request("r", class_name="missing")),), "request r: device class missing does not exist"),
        (using("c"), (claim("c", {"name": "r", "firstAvailable": [{"name": "s", **wanted(class_name="missing")}]}),),
         "request r/s: device class missing does not exist"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_used_are_told_of(obj: Object, claims: tuple[Object, ...], expected: str) -> None:
    decision = decide(two_nodes(claims=claims), obj)
    assert message(decision).startswith(f"0/3 nodes are available: {expected}.")


def test_generated_claims_are_found_through_the_pods_status() -> None:
    obj = pod("p1", resourceClaims=[{"name": "e", "resourceClaimTemplateName": "t"}])
    obj["status"] = {"resourceClaimStatuses": [{"name": "e", "resourceClaimName": "p1-e-x"}]}
    assert fitting(two_nodes(claims=(claim("p1-e-x", owner=obj),)), obj) == {"a", "b"}
    stranger = decide(two_nodes(claims=(claim("p1-e-x"),)), obj)
    assert "ResourceClaim default/p1-e-x was not created for Pod default/p1 (Pod is not owner)" in message(stranger)
    obj["status"] = {"resourceClaimStatuses": [{"name": "e"}]}
    assert fitting(two_nodes(), obj) == {"a", "b", "c"}


def test_a_pod_whose_claim_is_missing_is_not_tried_until_it_is_there() -> None:
    cluster = two_nodes()
    queue = SchedulingQueue(core_of(cluster).frameworks, cluster)
    queue.add(parse_pod(using("c")), 0.0)
    assert queue.lengths().gated == 1
    assert queue.pop(0.0) is None
    made = claim("c")
    cluster.put(RESOURCECLAIMS, made)
    from steersman.scheduler.events import ClusterEvent

    assert queue.on_event(ClusterEvent(resource="ResourceClaim", action="Add", new=claim("other")), 1.0) == 0
    assert queue.on_event(ClusterEvent(resource="ResourceClaim", action="Add", new=made), 1.0) == 1
    assert queue.pop(1.0) is not None


def test_a_broken_selector_fails_the_try() -> None:
    cluster = two_nodes(claims=(claim("c", request("r", "device.nonsense")),))
    words = 'running "DynamicResources" filter plugin: claim default/c: selector #0: CEL compile error'
    with pytest.raises(PluginFailed, match=words):
        decide(cluster, using("c"))


def test_more_wanted_alternatives_make_nodes_better() -> None:
    choice = {"name": "r", "firstAvailable": [
        {"name": "pair", **wanted(count=2)}, {"name": "single", **wanted()}]}  # fmt: skip
    cluster = two_nodes(claims=(claim("c", choice),))
    decision = core_of(cluster).decide(parse_pod(using("c")), runners_up=1)
    assert decision.node_name == "b"
    assert [score.by_plugin["DynamicResources"] for score in decision.best] == [200, 174]


class Assumed:
    """A pod that was decided and assumed."""

    def __init__(self, cluster: Cluster, obj: Object) -> None:
        self.cluster = cluster
        self.core = core_of(cluster)
        self.assumed = assume(self.core, obj)

    def pre_bind(self) -> Errand:
        plugin = self.core.frameworks["default-scheduler"].plugins["DynamicResources"]
        errand: Errand = plugin.pre_bind(self.assumed, self.assumed.node_name, self.cluster)
        return errand


def assume(core: SchedulerCore, obj: Object) -> PodInfo:
    info = parse_pod(obj)
    decision = core.decide(info)
    assert decision.node_name, decision.diagnosis
    assumed = core.assume(info, decision.node_name)
    assert not isinstance(assumed, NotReserved)
    return assumed


def carried_out(errand: Errand, *, conflicts: int = 0) -> list[Any]:
    """The steps of an errand. Writes are answered with what was written, in a new version; the first ``conflicts`` updates
    of a status find that somebody was faster."""
    steps: list[Any] = []
    version = 10
    try:
        step: Any = next(errand)
        while True:
            steps.append(step)
            if isinstance(step, Write) and step.subresource == "status" and conflicts:
                conflicts -= 1
                step = errand.throw(Conflict.of(RESOURCECLAIMS, "c", "somebody was faster"))
            elif isinstance(step, Write):
                version += 1
                metadata = {"name": "made", **step.obj["metadata"], "resourceVersion": str(version)}
                if step.verb == "create":
                    metadata["uid"] = "uid-made"
                step = errand.send({**step.obj, "metadata": metadata})
            elif isinstance(step, CurrentTime):
                step = errand.send(1_767_225_600.0)
            elif isinstance(step, Read):
                step = errand.send(claim(step.name))
            else:
                step = errand.send(None)
    except StopIteration:
        return steps


def test_what_is_promised_to_one_pod_is_not_promised_to_another() -> None:
    cluster = two_nodes(claims=(claim("c1", request(count=2)), claim("c2"), claim("c3")))
    core = core_of(cluster)
    assert assume(core, using("c1", name="p1")).node_name == "b"
    assert assume(core, using("c2", name="p2")).node_name == "a"
    assert not core.decide(parse_pod(using("c3", name="p3"))).node_name
    waiting = core.decide(parse_pod(using("c2", name="p4")))
    assert "resource claim default/c2 is in the process of being allocated" in message(waiting)


def test_a_pod_that_is_not_bound_after_all_gives_its_devices_back() -> None:
    cluster = two_nodes(claims=(claim("c1", request(count=2)), claim("c2", request(count=2))))
    core = core_of(cluster)
    assumed = assume(core, using("c1", name="p1"))
    assert not core.decide(parse_pod(using("c2", name="p2"))).node_name
    assert core.forget(assumed) == ()
    assert core.decide(parse_pod(using("c2", name="p2"))).node_name == "b"


def test_binding_writes_finalizer_allocation_and_reservation() -> None:
    state = Assumed(two_nodes(claims=(claim("c", request(count=2)),)), using("c"))
    first, _, second = carried_out(state.pre_bind())
    assert (first.verb, first.subresource) == ("update", "")
    assert first.obj["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    assert (second.verb, second.subresource) == ("update", "status")
    status = second.obj["status"]
    assert [entry["device"] for entry in status["allocation"]["devices"]["results"]] == ["b1", "b2"]
    assert status["allocation"]["allocationTimestamp"] == "2026-01-01T00:00:00Z"
    assert status["reservedFor"] == [{"resource": "pods", "name": "p1", "uid": "default-p1"}]


def test_binding_goes_on_from_the_newer_version_when_somebody_was_faster() -> None:
    state = Assumed(two_nodes(claims=(claim("c"),)), using("c"))
    kinds = [type(step).__name__ for step in carried_out(state.pre_bind(), conflicts=1)]
    assert kinds == ["Write", "CurrentTime", "Write", "Read", "Write", "CurrentTime", "Write"]


def test_binding_fails_when_somebody_else_allocated_the_claim() -> None:
    state = Assumed(two_nodes(claims=(claim("c"),)), using("c"))
    errand = state.pre_bind()
    next(errand)
    read = errand.throw(Conflict.of(RESOURCECLAIMS, "c", "somebody was faster"))
    assert isinstance(read, Read)
    with pytest.raises(ErrandFailed, match="claim default/c got allocated elsewhere in the meantime"):
        errand.send(allocated("c", ("a", "a1")))


def test_a_written_allocation_counts_before_the_informer_shows_it() -> None:
    cluster = two_nodes(claims=(claim("c", request(count=2)), claim("d", request(count=2))))
    state = Assumed(cluster, using("c"))
    carried_out(state.pre_bind())
    assert not state.core.decide(parse_pod(using("d", name="p2"))).node_name
    assert state.core.decide(parse_pod(using("c", name="p3"))).node_name == "b"
    cluster.put(
        RESOURCECLAIMS,
        {**claim("c", request(count=2)), "metadata": {**claim("c")["metadata"], "resourceVersion": "99"}},
    )
    assert state.core.decide(parse_pod(using("d", name="p2"))).node_name == "b"


def test_a_second_pod_of_an_allocated_claim_is_added_to_its_users() -> None:
    state = Assumed(two_nodes(claims=(allocated("c", ("a", "a1"), node="a", users=("first",)),)), using("c"))
    steps = carried_out(state.pre_bind())
    assert [entry["uid"] for entry in steps[-1].obj["status"]["reservedFor"]] == ["first", "default-p1"]


def test_unreserving_takes_the_pod_off_the_claim_again() -> None:
    state = Assumed(two_nodes(claims=(claim("c"),)), using("c"))
    carried_out(state.pre_bind())
    (errand,) = state.core.forget(state.assumed)
    (write,) = carried_out(errand)
    assert (write.verb, write.subresource) == ("patch", "status")
    assert write.obj["status"]["reservedFor"] == [{"$patch": "delete", "uid": "default-p1"}]


def test_a_claim_that_nobody_uses_is_deallocated_where_that_could_help() -> None:
    cluster = two_nodes(claims=(allocated("c", ("a", "a1"), node="a"),))
    decision = decide(cluster, using("c", nodeSelector={"kubernetes.io/hostname": "b"}))
    assert "deallocation of ResourceClaim completed, preemption:" in message(decision)
    (errand,) = decision.errands
    (write,) = carried_out(errand)
    assert write.obj["status"] == {}
    cluster.put(RESOURCECLAIMS, allocated("c", ("a", "a1"), node="a", users=("someone",)))
    in_use = decide(cluster, using("c", nodeSelector={"kubernetes.io/hostname": "b"}))
    assert "still not schedulable, preemption:" in message(in_use)
    assert not in_use.errands


def test_pods_without_claims_have_none_to_deallocate() -> None:
    assert "no new claims to deallocate, preemption:" in message(decide(two_nodes(), pod(cpu="100")))


def test_nothing_is_deallocated_and_nobody_preempted_for_pods_that_were_rejected_before() -> None:
    lost = pod(volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}])
    decision = decide(two_nodes(), lost)
    assert message(decision) == '0/3 nodes are available: persistentvolumeclaim "c" not found. not found'
    assert decision.nomination is None


class TestBindingConditions:
    """Devices that have to be attached before a pod can start."""

    @staticmethod
    def cluster() -> Cluster:
        attached = device("a1", bindingConditions=["Attached"], bindingFailureConditions=["Broken"])
        return with_devices(cluster_of(node("a")), resource_slice("sa", attached, node="a"), claims=(claim("c"),))

    @staticmethod
    def reported(written: Object, *conditions: Object) -> Object:
        statuses = [{"driver": DRIVER, "pool": "a", "device": "a1", "conditions": [*conditions]}]
        metadata = {**written["metadata"], "resourceVersion": "99"}
        return {**written, "metadata": metadata, "status": {**written["status"], "devices": statuses}}

    def test_binding_waits_for_them(self) -> None:
        state = Assumed(self.cluster(), using("c"))
        steps = carried_out(state.pre_bind())
        announcement, wait = steps[-2:]
        assert announcement == Announce(
            reason="BindingConditionsPending", message="waiting for binding conditions for device on node a"
        )
        assert isinstance(wait, Until)
        written = steps[-3].obj
        assert not wait.holds(state.cluster)
        state.cluster.put(RESOURCECLAIMS, self.reported(written, {"type": "Attached", "status": "True"}))
        assert wait.holds(state.cluster)
        failed = {"type": "Broken", "status": "True", "reason": "Smoke", "message": "it burns"}
        state.cluster.put(RESOURCECLAIMS, self.reported(written, failed))
        with pytest.raises(ErrandFailed, match='claim=c, reason=Smoke, message="it burns"'):
            wait.holds(state.cluster)

    def test_a_claim_whose_devices_failed_or_take_too_long_is_given_up(self) -> None:
        state = Assumed(self.cluster(), using("c"))
        written = carried_out(state.pre_bind())[-3].obj
        late = {**written, "status": {**written["status"], "reservedFor": []}}
        cluster = self.cluster()
        cluster.put(RESOURCECLAIMS, late)
        cluster.now_s = 1_767_225_600.0 + 599
        assert fitting(cluster, using("c")) == {"a"}
        cluster.now_s += 2
        assert "deallocation of ResourceClaim completed" in message(decide(cluster, using("c")))


class TestExtendedResources:
    """Devices in the place of resources that a kubelet would offer."""

    GPU = "example.com/gpu"

    def cluster(self) -> Cluster:
        """Nodes ``a`` and ``b`` have devices, ``old`` offers the resource by a device plugin."""
        cluster = two_nodes(classes=(device_class("gpu", extendedResourceName=self.GPU),))
        cluster.nodes.put_node(node("old", more={self.GPU: "1"}))
        return cluster

    def test_devices_stand_for_the_resource_where_the_node_does_not_offer_it(self) -> None:
        assert fitting(self.cluster(), pod(requests={self.GPU: "1"})) == {"a", "b", "old"}
        assert fitting(self.cluster(), pod(requests={self.GPU: "2"})) == {"b"}

    def test_a_profile_that_ignores_the_resource_leaves_it_to_devices(self) -> None:
        """Nobody else has asked for the resource, so the table of nodes has no column for it yet."""
        arguments = [{"name": "NodeResourcesFit", "args": {"ignoredResources": [self.GPU]}}]
        document = {**HEAD, "profiles": [{"pluginConfig": arguments}]}
        cluster = two_nodes(classes=(device_class("gpu", extendedResourceName=self.GPU),))
        core = SchedulerCore(read_configuration(document, DEFAULT_PLUGINS).frameworks, cluster)
        assert set(core.search(parse_pod(pod(requests={self.GPU: "1"}))).names()) == {"a", "b"}

    def test_every_class_has_a_resource_of_its_name(self) -> None:
        cluster = two_nodes()
        assert fitting(cluster, pod(requests={"deviceclass.resource.kubernetes.io/gpu": "2"})) == {"b"}

    def test_a_resource_without_a_class_is_the_kubelets_business(self) -> None:
        decision = decide(two_nodes(), pod(requests={"example.com/other": "1"}))
        assert message(decision).startswith("0/3 nodes are available: 3 Insufficient example.com/other.")

    def test_the_claim_is_made_when_the_pod_is_bound(self) -> None:
        state = Assumed(self.cluster(), pod(requests={self.GPU: "2", "cpu": "1"}))
        steps = carried_out(state.pre_bind())
        create, finalizer, _, status, patch = steps
        assert create.verb == "create"
        assert create.obj["metadata"]["generateName"] == "p1-extended-resources-"
        assert create.obj["metadata"]["annotations"] == {"resource.kubernetes.io/extended-resource-claim": "true"}
        assert create.obj["spec"]["devices"]["requests"] == [
            {
                "name": "container-0-request-1",
                "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2},
            }
        ]
        assert finalizer.obj["metadata"]["finalizers"]
        assert [each["device"] for each in status.obj["status"]["allocation"]["devices"]["results"]] == ["b1", "b2"]
        assert patch.resource == PODS
        assert patch.obj["status"]["extendedResourceClaimStatus"] == {
            "resourceClaimName": "made",
            "requestMappings": [
                {"containerName": "main", "resourceName": self.GPU, "requestName": "container-0-request-1"}
            ],
        }

    def test_init_containers_use_the_devices_of_later_containers(self) -> None:
        def container(name: str, count: int, **more: Any) -> Object:
            return {"name": name, "image": "i", "resources": {"requests": {self.GPU: str(count)}}, **more}

        obj = pod()
        obj["spec"]["initContainers"] = [container("setup", 2), container("side", 1, restartPolicy="Always")]
        obj["spec"]["containers"] = [container("main", 1)]
        cluster = self.cluster()
        create = carried_out(Assumed(cluster, obj).pre_bind())[0]
        assert [(each["name"], each["exactly"]["count"]) for each in create.obj["spec"]["devices"]["requests"]] == [
            ("container-1-request-0", 1), ("container-2-request-0", 1),
        ]  # fmt: skip

    def test_a_claim_that_an_earlier_try_left_is_removed_first(self) -> None:
        obj = pod(requests={self.GPU: "2"})
        cluster = self.cluster()
        left = claim("left", owner=obj)
        left["metadata"]["annotations"] = {"resource.kubernetes.io/extended-resource-claim": "true"}
        cluster.put(RESOURCECLAIMS, left)
        decision = decide(cluster, obj)
        assert "cannot schedule extended resource claim" in message(decision)
        assert "deletion of ResourceClaim completed" in message(decision)
        (errand,) = decision.errands
        assert [step.verb for step in carried_out(errand)] == ["update", "delete"]


def test_new_slices_are_seen_and_devices_that_are_gone_are_not_given_out() -> None:
    cluster = two_nodes(claims=(claim("c", request(count=2)),))
    core = core_of(cluster)
    info = parse_pod(using("c"))
    assert core.decide(info).node_name == "b"
    cluster.remove(RESOURCESLICES, "sb")
    assert not core.decide(info).node_name
    cluster.put(RESOURCESLICES, resource_slice("sc", device("c1"), device("c2"), node="c"))
    assert core.decide(info).node_name == "c"
