"""Which dead containers and sandboxes go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from steersman.kubelet import records
from steersman.kubelet.container_gc import ContainerGCPolicy, Fate, plan
from steersman.kubelet.runtimes.containers import Container, ContainerMetadata, ContainerState
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandbox, PodSandboxMetadata, SandboxState

NOW_S = 1_000_000.0


def dead(id: str, *, pod: str = "p", age_s: float = 60, state: ContainerState = "EXITED", box: str = "") -> Container:
    """Its name is the id without the number."""
    return Container(
        id=id, sandbox_id=box or f"box-{pod}", metadata=ContainerMetadata(name=id.rstrip("0123456789")),
        image=ImageSpec(image="x"), image_ref="x", state=state, created_at_ns=int((NOW_S - age_s) * 1e9),
        labels={records.POD_UID: pod},
    )  # fmt: skip


def box(id: str, *, pod: str = "p", age_s: float = 60, state: SandboxState = "NOTREADY") -> PodSandbox:
    return PodSandbox(
        id=id, metadata=PodSandboxMetadata(name=pod, uid=pod, namespace="d"), state=state,
        created_at_ns=int((NOW_S - age_s) * 1e9), labels={records.POD_UID: pod},
    )  # fmt: skip


def of(**fates: Fate) -> Callable[[str], Fate]:
    return lambda uid: fates.get(uid, "kept")


KEPT = of()


def doomed(
    *containers: Container, fate: Callable[[str], Fate] = KEPT, aggressive: bool = False, **policy: float
) -> list[str]:
    found = plan(
        containers, [], fate=fate, policy=ContainerGCPolicy(**policy), now_s=NOW_S, aggressive=aggressive  # type: ignore[arg-type]
    )  # fmt: skip
    return [item.id for item in found.containers]


def test_the_newest_dead_one_of_each_name_stays() -> None:
    assert doomed(dead("a1", age_s=30), dead("a2", age_s=20), dead("a3", age_s=10), dead("b1")) == ["a1", "a2"]


def test_running_containers_never_go() -> None:
    running = dead("a2", age_s=5, state="RUNNING")
    assert doomed(dead("a1", age_s=30), running) == []
    assert doomed(running, fate=of(p="gone")) == []


def test_one_that_is_about_to_start_stays_and_does_not_push_out_the_last_dead_one() -> None:
    assert doomed(dead("a1", age_s=30), dead("a2", age_s=1, state="CREATED")) == []
    assert doomed(dead("a1", age_s=30, state="CREATED"), dead("a2", age_s=1, state="RUNNING"), max_per_container=0) == [
        "a1"
    ]


def test_young_ones_stay() -> None:
    assert doomed(dead("a1", age_s=30), dead("a2", age_s=20), dead("a3", age_s=10), min_age_s=15, max_per_container=0) == [
        "a1", "a2"
    ]  # fmt: skip


def test_everything_of_a_pod_that_is_gone_goes() -> None:
    assert doomed(dead("a1"), dead("b1", state="UNKNOWN"), dead("c1", pod="q"), fate=of(p="gone")) == ["a1", "b1"]


@pytest.mark.parametrize(("aggressive", "gone"), [(False, []), (True, ["a1"])])
def test_what_ended_pods_left_goes_only_when_the_node_is_short(aggressive: bool, gone: list[str]) -> None:
    assert doomed(dead("a1"), dead("b1", pod="q"), fate=of(p="ended"), aggressive=aggressive) == gone


def test_a_total_is_shared_equally_and_then_by_age() -> None:
    rows = [dead(f"a{n}", age_s=100 - n) for n in range(3)] + [dead(f"b{n}", age_s=50 - n) for n in range(3)]
    assert doomed(*rows, max_per_container=-1, max_total=4) == ["a0", "b0"]
    names = [dead(name + "1", age_s=age) for name, age in (("a", 50), ("b", 40), ("c", 30))]
    assert doomed(*names, max_total=2) == ["a1"]


def gone_boxes(
    *boxes: PodSandbox, containers: tuple[Container, ...] = (), fate: Callable[[str], Fate] = KEPT
) -> list[str]:
    found = plan(containers, boxes, fate=fate, policy=ContainerGCPolicy(), now_s=NOW_S)
    return [item.id for item in found.sandboxes]


def test_dead_sandboxes_go_but_for_a_pods_newest() -> None:
    assert gone_boxes(box("1", age_s=30), box("2", age_s=20), box("3", age_s=10)) == ["1", "2"]
    assert gone_boxes(box("1", age_s=30), box("2", age_s=20, state="READY")) == ["1"]
    assert gone_boxes(box("1"), fate=of(p="gone")) == ["1"]
    assert gone_boxes(box("1", state="READY"), fate=of(p="gone")) == []


def test_a_sandbox_with_a_container_left_in_it_stays() -> None:
    rows = (dead("a1", box="1"), dead("b1", box="2"))
    assert gone_boxes(box("1", age_s=30), box("2", age_s=20), containers=rows) == []


def test_a_sandbox_whose_last_container_goes_now_goes_too() -> None:
    assert gone_boxes(box("1"), containers=(dead("a1", box="1"),), fate=of(p="gone")) == ["1"]
