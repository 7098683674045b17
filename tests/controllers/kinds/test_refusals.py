"""A server that refuses pods (a quota, a policy): what is there is counted all the same, and goes on when it accepts them."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    DAEMONSETS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    PODS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
    Resource,
)
from tests.controllers.builders import workload
from tests.controllers.conftest import StartWorld
from tests.controllers.happenings_of_workloads import RC
from tests.controllers.kinds.test_job import job

CASES: list[tuple[str, Resource, Object, dict[str, Any]]] = [
    ("replicaset-controller", REPLICASETS, workload(REPLICASETS, replicas=2), {"replicas": 0, "observedGeneration": 1}),
    ("replicationcontroller-controller", REPLICATIONCONTROLLERS, RC, {"replicas": 0, "observedGeneration": 1}),
    ("statefulset-controller", STATEFULSETS, workload(STATEFULSETS, serviceName="web"), {"replicas": 0, "observedGeneration": 1}),
    (
        "daemonset-controller", DAEMONSETS, workload(DAEMONSETS),
        {"desiredNumberScheduled": 2, "currentNumberScheduled": 0, "observedGeneration": 1},
    ),
    ("job-controller", JOBS, job("web", parallelism=2, completions=2), {"ready": 0, "terminating": 0, "active": None}),
]  # fmt: skip


@pytest.mark.parametrize(("controller", "resource", "owner", "expected"), CASES, ids=[case[0] for case in CASES])
async def test_what_is_there_is_counted_while_pods_are_refused(
    world_of: StartWorld, controller: str, resource: Resource, owner: Object, expected: dict[str, Any]
) -> None:
    world = await world_of(controller)
    await world.add_nodes("n1", "n2")
    world.log.refuse("POST", "/pods")
    await world.create(resource, owner)
    status = (await world.get(resource, "web"))["status"]
    assert {name: status.get(name) for name in expected} == expected
    world.log.accept()
    await world.advance(120)
    assert await world.list(PODS)


async def test_why_a_replicaset_has_too_few_pods_is_said_up_to_its_deployment(world_of: StartWorld) -> None:
    world = await world_of("deployment-controller", "replicaset-controller")
    world.log.refuse("POST", "/pods")
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=2))
    [owned] = await world.list(REPLICASETS)
    for found in (owned, await world.get(DEPLOYMENTS, "web")):
        failure = objects.condition(found, "ReplicaFailure")
        assert failure is not None
        assert (failure["status"], failure["reason"], failure["message"]) == (
            "True", "FailedCreate", "the test refuses it",
        )  # fmt: skip
    world.log.accept()
    await world.advance(120)
    for found in (await world.get(REPLICASETS, objects.name(owned)), await world.get(DEPLOYMENTS, "web")):
        assert objects.condition(found, "ReplicaFailure") is None


async def test_daemons_that_are_refused_on_one_node_still_leave_another(world_of: StartWorld) -> None:
    world = await world_of("daemonset-controller")
    await world.add_nodes("n1")
    await world.create(DAEMONSETS, workload(DAEMONSETS))
    await world.run_pods(node="n1")
    world.log.refuse("POST", "/pods")
    driven = {"spec": {"taints": [{"key": "own", "effect": "NoExecute"}]}}
    await world.client.patch(NODES, "n1", driven)
    await world.add_nodes("n2")
    assert all(objects.is_deleting(found) for found in await world.list(PODS))
    world.log.accept()
    await world.advance(120)
    await world.reap_pods()
