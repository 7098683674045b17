"""One row a rule: a cluster, a pod, and which nodes fit or why they do not."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.meta.objects import Object
from steersman.meta.resources import (
    CSINODES,
    NAMESPACES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    REPLICASETS,
    SERVICES,
    STORAGECLASSES,
    Resource,
)
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.framework import Errand, ErrandFailed, Until, Write
from steersman.scheduler.pod_info import parse_pod
from tests.scheduler.builders import cluster_of, core_of, node, pod

ZONE = "topology.kubernetes.io/zone"
NO_SCHEDULE = {"key": "k", "value": "v", "effect": "NoSchedule"}


def fitting(cluster: Cluster, obj: Object) -> set[str]:
    found = core_of(cluster).search(parse_pod(obj))
    return {cluster.nodes.names[int(row)] for row in found.feasible.nonzero()[0]}


def message(cluster: Cluster, obj: Object) -> str:
    return core_of(cluster).search(parse_pod(obj)).diagnose().message


@pytest.mark.parametrize(
    ("nodes", "wanted", "expected"),
    [
        ([node("a", cpu="1")], pod(cpu="1001m"), "0/1 nodes are available: 1 Insufficient cpu."),
        ([node("a", memory="1Gi")], pod(memory="1025Mi"), "0/1 nodes are available: 1 Insufficient memory."),
        ([node("a", pods="0")], pod(), "0/1 nodes are available: 1 Too many pods."),
        (
            [node("a"), node("b", more={"example.com/gpu": "1"})],
            pod(requests={"example.com/gpu": "2"}),
            "0/2 nodes are available: 2 Insufficient example.com/gpu.",
        ),
        (
            [node("a", cpu="1", memory="1Gi")],
            pod(cpu="2", memory="2Gi"),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
        ),
        ([node("a", taints=[NO_SCHEDULE])], pod(), "0/1 nodes are available: 1 node(s) had untolerated taint(s)."),
        ([node("a", unschedulable=True)], pod(), "0/1 nodes are available: 1 node(s) were unschedulable."),
        (
            [node("a")],
            pod(nodeSelector={"x": "y"}),
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ),
        (
            [node("a", cpu="1"), node("b", taints=[NO_SCHEDULE]), node("c", unschedulable=True), node("d", cpu="1")],
            pod(cpu="2"),
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, "
            "2 Insufficient cpu.",
        ),
        (
            [node("a"), node("b")],
            pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gone"]}]}]}}}),
            "0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
        ),
    ],
)  # fmt: skip
def test_a_pod_that_fits_nowhere_says_why(nodes: list[Object], wanted: Object, expected: str) -> None:
    assert message(cluster_of(*nodes), wanted) == expected


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "other"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations_answer_taints(toleration: Object, fits: bool) -> None:
    cluster = cluster_of(node("a", taints=[NO_SCHEDULE]))
    assert (fitting(cluster, pod(tolerations=[toleration])) == {"a"}) is fits


def test_the_daemonset_way_of_naming_a_node_looks_at_that_node_only() -> None:
    cluster = cluster_of(*(node(f"n{number}") for number in range(4)))
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    assert fitting(cluster, pod(affinity={"nodeAffinity": required})) == {"n2"}


@pytest.mark.parametrize(
    ("mine", "theirs", "fits"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, False),
        ({"hostPort": 80}, {"hostPort": 81}, True),
        ({"hostPort": 80}, {"hostPort": 80, "protocol": "UDP"}, True),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80, "hostIP": "127.0.0.2"}, True),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80}, False),
    ],
)
def test_host_ports_are_taken_once(mine: Object, theirs: Object, fits: bool) -> None:
    def with_port(name: str, port: Object, **more: Any) -> Object:
        made = pod(name, **more)
        made["spec"]["containers"][0]["ports"] = [{"containerPort": 1, **port}]
        return made

    cluster = cluster_of(node("a"), with_port("theirs", theirs, node_name="a"))
    assert (fitting(cluster, with_port("mine", mine)) == {"a"}) is fits


def test_init_containers_sidecars_and_overhead_count_as_documented() -> None:
    """max(containers + sidecars, sidecars so far + each init container) + overhead."""

    def container(name: str, cpu: str, **more: str) -> Object:
        return {"name": name, "image": "i", "resources": {"requests": {"cpu": cpu}}, **more}

    made = pod(overhead={"cpu": "10m"})
    made["spec"]["initContainers"] = [
        container("first", "700m"),
        container("sidecar", "100m", restartPolicy="Always"),
        container("second", "900m"),
    ]
    made["spec"]["containers"] = [container("a", "300m"), container("b", "400m")]
    assert parse_pod(made).requests.amounts == {"cpu": 1000 + 10}


def test_what_the_pod_states_itself_counts_and_for_scores_what_its_containers_state() -> None:
    """As upstream: NodeResourcesFit filters by the pod's own requests and scores by those of its containers."""
    made = pod(
        cpu="1", requests={"example.com/gpu": "1"}, resources={"requests": {"cpu": "3"}}, overhead={"cpu": "10m"}
    )
    requests = parse_pod(made).requests
    assert requests.amounts == {"cpu": 3010, "example.com/gpu": 1}
    assert requests.of_containers is not None
    assert requests.of_containers.amounts == {"cpu": 1010, "example.com/gpu": 1}
    cluster = cluster_of(node("a", cpu="4", memory="400Mi"), node("b", cpu="3", memory="400Mi"))
    del made["spec"]["containers"][0]["resources"]["requests"]["example.com/gpu"]
    decision = core_of(cluster).decide(parse_pod(made), runners_up=1)
    # (4000 - 1010) / 4000 of the CPU and half of the memory, which nobody states, are left
    assert [(score.node_name, score.by_plugin["NodeResourcesFit"]) for score in decision.best] == [("a", 62)]


