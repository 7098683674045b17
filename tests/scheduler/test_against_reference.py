"""The vector plugins decide as the scalar reference does: on random clusters, pod by pod, each seeing the earlier ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.pod_info import PodInfo, parse_pod
from tests.scheduler import reference
from tests.scheduler.builders import core_of, node, pod

APPS = ("web", "db", "cache")
NAMESPACE_LABELS: dict[str, dict[str, str]] = {"default": {"team": "a"}, "other": {"team": "b"}}
KEYS = ("kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack")

effects = st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"])
taints = st.builds(
    lambda key, value, effect: {"key": key, "value": value, "effect": effect},
    st.sampled_from(["a", "b"]), st.sampled_from(["", "x"]), effects,
)  # fmt: skip
tolerations = st.fixed_dictionaries(
    {"operator": st.sampled_from(["Exists", "Equal"])},
    optional={"key": st.sampled_from(["a", "b"]), "effect": effects},
).map(lambda entry: entry if "key" in entry or entry["operator"] == "Exists" else {**entry, "operator": "Exists"})
images = st.lists(st.sampled_from(["web:1", "db:1", "cache:latest"]), unique=True, max_size=2)
SIZES = {"web:1": 400 * 2**20, "db:1": 900 * 2**20, "cache:latest": 50 * 2**20}


@st.composite
def nodes(draw: st.DrawFn) -> list[Object]:
    made = []
    for number in range(draw(st.integers(1, 6))):
        labels = {}
        if draw(st.integers(0, 4)):
            labels["topology.kubernetes.io/zone"] = draw(st.sampled_from(["z1", "z2", "z3"]))
        if draw(st.booleans()):
            labels["rack"] = draw(st.sampled_from(["r1", "r2", "7"]))
        made.append(
            node(
                f"n{number}",
                cpu=draw(st.sampled_from(["1", "2", "4", "0"])),
                memory=draw(st.sampled_from(["1Gi", "2Gi", "3500Mi"])),
                pods=draw(st.sampled_from(["2", "5", "110"])),
                labels=labels,
                taints=draw(st.lists(taints, max_size=2)),
                unschedulable=draw(st.integers(0, 7)) == 0,
                images=[{"names": [name], "sizeBytes": SIZES[name]} for name in draw(images)],
                more={"example.com/gpu": "2"} if draw(st.booleans()) else None,
            )
        )
    return made


selectors: st.SearchStrategy[Object] = st.one_of(
    st.sampled_from(APPS).map(lambda app: {"matchLabels": {"app": app}}),
    st.lists(st.sampled_from(APPS), min_size=1, max_size=2, unique=True).map(
        lambda apps: {"matchExpressions": [{"key": "app", "operator": "In", "values": apps}]}
    ),
    st.just({}),
    st.just({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
)
pod_terms = st.fixed_dictionaries(
    {"topologyKey": st.sampled_from(KEYS), "labelSelector": selectors},
    optional={
        "namespaces": st.lists(st.sampled_from(["default", "other"]), min_size=1, max_size=2, unique=True),
        "namespaceSelector": st.sampled_from([{}, {"matchLabels": {"team": "b"}}]),
    },
)
weighted_pod_terms = st.builds(
    lambda weight, term: {"weight": weight, "podAffinityTerm": term}, st.integers(1, 100), pod_terms
)
node_expressions = st.sampled_from(
    [
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z1", "z2"]},
        {"key": "topology.kubernetes.io/zone", "operator": "NotIn", "values": ["z1"]},
        {"key": "rack", "operator": "Exists"},
        {"key": "rack", "operator": "DoesNotExist"},
        {"key": "rack", "operator": "Gt", "values": ["5"]},
    ]
)
node_terms = st.lists(node_expressions, min_size=1, max_size=2).map(lambda entries: {"matchExpressions": entries})
spread_constraints = st.fixed_dictionaries(
    {
        "maxSkew": st.integers(1, 2),
        "topologyKey": st.sampled_from(KEYS),
        "whenUnsatisfiable": st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]),
        "labelSelector": selectors,
    },
    optional={
        "minDomains": st.integers(1, 3),
        "nodeAffinityPolicy": st.sampled_from(["Honor", "Ignore"]),
        "nodeTaintsPolicy": st.sampled_from(["Honor", "Ignore"]),
    },
)


def sometimes(strategy: st.SearchStrategy[Any], rarity: int = 2) -> st.SearchStrategy[Any]:
    return st.integers(0, rarity).flatmap(lambda number: st.none() if number else strategy)


@st.composite
def pods(draw: st.DrawFn, number: int) -> Object:
    spec: Object = {}
    affinity: Object = {}
    together: Object = {}
    apart: Object = {}
    node_side: Object = {}
    for side, key, strategy in (
        (together, "required", st.lists(pod_terms, min_size=1, max_size=2)),
        (apart, "required", st.lists(pod_terms, min_size=1, max_size=2)),
        (together, "preferred", st.lists(weighted_pod_terms, min_size=1, max_size=2)),
        (apart, "preferred", st.lists(weighted_pod_terms, min_size=1, max_size=2)),
        (node_side, "required", st.lists(node_terms, min_size=1, max_size=2).map(lambda x: {"nodeSelectorTerms": x})),
        (node_side, "preferred", st.lists(
            st.builds(lambda w, t: {"weight": w, "preference": t}, st.integers(1, 100), node_terms), min_size=1)),
    ):  # fmt: skip
        found = draw(sometimes(strategy, 3))
        if found is not None:
            side[f"{key}DuringSchedulingIgnoredDuringExecution"] = found
    for name, side in (("podAffinity", together), ("podAntiAffinity", apart), ("nodeAffinity", node_side)):
        if side:
            affinity[name] = side
    if affinity:
        spec["affinity"] = affinity
    if (found := draw(sometimes(st.lists(spread_constraints, min_size=1, max_size=2)))) is not None:
        spec["topologySpreadConstraints"] = found
    if (found := draw(sometimes(st.lists(tolerations, min_size=1, max_size=2), 1))) is not None:
        spec["tolerations"] = found
    wanted = draw(st.sampled_from([{}, {"cpu": "500m"}, {"cpu": "1", "memory": "1Gi"}, {"example.com/gpu": "1"}]))
    made = pod(
        f"p{number}",
        namespace=draw(st.sampled_from(["default", "other"])),
        requests=wanted,
        labels={"app": draw(st.sampled_from(APPS))},
        image=draw(st.sampled_from(["web:1", "db:1", "cache"])),
        **spec,
    )
    if (found := draw(sometimes(st.sampled_from([8080, 9090]), 4))) is not None:
        made["spec"]["containers"][0]["ports"] = [{"hostPort": found, "containerPort": found}]
    return made


scenarios = st.tuples(nodes(), st.integers(1, 7).flatmap(lambda n: st.tuples(*(pods(i) for i in range(n)))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios)
def test_filters_scores_and_reasons_are_those_of_the_reference(
    scenario: tuple[list[Object], tuple[Object, ...]],
) -> None:
    made, arriving = scenario
    cluster = Cluster()
    for namespace, labels in NAMESPACE_LABELS.items():
        cluster.put(NAMESPACES, {"metadata": {"name": namespace, "labels": labels}})
    for obj in made:
        cluster.nodes.put_node(obj)
    core = core_of(cluster)
    world = reference.World(nodes=made, namespaces=NAMESPACE_LABELS)
    for obj in arriving:
        _decide_and_compare(core, world, obj)


def _decide_and_compare(core: SchedulerCore, world: reference.World, obj: Object) -> None:
    info = parse_pod(obj)
    why = {reference.name(each): reference.reasons(each, obj, world) for each in world.nodes}
    feasible = [each for each in world.nodes if not why[reference.name(each)]]
    found = core.search(info)
    assert {core.cluster.nodes.names[row] for row in found.feasible.nonzero()[0]} == {
        reference.name(each) for each in feasible
    }
    if not feasible:
        expected = Counter(reason for entries in why.values() for reason in entries)
        assert found.diagnose().reasons == dict(expected)
        return
    ours = core.scores(found, found.feasible.nonzero()[0])
    names = [core.cluster.nodes.names[row] for row in found.feasible.nonzero()[0]]
    theirs = reference.scores(feasible, obj, world)
    order = [names.index(reference.name(each)) for each in feasible]
    for plugin, values in theirs.items():
        mine = [int(ours[plugin][index]) for index in order] if plugin in ours else [0] * len(values)
        assert mine == values, plugin
    totals = [sum(values[index] for values in theirs.values()) for index in range(len(feasible))]
    decision = core.select(found)
    best = {reference.name(each) for each, total in zip(feasible, totals, strict=True) if total == max(totals)}
    assert decision.node_name in best
    assert isinstance(core.assume(info, decision.node_name), PodInfo)
    world.pods[decision.node_name].append(obj)
