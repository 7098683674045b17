"""One row a rule: what each scoring plugin gives two nodes, by itself, normalized and weighted as the default profile does it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from steersman.meta.objects import Object
from steersman.scheduler.pod_info import parse_pod
from tests.scheduler.builders import cluster_of, core_of, node, pod

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
MIB = 2**20
SSD = {"disk": "ssd"}


def scores(plugin: str, nodes: list[Object], wanted: Object, *others: Object) -> list[int]:
    """Of each node; zeros where the plugin has nothing to say."""
    cluster = cluster_of(*nodes, *others)
    core = core_of(cluster)
    found = core.search(parse_pod(wanted))
    by_plugin = core.scores(found, np.arange(len(nodes), dtype=np.intp))
    return [int(score) for score in by_plugin.get(plugin, np.zeros(len(nodes)))]


def tainted(*keys: str) -> list[Object]:
    return [{"key": key, "effect": "PreferNoSchedule"} for key in keys]


def prefers(weight: int, key: str, value: str) -> Object:
    return {"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}}


def soft(*terms: Object) -> Object:
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def near(weight: int, key: str = HOST) -> list[Object]:
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}}
    return [{"weight": weight, "podAffinityTerm": term}]


def spread(**more: Any) -> list[Object]:
    return [{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "ScheduleAnyway",
             "labelSelector": {"matchLabels": {"app": "web"}}, **more}]  # fmt: skip


def image(name: str, mib: int) -> list[Object]:
    return [{"names": [name], "sizeBytes": mib * MIB}]


def web(name: str, where: str, **spec: Any) -> Object:
    return pod(name, labels={"app": "web"}, node_name=where, **spec)


WEB = {"labels": {"app": "web"}}
ZONES = [node("a", labels={ZONE: "z1"}), node("b", labels={ZONE: "z2"})]


@pytest.mark.parametrize(
    ("plugin", "nodes", "wanted", "others", "expected"),
    [
        # a quarter of CPUs and memory would be left: (25 + 25) / 2; three quarters of both: (75 + 75) / 2
        pytest.param("NodeResourcesFit", [node("a", cpu="4", memory="4Gi"), node("b", cpu="4", memory="4Gi")],
                     pod(cpu="1", memory="1Gi"), (pod("x", cpu="2", memory="2Gi", node_name="a"),), [25, 75],
                     id="the emptier node"),
        pytest.param("NodeResourcesFit", [node("a", cpu="2", memory="4Gi")], pod(cpu="1", memory="1Gi"), (), [62],
                     id="resources weigh alike"),
        # before: 2 of 4 CPUs and nothing, 1 - 0.25 = 75; after: 2 of 4 and 2Gi of 4Gi, 100: 50 + (50 + 100 - 75) / 2
        pytest.param("NodeResourcesBalancedAllocation", [node("a", memory="4Gi"), node("b", memory="4Gi")],
                     pod(memory="2Gi"), (pod("x", cpu="2", node_name="a"),), [87, 62], id="the node that it evens out"),
        pytest.param("NodeResourcesBalancedAllocation", [node("a"), node("b")], pod(), (), [0, 0],
                     id="pods without requests are left out"),
        pytest.param("TaintToleration", [node("a"), node("b", taints=tainted("x"))], pod(), (), [300, 0],
                     id="fewer taints that are not tolerated"),
        pytest.param("TaintToleration", [node("a", taints=tainted("x")), node("b", taints=tainted("x", "y", "z", "w"))],
                     pod(), (), [225, 0], id="in proportion to the worst"),
        pytest.param("TaintToleration", [node("a"), node("b", taints=tainted("x"))],
                     pod(tolerations=[{"key": "x", "operator": "Exists"}]), (), [300, 300], id="tolerated taints do not count"),
        pytest.param("NodeAffinity", [node("a", labels=SSD), node("b")], pod(affinity=soft(prefers(7, "disk", "ssd"))),
                     (), [200, 0], id="the preferred node"),
        pytest.param("NodeAffinity", [node("a", labels=SSD), node("b", labels={**SSD, "rack": "r"})],
                     pod(affinity=soft(prefers(1, "disk", "ssd"), prefers(3, "rack", "r"))), (), [50, 200],
                     id="weights add up"),
        # (500 - 23) / (1000 - 23) of an image that one of two nodes has: 250 MiB count, (250 - 23) * 100 / 977 = 23
        pytest.param("ImageLocality", [node("a", images=image("web:1", 500)), node("b")], pod(image="web:1"), (), [23, 0],
                     id="the node that has the image"),
        pytest.param("ImageLocality", [node("a", images=image("web:1", 20)), node("b")], pod(image="web:1"), (), [0, 0],
                     id="small images do not matter"),
        pytest.param("ImageLocality", [node("a", images=image("web:latest", 5000)), node("b")], pod(image="web"), (),
                     [100, 0], id="large ones matter no more than a limit"),
        pytest.param("InterPodAffinity", [node("a"), node("b")],
                     pod(affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": near(5)}}),
                     (web("x", "b"),), [0, 200], id="where the preferred pods are"),
        pytest.param("InterPodAffinity", [node("a"), node("b")],
                     pod(affinity={"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": near(5)}}),
                     (web("x", "b"),), [200, 0], id="where the disliked ones are not"),
        pytest.param("InterPodAffinity", [node("a"), node("b")], pod(metadata=WEB),
                     (pod("x", node_name="a", affinity={"podAffinity": {
                         "requiredDuringSchedulingIgnoredDuringExecution": [near(1)[0]["podAffinityTerm"]]}}),),
                     [200, 0], id="where pods are that require this one"),
        pytest.param("PodTopologySpread", ZONES, pod(metadata=WEB, topologySpreadConstraints=spread()),
                     (web("x", "a"),), [0, 200], id="the zone with fewer"),
        pytest.param("PodTopologySpread", [ZONES[0], node("b")],
                     pod(metadata=WEB, topologySpreadConstraints=spread()), (), [200, 0], id="nodes without the label get none"),
    ],
)  # fmt: skip
def test_scores(
    plugin: str, nodes: list[Object], wanted: Object, others: tuple[Object, ...], expected: list[int]
) -> None:
    assert scores(plugin, nodes, wanted, *others) == expected
