"""Which run of a container its logs are those of, and what is said where there are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steersman.kubelet.runtimes.behaviour import ANNOTATION
from steersman.kubelet.server.targets import ready_sandbox, running_container
from steersman.meta.errors import BadRequest, InternalError, NotFound
from steersman.meta.objects import Object
from tests.kubelet.conftest import Node, is_ready
from tests.kubelet.pods import container, pod


def behaving(**fields: Any) -> Object:
    return {"annotations": {ANNOTATION: json.dumps({"*": fields})}}


async def run_of(node: Node, *, previous: bool = False) -> int:
    """The restart count of the run whose logs are shown."""
    return (await node.kubelet.lookup.find_container("default", "web", "main", previous=previous)).restart_count


def waits_after(restarts: int) -> Any:
    def holds(found: Object) -> bool:
        [status] = found["status"].get("containerStatuses") or [{"state": {}, "restartCount": -1}]
        return "waiting" in status["state"] and status["restartCount"] == restarts

    return holds


async def test_the_run_before_is_the_last_that_ended(node: Node) -> None:
    await node.create(pod(metadata=behaving(runSeconds=2, exitCode=1)))
    await node.until(is_ready)
    assert await run_of(node) == 0
    with pytest.raises(BadRequest, match='previous terminated container "main" in pod "web" not found'):
        await run_of(node, previous=True)
    await node.until(waits_after(1))
    assert (await run_of(node), await run_of(node, previous=True)) == (1, 1), "while it waits to start again"
    await node.until(lambda found: found["status"]["containerStatuses"][0]["restartCount"] == 2)
    assert (await run_of(node), await run_of(node, previous=True)) == (2, 1)


@pytest.mark.parametrize(
    ("fields", "spec", "words"),
    [
        ({"pullError": "no such image"}, {}, "waiting to start: (image can't be pulled|trying and failing to pull image)"),
        ({"createError": "no such device"}, {}, "waiting to start: CreateContainerError"),
        ({}, {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x"}}}]},
         "waiting to start: CreateContainerConfigError"),
    ],
)  # fmt: skip
async def test_why_there_are_no_logs(node: Node, fields: Object, spec: Object, words: str) -> None:
    await node.create(pod(container(**spec), metadata=behaving(**fields)))
    await node.until(waits_after(0))
    await node.clock.advance(2)
    with pytest.raises(BadRequest, match=f'container "main" in pod "web" is {words}$'):
        await run_of(node)


async def test_what_cannot_be_reached(node: Node) -> None:
    await node.create(pod(metadata=behaving(runSeconds=2, exitCode=1)))
    await node.until(is_ready)
    lookup = node.kubelet.lookup
    here = {"namespace": "default", "pod": "web", "container": "main"}
    assert await running_container(lookup, here) and await ready_sandbox(lookup, here)
    with pytest.raises(NotFound, match=r"^pod does not exist$"):
        await running_container(lookup, {**here, "pod": "other"})
    with pytest.raises(InternalError, match=r'^container not found \("other"\)$'):
        await running_container(lookup, {**here, "container": "other"})
    with pytest.raises(NotFound, match=r'^pod "other" does not exist$'):
        await lookup.find_container("default", "other", "main")
    with pytest.raises(NotFound, match=r'^container "other" not found in pod "web"$'):
        await lookup.find_container("default", "web", "other")
    await node.until(waits_after(1))
    with pytest.raises(InternalError, match=r'^container not found \("main"\)$'):
        await running_container(lookup, here)
    await node.create(pod(name="lost", metadata=behaving(sandboxError="no network")))
    await node.clock.advance(1)
    with pytest.raises(InternalError, match=r'^pod not found \("lost_default"\)$'):
        await ready_sandbox(lookup, {"namespace": "default", "pod": "lost"})
