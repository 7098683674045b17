"""Preemption: as little harm as possible, budgets respected, and the vector form equal to brute force."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.meta.objects import Object
from steersman.meta.resources import (
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    STORAGECLASSES,
)
from steersman.scheduler.core import Decision
from steersman.scheduler.framework import Nomination, NoNomination
from steersman.scheduler.pod_info import parse_pod
from steersman.scheduler.volumes import BIND_COMPLETED
from tests.scheduler.builders import cluster_of, core_of, node, pod


def preempt(*objects: Object, wanted: Object, budgets: tuple[Object, ...] = ()) -> Decision:
    cluster = cluster_of(*objects)
    for budget in budgets:
        cluster.put(PODDISRUPTIONBUDGETS, budget)
    before = {pod.uid: pod for pod in cluster.nodes.pods()}
    decision = core_of(cluster).decide(parse_pod(wanted))
    assert {pod.uid: pod for pod in cluster.nodes.pods()} == before
    return decision


def victims(decision: Decision) -> list[str]:
    assert isinstance(decision.nomination, Nomination), decision.nomination
    return [victim.name for victim in decision.nomination.victims]


def message(decision: Decision) -> str:
    assert isinstance(decision.nomination, NoNomination)
    return decision.nomination.message


def low(name: str, cpu: str, node_name: str = "a", **more: object) -> Object:
    return pod(name, cpu=cpu, node_name=node_name, **{"priority": 0, **more})  # type: ignore[arg-type]


HIGH = {"priority": 100}


@pytest.mark.parametrize("with_affinity", [False, True], ids=["by columns", "node by node"])
class TestBothWays:
    """The same outcomes whether nodes are judged together or one by one (an affinity term forces the latter)."""

    def high(self, with_affinity: bool, cpu: str, **more: object) -> Object:
        apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"no": "body"}}}]}}  # fmt: skip
        return pod("high", cpu=cpu, **HIGH, **({"affinity": apart} if with_affinity else {}), **more)  # type: ignore[arg-type]

    def test_only_as_many_go_as_must(self, with_affinity: bool) -> None:
        cluster = (node("a", cpu="4"), low("x", "1"), low("y", "1"), low("z", "2"))
        assert victims(preempt(*cluster, wanted=self.high(with_affinity, "2"))) == ["z"]

    def test_less_important_pods_go_first(self, with_affinity: bool) -> None:
        cluster = (node("a", cpu="2"), low("x", "1", priority=5), low("y", "1", priority=1))
        assert victims(preempt(*cluster, wanted=self.high(with_affinity, "1"))) == ["y"]

    def test_of_equals_the_one_that_started_last_goes(self, with_affinity: bool) -> None:
        cluster = (
            node("a", cpu="2"),
            low("young", "1", status={"startTime": "2026-01-02T00:00:00Z"}),
            low("old", "1", status={"startTime": "2026-01-01T00:00:00Z"}),
        )
        assert victims(preempt(*cluster, wanted=self.high(with_affinity, "1"))) == ["young"]

    def test_the_node_with_the_least_important_victims_is_chosen(self, with_affinity: bool) -> None:
        cluster = (
            node("a", cpu="1"), low("x", "1", priority=5),
            node("b", cpu="1"), low("y", "1", node_name="b", priority=1),
        )  # fmt: skip
        assert victims(preempt(*cluster, wanted=self.high(with_affinity, "1"))) == ["y"]

    def test_nobody_of_the_same_priority_is_preempted(self, with_affinity: bool) -> None:
        decision = preempt(node("a", cpu="1"), low("x", "1", priority=100), wanted=self.high(with_affinity, "1"))
        assert message(decision) == (
            "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        )

    def test_nodes_that_are_too_small_are_not_looked_at(self, with_affinity: bool) -> None:
        decision = preempt(node("a", cpu="1"), low("x", "1"), wanted=self.high(with_affinity, "2"))
        assert message(decision) == ("preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.")

    def test_room_that_important_pods_take_is_not_given_away(self, with_affinity: bool) -> None:
        cluster = (node("a", cpu="3"), low("x", "1"), low("vip", "2", priority=200))
        decision = preempt(*cluster, wanted=self.high(with_affinity, "2"))
        assert message(decision) == "preemption: 0/1 nodes are available: 1 Insufficient cpu."

    def test_a_budget_moves_preemption_to_another_node(self, with_affinity: bool) -> None:
        budget = {"metadata": {"name": "b", "namespace": "default"},
                  "spec": {"selector": {"matchLabels": {"app": "kept"}}}, "status": {"disruptionsAllowed": 0}}  # fmt: skip
        cluster = (
            node("a", cpu="1"), low("x", "1", labels={"app": "kept"}),
            node("b", cpu="1"), low("y", "1", node_name="b", priority=50),
        )  # fmt: skip
        assert victims(preempt(*cluster, wanted=self.high(with_affinity, "1"), budgets=(budget,))) == ["y"]

    def test_within_a_node_budgets_are_kept_where_possible(self, with_affinity: bool) -> None:
        budget = {"metadata": {"name": "b", "namespace": "default"},
                  "spec": {"selector": {"matchLabels": {"app": "kept"}}}, "status": {"disruptionsAllowed": 0}}  # fmt: skip
        cluster = (node("a", cpu="2"), low("x", "1", labels={"app": "kept"}), low("y", "1", priority=50))
        assert victims(preempt(*cluster, wanted=self.high(with_affinity, "1"), budgets=(budget,))) == ["y"]


def test_a_pod_that_must_not_preempt_does_not() -> None:
    wanted = pod("high", cpu="1", priority=100, preemptionPolicy="Never")
    decision = preempt(node("a", cpu="1"), low("x", "1"), wanted=wanted)
    assert message(decision) == "preemption: not eligible due to preemptionPolicy=Never."


def test_anti_affinity_is_cured_by_preempting_the_hated_pod() -> None:
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}]}}  # fmt: skip
    wanted = pod("high", priority=100, affinity=apart)
    decision = preempt(node("a"), low("x", "1", labels={"app": "x"}), low("y", "1"), wanted=wanted)
    assert victims(decision) == ["x"]


def test_while_victims_leave_the_nominated_node_nobody_else_is_preempted() -> None:
    leaving = low("x", "1", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    leaving["status"] = {"conditions": [
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}  # fmt: skip
    wanted = pod("high", cpu="1", priority=100, status={"nominatedNodeName": "a"})
    decision = preempt(node("a", cpu="1"), leaving, node("b", cpu="1"), low("y", "1", node_name="b"), wanted=wanted)
    assert message(decision) == "preemption: not eligible due to a terminating pod on the nominated node."


def test_a_promised_place_is_not_given_to_pods_of_the_same_priority() -> None:
    cluster = cluster_of(node("a", cpu="1"))
    core = core_of(cluster)
    cluster.nominations.nominate(parse_pod(pod("first", cpu="1", priority=10)), "a")
    assert core.decide(parse_pod(pod("second", cpu="1", priority=10))).node_name == ""
    assert core.decide(parse_pod(pod("third", cpu="1", priority=11))).node_name == "a"
    assert core.decide(parse_pod(pod("first", cpu="1", priority=10))).node_name == "a"


def test_a_promised_pod_counts_on_its_own_node_only() -> None:
    """As upstream looks at nodes one by one: what is promised elsewhere may never come."""
    zone = {"topology.kubernetes.io/zone": "z"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"app": "x"}}}]}}  # fmt: skip
    cluster = cluster_of(node("a", labels=zone), node("b", labels=zone), node("c", cpu="1", labels=zone))
    cluster.nominations.nominate(parse_pod(pod("hermit", priority=10, affinity=apart)), "a")
    cluster.nominations.nominate(parse_pod(pod("large", cpu="1", priority=10)), "c")
    decision = core_of(cluster).decide(parse_pod(pod("x", cpu="500m", labels={"app": "x"})), runners_up=3)
    assert [score.node_name for score in decision.best] == ["b"]


def test_promises_that_are_withdrawn_or_renewed_leave_nothing_behind() -> None:
    cluster = cluster_of(node("a", cpu="1"), node("b", cpu="1"))
    first = parse_pod(pod("first", cpu="1", priority=10))
    cluster.nominations.nominate(first, "a")
    cluster.nominations.nominate(first, "b")
    second = parse_pod(pod("second", cpu="1", priority=10))
    assert core_of(cluster).decide(second).node_name == "a"
    cluster.nominations.withdraw(first.uid)
    assert (len(cluster.nominations), [*cluster.nominations.nodes()]) == (0, [])
    assert core_of(cluster).decide(second, runners_up=1).feasible_count == 2


sizes = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(st.lists(sizes, min_size=1, max_size=4), st.integers(1, 8))
def test_victims_are_minimal(per_node: list[list[tuple[int, int]]], wanted_cpu: int) -> None:
    """No victim could stay: the pod would not fit beside the others and any one of the victims."""
    capacity = 8
    made: list[Object] = []
    for index, entries in enumerate(per_node):
        room = capacity
        made.append(node(f"n{index}", cpu=str(capacity)))
        for number, (cpu, priority) in enumerate(entries):
            if cpu <= room:
                room -= cpu
                made.append(low(f"n{index}-{number}", str(cpu), node_name=f"n{index}", priority=priority))
    decision = preempt(*made, wanted=pod("high", cpu=str(wanted_cpu), priority=2))
    if decision.node_name:
        return
    cpus = {entry["metadata"]["name"]: int(entry["spec"]["containers"][0]["resources"]["requests"]["cpu"])
            for entry in made if entry["kind"] == "Pod"}  # fmt: skip
    on = {entry["metadata"]["name"]: entry["spec"]["nodeName"] for entry in made if entry["kind"] == "Pod"}
    lower = {entry["metadata"]["name"] for entry in made if entry["kind"] == "Pod" and entry["spec"]["priority"] < 2}
    if isinstance(decision.nomination, NoNomination):
        for index in range(len(per_node)):
            kept = sum(cpu for name, cpu in cpus.items() if on[name] == f"n{index}" and name not in lower)
            assert kept + wanted_cpu > capacity
        return
    chosen = victims(decision)
    assert set(chosen) <= lower
    where = on[chosen[0]]
    total = sum(cpu for name, cpu in cpus.items() if on[name] == where)
    assert total - sum(cpus[name] for name in chosen) + wanted_cpu <= capacity
    for spared in combinations(chosen, 1):
        assert total - sum(cpus[name] for name in chosen if name not in spared) + wanted_cpu > capacity


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=4),
    st.integers(0, 3),
    st.integers(1, 4),
    st.booleans(),
)
def test_a_budget_is_broken_only_where_nothing_else_helps_and_then_by_as_few_as_can_be(
    per_node: list[list[bool]], allowed: int, wanted_cpu: int, with_affinity: bool
) -> None:
    """Full nodes of four pods each; those that are protected have a budget together that allows so many disruptions."""
    budget = {"metadata": {"name": "b", "namespace": "default"},
              "spec": {"selector": {"matchLabels": {"app": "kept"}}}, "status": {"disruptionsAllowed": allowed}}  # fmt: skip
    made: list[Object] = []
    for index, entries in enumerate(per_node):
        made.append(node(f"n{index}", cpu="4"))
        made += [
            low(f"n{index}-{number}", "1", node_name=f"n{index}", labels={"app": "kept"} if is_kept else {})
            for number, is_kept in enumerate(entries)
        ]
    wanted = TestBothWays().high(with_affinity, str(wanted_cpu))
    decision = preempt(*made, wanted=wanted, budgets=(budget,))
    assert isinstance(decision.nomination, Nomination)
    assert len(decision.nomination.victims) == wanted_cpu
    kept_victims = sum(victim.labels.get("app") == "kept" for victim in decision.nomination.victims)
    broken = [max(0, wanted_cpu - (4 - max(0, sum(entries) - allowed))) for entries in per_node]
    assert decision.nomination.budget_violations == min(broken)
    assert max(0, kept_victims - allowed) == min(broken)


def test_a_claim_for_one_pod_that_a_promised_pod_uses_keeps_others_off_that_node() -> None:
    cluster = cluster_of(node("a"))
    cluster.put(STORAGECLASSES, {"metadata": {"name": "c"}, "provisioner": "p", "volumeBindingMode": "Immediate"})
    claim = {"metadata": {"name": "mine", "namespace": "default", "annotations": {BIND_COMPLETED: "yes"}},
             "spec": {"accessModes": ["ReadWriteOncePod"], "volumeName": "v", "storageClassName": "c"},
             "status": {"phase": "Bound"}}  # fmt: skip
    cluster.put(PERSISTENTVOLUMECLAIMS, claim)
    cluster.put(PERSISTENTVOLUMES, {"metadata": {"name": "v"}, "spec": {"storageClassName": "c"}})
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}]
    wanted = parse_pod(pod("second", volumes=volumes))
    assert core_of(cluster).decide(wanted).node_name == "a"
    cluster.nominations.nominate(parse_pod(pod("first", priority=10, volumes=volumes)), "a")
    assert core_of(cluster).decide(wanted).node_name == ""


promises = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 2)), max_size=6)


@settings(max_examples=100, deadline=None)
@given(promises, st.integers(1, 4), st.integers(1, 2))
def test_promises_that_are_counted_in_columns_are_counted_as_pods_are(
    wanted: list[tuple[int, int, int]], cpu: int, priority: int
) -> None:
    """A host port of a promised pod, which nobody else wants, has all of them counted as pods."""

    def outcome(**more: object) -> tuple[list[str], str]:
        cluster = cluster_of(*(node(f"n{number}", cpu="4", pods="3") for number in range(4)))
        for number, (place, amount, their_priority) in enumerate(wanted):
            promised = pod(f"p{number}", cpu=str(amount), priority=their_priority)
            promised["spec"]["containers"][0] |= more
            cluster.nominations.nominate(parse_pod(promised), f"n{place}")
        found = core_of(cluster).search(parse_pod(pod("x", cpu=str(cpu), priority=priority)))
        assert not any(cluster.nodes.pod_count)
        assert not cluster.nodes.requested.any()
        return found.names(), found.diagnose().message

    assert outcome() == outcome(ports=[{"containerPort": 80, "hostPort": 8080}])
