"""DaemonSet, as a value: where its pods belong and how they change."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.daemonplan import Plan, plan, pod_for
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import DAEMONSETS
from tests.controllers.builders import pod, workload

NOW_S = 1_000_000.0
UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
OWN = {"key": "own", "effect": "NoSchedule"}
DRIVEN_OFF = {"key": "own", "effect": "NoExecute"}


def daemons(surge: int | str = 0, unavailable: int | str = 1, **spec: Any) -> Object:
    made = workload(DAEMONSETS, **spec)
    made["metadata"] |= {"uid": "d", "generation": 3}
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    made["spec"].setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
    return made


def node(name: str, *taints: Object, **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}


def daemon(
    name: str, *, on: str, new: bool = True, ready: bool = True, phase: str = "Running", deleted: bool = False, bound: bool = True,
    created: int = 0,
) -> Object:  # fmt: skip
    labels = {"app": "web", "controller-revision-hash": "new" if new else "old"}
    metadata: Object = {"uid": name, "labels": labels, "creationTimestamp": times.format_time(created)}
    if deleted:
        metadata["deletionTimestamp"] = times.format_time(NOW_S)
    made = pod_for(daemons(), on, "new")
    conditions = [{"type": "Ready", "status": "True"}] if ready and phase == "Running" else []
    found = pod(name, metadata=metadata, status={"phase": phase, "conditions": conditions})
    return {
        **found,
        "spec": {**found["spec"], "affinity": made["spec"]["affinity"], **({"nodeName": on} if bound else {})},
    }


def outcome(todo: Plan) -> tuple[list[str], list[str]]:
    return list(todo.create_on), sorted(map(objects.name, todo.delete))


SELECTED = {"nodeSelector": {"disk": "fast"}}


@pytest.mark.parametrize(
    ("spec", "where", "there", "creates", "stays"),
    [
        ({}, node("n1"), False, True, True),
        ({}, node("n1", OWN), False, False, True),
        ({}, node("n1", OWN), True, False, True),
        ({}, node("n1", DRIVEN_OFF), True, False, False),
        ({}, node("n1", UNREACHABLE), False, True, True),
        ({}, node("n1", {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}), False, True, True),
        ({}, node("n1", {"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}), False, False, True),
        ({"hostNetwork": True}, node("n1", {"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}), False, True, True),
        ({"tolerations": [{"key": "own", "operator": "Exists"}]}, node("n1", DRIVEN_OFF), False, True, True),
        (SELECTED, node("n1", disk="fast"), False, True, True),
        (SELECTED, node("n1"), True, False, False),
        ({"nodeName": "n2"}, node("n1"), True, False, False),
        ({"nodeName": "n1"}, node("n1"), False, True, True),
    ],
)  # fmt: skip
def test_on_which_nodes_a_pod_belongs(spec: Object, where: Object, there: bool, creates: bool, stays: bool) -> None:
    owner = daemons()
    owner["spec"]["template"]["spec"] |= spec
    pods = [daemon("a", on="n1")] if there else []
    assert outcome(plan(owner, pods, [where], "new", NOW_S)) == (
        ["n1"] if creates and not there else [],
        [] if stays else ["a"],
    )


@pytest.mark.parametrize(
    ("owner", "pods", "expected"),
    [
        (daemons(), [daemon("a", on="n1", created=1), daemon("b", on="n1", created=2)], ([], ["b"])),
        (daemons(), [daemon("a", on="n1", created=1, bound=False), daemon("b", on="n1", created=2)], ([], ["a"])),
        (daemons(), [daemon("a", on="n1", deleted=True)], ([], [])),
        (daemons(surge=1), [daemon("a", on="n1", deleted=True)], (["n1"], [])),
        (daemons(), [daemon("a", on="n1", phase="Failed")], ([], ["a"])),
        (daemons(), [daemon("a", on="n1", phase="Succeeded")], ([], ["a"])),
        (daemons(), [daemon("a", on="gone", bound=False), daemon("b", on="n1")], ([], ["a"])),
        (daemons(), [daemon("a", on="gone"), daemon("b", on="n1")], ([], [])),
        (daemons(surge=1), [daemon("old", on="n1", new=False), daemon("new", on="n1", ready=False)], ([], [])),
        (daemons(surge=1), [daemon("old", on="n1", new=False), daemon("new", on="n1")], ([], ["old"])),
        (daemons(surge=1), [daemon("old", on="n1", new=False, ready=False), daemon("new", on="n1", ready=False)], ([], ["old"])),
        (daemons(surge=1), [daemon("a", on="n1", created=1), daemon("b", on="n1", created=2)], ([], ["b"])),
    ],
)  # fmt: skip
def test_how_many_pods_a_node_has(owner: Object, pods: list[Object], expected: tuple[list[str], list[str]]) -> None:
    assert outcome(plan(owner, pods, [node("n1")], "new", NOW_S)) == expected


OLD = [daemon(f"old{n}", on=f"n{n}", new=False) for n in range(4)]
BROKEN = [daemon("old0", on="n0", new=False, ready=False), *OLD[1:]]
BEGUN = [daemon("new0", on="n0", ready=False), *OLD[1:]]
BESIDE = [*OLD, daemon("new0", on="n0", ready=False)]


@pytest.mark.parametrize(
    ("owner", "pods", "creates", "deletes"),
    [
        (daemons(unavailable=1), OLD, 0, 1),
        (daemons(unavailable=2), OLD, 0, 2),
        (daemons(unavailable="50%"), OLD, 0, 2),
        (daemons(unavailable="10%"), OLD, 0, 1),
        (daemons(unavailable=1), BROKEN, 0, 1),
        (daemons(unavailable=2), BROKEN, 0, 2),
        (daemons(unavailable=1), BEGUN, 0, 0),
        (daemons(unavailable=2), BEGUN, 0, 1),
        (daemons(surge=1, unavailable=0), OLD, 1, 0),
        (daemons(surge="50%", unavailable=0), OLD, 2, 0),
        (daemons(surge=1, unavailable=0), BROKEN, 2, 0),
        (daemons(surge=1, unavailable=0), BESIDE, 0, 0),
        (daemons(surge=2, unavailable=0), BESIDE, 1, 0),
        (daemons(surge=0, unavailable=0), OLD, 0, 1),
        (daemons(updateStrategy={"type": "OnDelete"}), OLD, 0, 0),
    ],
)
def test_one_step_of_an_update(owner: Object, pods: list[Object], creates: int, deletes: int) -> None:
    todo = plan(owner, pods, [node(f"n{n}") for n in range(4)], "new", NOW_S)
    assert (len(todo.create_on), len(todo.delete)) == (creates, deletes)


def test_with_surge_a_node_that_is_given_up_keeps_its_pod_until_another_is_available() -> None:
    """Node n0 no longer takes new pods; its old pod is one of the only two that work."""
    owner, nodes = daemons(surge=1, unavailable=0), [node("n0", OWN), node("n1"), node("n2")]
    old = [daemon("old0", on="n0", new=False)]
    starting = [daemon("new1", on="n1"), daemon("new2", on="n2", ready=False)]
    assert outcome(plan(owner, [*old, *starting], nodes, "new", NOW_S)) == ([], [])
    started = [daemon("new1", on="n1"), daemon("new2", on="n2")]
    assert outcome(plan(owner, [*old, *started], nodes, "new", NOW_S)) == ([], ["old0"])
    broken = [daemon("old0", on="n0", new=False, ready=False)]
    assert outcome(plan(owner, [*broken, *starting], nodes, "new", NOW_S)) == ([], ["old0"])


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], {"desiredNumberScheduled": 2, "numberUnavailable": 2}),
        ([daemon("a", on="n1"), daemon("b", on="n2", ready=False)],
         {"currentNumberScheduled": 2, "numberReady": 1, "numberAvailable": 1, "numberUnavailable": 1, "updatedNumberScheduled": 2}),
        ([daemon("a", on="n1", new=False)], {"currentNumberScheduled": 1, "numberReady": 1}),
        ([daemon("a", on="n3")], {"numberMisscheduled": 1}),
        ([daemon("a", on="gone")], {"numberMisscheduled": 0, "currentNumberScheduled": 0}),
        ([daemon("old", on="n1", new=False, created=1), daemon("new", on="n1", created=2, ready=False)],
         {"currentNumberScheduled": 1, "numberReady": 1, "updatedNumberScheduled": None}),
        ([daemon("old", on="n1", new=False, created=1, ready=False), daemon("new", on="n1", created=2)],
         {"numberReady": 0, "updatedNumberScheduled": None}),
    ],
)  # fmt: skip
def test_the_oldest_pod_speaks_for_its_node(pods: list[Object], expected: dict[str, int | None]) -> None:
    todo = plan(daemons(surge=1), pods, [node("n1"), node("n2"), node("n3", DRIVEN_OFF)], "new", NOW_S)
    assert todo.status is not None
    assert {name: todo.status["status"].get(name) for name in expected} == expected
    assert todo.status["status"]["observedGeneration"] == 3


def test_a_pod_of_the_present_template_generation_is_new_whatever_its_hash() -> None:
    owner = daemons()
    owner["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": "5"}
    found = daemon("a", on="n1", new=False)
    found["metadata"]["labels"]["pod-template-generation"] = "5"
    assert outcome(plan(owner, [found], [node("n1")], "new", NOW_S)) == ([], [])


def test_pods_are_made_in_bursts() -> None:
    todo = plan(daemons(), [], [node(f"n{number}") for number in range(300)], "new", NOW_S)
    assert len(todo.create_on) == 250


def test_a_failed_pod_is_held_back_and_others_are_not() -> None:
    pods = [daemon("a", on="n1", phase="Failed"), daemon("b", on="n2", phase="Failed")]
    todo = plan(daemons(), pods, [node("n1"), node("n2")], "new", NOW_S, {"n1": NOW_S + 7})
    assert outcome(todo) == ([], ["b"])
    assert todo.requeue_after_s == 7