def test_a_resize_under_way_counts_with_the_larger_amount() -> None:
    made = pod(cpu="200m")
    made["status"] = {"containerStatuses": [
        {"name": "main", "resources": {"requests": {"cpu": "500m"}}, "allocatedResources": {"cpu": "300m"}}]}  # fmt: skip
    assert parse_pod(made).requests.amounts == {"cpu": 500}
    made["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "900m"
    assert parse_pod(made).requests.amounts == {"cpu": 900}
    made["status"]["conditions"] = [{"type": "PodResizePending", "reason": "Infeasible", "status": "True"}]
    assert parse_pod(made).requests.amounts == {"cpu": 500}


def test_default_spreading_prefers_zones_with_fewer_siblings_of_a_service() -> None:
    cluster = cluster_of(
        node("a1", labels={ZONE: "a"}), node("b1", labels={ZONE: "b"}), node("a2", labels={ZONE: "a"}),
        pod("p1", labels={"app": "x"}, node_name="a1"),
    )  # fmt: skip
    service = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "x"}}}
    cluster.put(SERVICES, service)
    core = core_of(cluster)
    found = core.search(parse_pod(pod("p2", labels={"app": "x"})))
    spread = core.scores(found, slice(0, 3))["PodTopologySpread"]
    names = dict(zip(cluster.nodes.names, spread, strict=True))
    assert names["b1"] > names["a2"] > names["a1"]


def test_default_spreading_selects_by_the_owning_replica_set() -> None:
    cluster = cluster_of(node("a"), node("b"), pod("p1", labels={"app": "x"}, node_name="a"))
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": True}
    cluster.put(REPLICASETS, {"metadata": {"name": "rs", "namespace": "default"},
                              "spec": {"selector": {"matchLabels": {"app": "x"}}}})  # fmt: skip
    core = core_of(cluster)
    decision = core.decide(parse_pod(pod("p2", labels={"app": "x"}, metadata={"ownerReferences": [owner]})))
    assert decision.node_name == "b"


def test_namespace_selectors_follow_namespaces() -> None:
    cluster = cluster_of(node("a"), node("b"), pod("p1", namespace="blue", labels={"app": "x"}, node_name="a"))
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}},
         "namespaceSelector": {"matchLabels": {"team": "t"}}}]}}  # fmt: skip
    wanted = pod("p2", affinity=apart)
    assert fitting(cluster, wanted) == {"a", "b"}
    cluster.put(NAMESPACES, {"metadata": {"name": "blue", "labels": {"team": "t"}}})
    assert fitting(cluster, wanted) == {"b"}


def test_match_label_keys_narrow_a_constraint_to_the_pods_own_revision() -> None:
    cluster = cluster_of(
        node("a"), node("b"),
        pod("old1", labels={"app": "x", "rev": "1"}, node_name="a"),
        pod("old2", labels={"app": "x", "rev": "1"}, node_name="b"),
        pod("new1", labels={"app": "x", "rev": "2"}, node_name="a"),
    )  # fmt: skip
    constraint = {
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "x"}}, "matchLabelKeys": ["rev"],
    }  # fmt: skip
    wanted = pod("new2", labels={"app": "x", "rev": "2"}, topologySpreadConstraints=[constraint])
    assert fitting(cluster, wanted) == {"b"}


# -- volumes -----------------------------------------------------------------------------------------------------------


