"""When a pod is looked at again: news of it, what its worker did meanwhile, and what neither has told."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.timers import Timers
from steersman.kubelet.inspector import Inspector
from steersman.kubelet.pleg import Pleg
from steersman.kubelet.runtimes.behaviour import ANNOTATION
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, PodSandboxMetadata
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.meta.resources import PODS
from tests.kubelet.conftest import Node, is_ready
from tests.kubelet.pods import container, pod


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the runtime was asked for lists of one pod's things."""
    counted: Counter[str] = Counter()
    for name in ("list_containers", "list_pod_sandboxes", "container_status", "pod_sandbox_status"):
        original: Any = getattr(SimulatedRuntime, name)

        async def count(
            self: SimulatedRuntime, *words: Any, _name: str = name, _call: Any = original, **more: Any
        ) -> Any:
            of_all = _name.startswith("list") and not any(getattr(word, "labels", None) for word in words)
            counted["everything" if of_all else _name] += 1
            return await _call(self, *words, **more)

        monkeypatch.setattr(SimulatedRuntime, name, count)
    return counted


async def test_a_pod_that_starts_is_listed_once_at_most(node: Node, calls: Counter[str]) -> None:
    await node.create(pod(container("a"), container("b")))
    await node.until(is_ready)
    await node.clock.advance(5)
    assert calls["list_containers"] <= 1 and calls["list_pod_sandboxes"] <= 1


async def test_a_pod_that_goes_is_looked_at_piece_by_piece_and_listed_at_its_end(
    node: Node, calls: Counter[str]
) -> None:
    await node.create(pod(container("a"), container("b")))
    await node.until(is_ready)
    await node.clock.advance(5)
    calls.clear()
    await node.client.delete(PODS, "web", namespace="default")
    await node.until_gone()
    await node.clock.advance(5)
    assert (calls["container_status"], calls["pod_sandbox_status"]) == (2, 1), "each once, when it was stopped"
    assert calls["list_containers"] <= 1 and calls["list_pod_sandboxes"] <= 1


async def test_an_end_that_comes_while_another_container_starts_is_seen(node: Node) -> None:
    behaviour = {"a": {"runSeconds": 1.9, "exitCode": 3}, "b": {"startSeconds": 2}}
    made = pod(
        container("a"),
        container("b"),
        restartPolicy="Never",
        metadata={"annotations": {ANNOTATION: json.dumps(behaviour)}},
    )
    await node.create(made)

    def a_ended_and_b_runs(found: Any) -> bool:
        states = {entry["name"]: entry["state"] for entry in found["status"].get("containerStatuses") or ()}
        return states.get("a", {}).get("terminated", {}).get("exitCode") == 3 and "running" in states.get("b", {})

    await node.until(a_ended_and_b_runs, within_s=10)


async def test_the_next_listing_tells_of_a_pod_that_was_asked_for_whether_or_not_it_changed() -> None:
    clock = FakeClock()
    runtime = SimulatedRuntime(clock=clock, timers=Timers(clock), rng=random.Random(1))
    sandbox = PodSandboxConfig(metadata=PodSandboxMetadata(name="web", uid="uid", namespace="default"))
    box = await runtime.run_pod_sandbox(sandbox)
    told: list[tuple[str, bool]] = []
    pleg = Pleg(
        runtime,
        Inspector(runtime, clock=clock),
        clock=clock,
        changed=lambda uid, fingerprint: told.append((uid, bool(fingerprint))),
    )
    await pleg.list_once()
    await pleg.list_once()
    assert told == [("uid", True)]
    assert pleg.compare_again("uid"), "everything is listed soon"
    await pleg.list_once()
    await pleg.list_once()
    assert told == [("uid", True)] * 2
    pleg.compare_again("uid")
    await runtime.remove_pod_sandbox(box)
    await pleg.list_once()
    assert told[2:] == [("uid", False)], "once, although it is gone too"