def volume(name: str, *, size: str = "1Gi", storage_class: str = "local", **more: Any) -> Object:
    spec: Object = {"capacity": {"storage": size}, "storageClassName": storage_class,
                    "accessModes": ["ReadWriteOnce"], **more}  # fmt: skip
    return {"metadata": {"name": name, "uid": name, "resourceVersion": "1"}, "spec": spec,
            "status": {"phase": "Available"}}  # fmt: skip


def on_node(name: str) -> Object:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def claim(name: str, *, size: str = "1Gi", bound_to: str = "", modes: tuple[str, ...] = ("ReadWriteOnce",)) -> Object:
    metadata: Object = {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"}
    spec: Object = {"storageClassName": "local", "resources": {"requests": {"storage": size}}, "accessModes": [*modes]}
    if bound_to:
        metadata["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
        spec["volumeName"] = bound_to
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Bound" if bound_to else "Pending"}}


def using(*claims: str, name: str = "p1", **more: Any) -> Object:
    volumes = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims]
    return pod(name, volumes=volumes, **more)


def storage_class(mode: str = "WaitForFirstConsumer", provisioner: str = "kubernetes.io/no-provisioner") -> Object:
    return {"metadata": {"name": "local"}, "provisioner": provisioner, "volumeBindingMode": mode}


def with_objects(cluster: Cluster, *entries: tuple[Resource, Object]) -> Cluster:
    for resource, obj in entries:
        cluster.put(resource, obj)
    return cluster


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], 'persistentvolumeclaim "c" not found'),
        ([(PERSISTENTVOLUMECLAIMS, claim("c")), (STORAGECLASSES, storage_class("Immediate"))],
         "pod has unbound immediate PersistentVolumeClaims"),
        ([(PERSISTENTVOLUMECLAIMS, claim("c"))],
         "pod has unbound immediate PersistentVolumeClaims"),
        ([(PERSISTENTVOLUMECLAIMS, claim("c")), (STORAGECLASSES, storage_class())],
         "2 node(s) didn't find available persistent volumes to bind"),
        ([(PERSISTENTVOLUMECLAIMS, claim("c", bound_to="gone"))],
         'persistentvolume "gone" not found'),
        ([(PERSISTENTVOLUMECLAIMS, claim("c", bound_to="v")), (PERSISTENTVOLUMES, volume("v", nodeAffinity=on_node("x")))],
         "2 node(s) didn't match PersistentVolume's node affinity"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_used_say_why(entries: list[tuple[Resource, Object]], expected: str) -> None:
    cluster = with_objects(cluster_of(node("a"), node("b")), *entries)
    assert message(cluster, using("c")) == f"0/2 nodes are available: {expected}."


def steps_of(errand: Errand) -> tuple[list[Write], Until]:
    """The writes of an errand, each answered with what was written, and what it waits for then."""
    writes = []
    step: Any = next(errand)
    while isinstance(step, Write):
        writes.append(step)
        step = errand.send(step.obj)
    assert isinstance(step, Until)
    return writes, step


def test_waiting_claims_take_the_smallest_volume_of_the_node_and_no_two_the_same() -> None:
    cluster = with_objects(
        cluster_of(node("a"), node("b")),
        (STORAGECLASSES, storage_class()),
        (PERSISTENTVOLUMECLAIMS, claim("c1")),
        (PERSISTENTVOLUMECLAIMS, claim("c2", size="2Gi")),
        (PERSISTENTVOLUMES, volume("a-small", nodeAffinity=on_node("a"))),
        (PERSISTENTVOLUMES, volume("b-small", nodeAffinity=on_node("b"))),
        (PERSISTENTVOLUMES, volume("b-large", size="5Gi", nodeAffinity=on_node("b"))),
    )
    core = core_of(cluster)
    info = parse_pod(using("c1", "c2"))
    decision = core.decide(info)
    assert decision.node_name == "b"
    core.assume(info, "b")
    errand = core.frameworks["default-scheduler"].plugins["VolumeBinding"].pre_bind(info, "b", cluster)
    writes, wait = steps_of(errand)
    assert [(write.obj["metadata"]["name"], write.obj["spec"]["claimRef"]["name"]) for write in writes] == [
        ("b-small", "c1"), ("b-large", "c2"),
    ]  # fmt: skip
    with pytest.raises(ErrandFailed, match='ClaimRef got reset for pv "b-small"'):
        wait.holds(cluster)
    for write in writes:
        cluster.put(PERSISTENTVOLUMES, write.obj)
    assert not wait.holds(cluster)
    for name, bound_to in (("c1", "b-small"), ("c2", "b-large")):
        cluster.put(PERSISTENTVOLUMECLAIMS, claim(name, bound_to=bound_to))
    assert wait.holds(cluster)
    other = using("c3", name="p2")
    cluster.put(PERSISTENTVOLUMECLAIMS, claim("c3"))
    assert {cluster.nodes.names[int(row)] for row in core.search(parse_pod(other)).feasible.nonzero()[0]} == {"a"}


def test_a_volume_that_can_be_made_marks_its_claim_with_the_node() -> None:
    cluster = with_objects(
        cluster_of(node("a")),
        (STORAGECLASSES, storage_class(provisioner="example.com/csi")),
        (PERSISTENTVOLUMECLAIMS, claim("c")),
    )
    core = core_of(cluster)
    info = parse_pod(using("c"))
    assert core.decide(info).node_name == "a"
    core.assume(info, "a")
    errand = core.frameworks["default-scheduler"].plugins["VolumeBinding"].pre_bind(info, "a", cluster)
    writes, wait = steps_of(errand)
    assert [write.obj["metadata"]["annotations"] for write in writes] == [{"volume.kubernetes.io/selected-node": "a"}]
    cluster.put(PERSISTENTVOLUMECLAIMS, writes[0].obj)
    assert not wait.holds(cluster)
    cluster.put(PERSISTENTVOLUMECLAIMS, claim("c"))
    with pytest.raises(ErrandFailed, match="selectedNode annotation reset for PVC"):
        wait.holds(cluster)


def test_a_claim_for_one_pod_is_used_by_one_pod() -> None:
    cluster = with_objects(
        cluster_of(node("a"), using("c", name="first", node_name="a")),
        (PERSISTENTVOLUMECLAIMS, claim("c", bound_to="v", modes=("ReadWriteOncePod",))),
        (PERSISTENTVOLUMES, volume("v")),
    )
    assert "ReadWriteOncePod access mode already in-use" in message(cluster, using("c", name="second"))


def test_volumes_with_a_zone_pull_their_pod_there() -> None:
    zonal = volume("v")
    zonal["metadata"]["labels"] = {ZONE: "z1__z2"}
    cluster = with_objects(
        cluster_of(node("a", labels={ZONE: "z1"}), node("b", labels={ZONE: "z3"}), node("c")),
        (PERSISTENTVOLUMECLAIMS, claim("c", bound_to="v")),
        (PERSISTENTVOLUMES, zonal),
    )
    assert fitting(cluster, using("c")) == {"a", "c"}


def test_a_node_attaches_no_more_volumes_than_its_driver_allows() -> None:
    def csi(name: str) -> Object:
        return volume(name, csi={"driver": "example.com/csi", "volumeHandle": name})

    driver = {"name": "example.com/csi", "allocatable": {"count": 1}}
    cluster = with_objects(
        cluster_of(node("a"), node("b"), using("c1", name="first", node_name="a")),
        (CSINODES, {"metadata": {"name": "a"}, "spec": {"drivers": [driver]}}),
        (CSINODES, {"metadata": {"name": "b"}, "spec": {"drivers": [driver]}}),
        *((PERSISTENTVOLUMES, csi(f"v{number}")) for number in (1, 2)),
        *((PERSISTENTVOLUMECLAIMS, claim(f"c{number}", bound_to=f"v{number}")) for number in (1, 2)),
    )
    assert fitting(cluster, using("c2", name="second")) == {"b"}
    assert fitting(cluster, using("c1", name="same")) == {"a", "b"}


@pytest.mark.parametrize(
    ("features", "spec", "fits"),
    [
        ([], {}, True),
        ([], {"hostNetwork": True, "hostUsers": False}, False),
        (["UserNamespacesHostNetworkSupport"], {"hostNetwork": True, "hostUsers": False}, True),
        ([], {"hostUsers": False}, True),
        ([], {"initContainers": [{"name": "i", "restartPolicyRules": [{"action": "RestartAllContainers"}]}]}, False),
        (["RestartAllContainersOnContainerExits", "Other"],
         {"initContainers": [{"name": "i", "restartPolicyRules": [{"action": "RestartAllContainers"}]}]}, True),
        ([], {"initContainers": [{"name": "i", "restartPolicyRules": [{"action": "Restart"}]}]}, True),
    ],
)  # fmt: skip
def test_kubelets_must_declare_what_the_pod_needs(features: list[str], spec: Object, fits: bool) -> None:
    made = node("a")
    made["status"]["declaredFeatures"] = features
    cluster = cluster_of(made)
    assert fitting(cluster, pod(**spec)) == ({"a"} if fits else set())
    if not fits:
        assert message(cluster, pod(**spec)) == (
            "0/1 nodes are available: 1 node(s) didn't match Pod's required features."
        )
