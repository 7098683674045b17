"""Job: counting, failing, succeeding; in-process, time moved by the test."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.jobplan import Creation
from steersman.controllers.jobpolicy import COMPLETION_INDEX, TRACKING_FINALIZER
from steersman.controllers.kinds.job import pod_of
from steersman.controllers.pods import phase
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, JOBS, PODS
from tests.controllers.builders import template
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

NAME = "job-controller"


def job(name: str = "sum", restart_policy: str = "Never", **spec: Any) -> Object:
    made = template({}, restartPolicy=restart_policy)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": made, **spec},
    }


async def status(world: World) -> Object:
    found: Object = (await world.get(JOBS, "sum"))["status"]
    return found


async def live(world: World) -> list[Object]:
    return [pod for pod in await world.list(PODS) if phase(pod) == "Pending" and not objects.is_deleting(pod)]


async def conditions(world: World) -> list[tuple[str, str]]:
    return [(entry["type"], entry.get("reason", "")) for entry in (await status(world)).get("conditions") or []]


async def test_runs_pods_to_completion_and_lets_them_go(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(completions=3, parallelism=2))
    pods = await live(world)
    assert len(pods) == 2
    assert all(TRACKING_FINALIZER in objects.finalizers(pod) for pod in pods)
    assert (await status(world))["active"] == 2
    await world.finish_pods("Succeeded", pods)
    await world.advance(1)
    assert (await status(world))["succeeded"] == 2
    await world.finish_pods("Succeeded", await live(world))
    await world.advance(1)
    final = await status(world)
    assert final["succeeded"] == 3
    assert final["completionTime"]
    assert await conditions(world) == [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
    assert not any(objects.finalizers(pod) for pod in await world.list(PODS))
    assert "uncountedTerminatedPods" not in final or not final["uncountedTerminatedPods"]
    assert {event["reason"] for event in await world.list(EVENTS)} == {"SuccessfulCreate", "Completed"}


async def test_backs_off_between_tries_and_fails_beyond_its_limit(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(backoffLimit=1))
    await world.finish_pods("Failed", await live(world), exit_code=1)
    await world.advance(1)
    assert (await status(world))["failed"] == 1
    assert await live(world) == []
    await world.advance(10)
    await world.finish_pods("Failed", await live(world), exit_code=1)
    await world.advance(2)
    assert (await status(world))["failed"] == 2
    assert await conditions(world) == [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]


async def test_stops_its_pods_before_it_says_that_it_failed(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(completions=2, parallelism=2, activeDeadlineSeconds=60))
    await world.run_pods()
    await world.add_nodes("n1")
    await world.advance(60)
    assert ("Failed", "DeadlineExceeded") in await conditions(world)
    assert await live(world) == []


async def test_gives_each_index_one_pod_that_succeeds(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(completions=4, parallelism=4, completionMode="Indexed"))
    pods = sorted(await live(world), key=lambda pod: objects.annotations(pod)[COMPLETION_INDEX])
    assert [objects.labels(pod)[COMPLETION_INDEX] for pod in pods] == ["0", "1", "2", "3"]
    assert pods[2]["spec"]["hostname"] == "sum-2"
    assert objects.name(pods[2]).startswith("sum-2-")
    names = [entry["name"] for entry in pods[2]["spec"]["containers"][0]["env"]]
    assert names == ["JOB_COMPLETION_INDEX"]
    await world.finish_pods("Succeeded", [pods[0], pods[2], pods[3]])
    await world.finish_pods("Failed", [pods[1]], exit_code=1)
    await world.advance(1)
    assert (await status(world))["completedIndexes"] == "0,2,3"
    await world.advance(10)
    [again] = await live(world)
    assert objects.annotations(again)[COMPLETION_INDEX] == "1"
    await world.finish_pods("Succeeded", [again])
    await world.advance(1)
    assert (await status(world))["completedIndexes"] == "0-3"
    assert ("Complete", "CompletionsReached") in await conditions(world)


async def test_counts_failures_for_each_index(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=1))
    for _ in range(2):
        pods = await live(world)
        await world.finish_pods(
            "Failed", [p for p in pods if objects.annotations(p)[COMPLETION_INDEX] == "0"], exit_code=1
        )
        await world.advance(12)
    assert (await status(world))["failedIndexes"] == "0"
    await world.finish_pods("Succeeded", await live(world))
    await world.advance(1)
    assert ("Failed", "FailedIndexes") in await conditions(world)
    assert (await status(world))["completedIndexes"] == "1"


async def test_a_success_policy_ends_it_early(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    policy = {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]}
    await world.create(JOBS, job(completions=3, parallelism=3, completionMode="Indexed", successPolicy=policy))
    pods = sorted(await live(world), key=lambda pod: objects.annotations(pod)[COMPLETION_INDEX])
    await world.finish_pods("Succeeded", [pods[1]])
    await world.advance(1)
    await world.reap_pods()
    await world.advance(1)
    assert await conditions(world) == [("SuccessCriteriaMet", "SuccessPolicy"), ("Complete", "SuccessPolicy")]


async def test_a_failure_policy_fails_it_at_once_or_does_not_count(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    rules = [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3]}},
        {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
    ]
    await world.create(JOBS, job(backoffLimit=6, podFailurePolicy={"rules": rules}))
    await world.finish_pods("Failed", await live(world), exit_code=3)
    await world.advance(12)
    assert "failed" not in await status(world)
    [pod] = await live(world)
    await world.finish_pods("Failed", [pod], exit_code=42)
    await world.advance(2)
    [*_, failed] = (await status(world))["conditions"]
    assert (failed["type"], failed["reason"]) == ("Failed", "PodFailurePolicy")
    assert failed["message"] == (
        f"Container main for pod default/{objects.name(pod)} failed with exit code 42 matching FailJob rule at index 1"
    )


async def test_suspending_stops_pods_and_resuming_starts_the_clock_anew(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(parallelism=2, completions=2))
    started = (await status(world))["startTime"]
    await world.advance(5)
    await world.patch(JOBS, "sum", {"spec": {"suspend": True}})
    assert await live(world) == []
    assert ("Suspended", "JobSuspended") in await conditions(world)
    await world.advance(5)
    await world.patch(JOBS, "sum", {"spec": {"suspend": False}})
    assert len(await live(world)) == 2
    assert (await status(world))["startTime"] > started
    assert ("Suspended", "JobResumed") in await conditions(world)


@pytest.mark.parametrize("policy, replaced", [("TerminatingOrFailed", 1), ("Failed", 0)])
async def test_replaces_terminating_pods_as_its_policy_says(world_of: StartWorld, policy: str, replaced: int) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(podReplacementPolicy=policy))
    await world.add_nodes("n1")
    await world.run_pods(node="n1")
    [pod] = await world.list(PODS)
    await world.client.delete(PODS, objects.name(pod), namespace="default")
    await world.advance(12)
    assert len(await live(world)) == replaced


async def test_leaves_a_job_of_another_controller_alone(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(managedBy="example.com/other"))
    assert not await world.list(PODS)


async def test_pods_of_a_job_that_is_gone_lose_the_finalizer(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job())
    await world.client.delete(JOBS, "sum", namespace="default", propagation="Background")
    await world.settle()
    [pod] = await world.list(PODS)
    assert objects.finalizers(pod) == []


async def test_a_pod_that_no_job_controls_any_more_loses_the_finalizer(world_of: StartWorld) -> None:
    """As when the Job went and left it as an orphan: else nothing could ever delete it."""
    world = await world_of(NAME)
    await world.create(JOBS, job())
    [pod] = await world.list(PODS)
    bare = {"ownerReferences": None, "labels": dict.fromkeys(objects.labels(pod))}
    await world.patch(PODS, objects.name(pod), {"metadata": bare})
    found = await world.get(PODS, objects.name(pod))
    assert objects.finalizers(found) == []
    await world.client.delete(PODS, objects.name(pod), namespace="default", grace_period_s=0)
    await world.advance(2)


async def test_a_finished_job_holds_no_pod(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    created = await world.create(JOBS, job(suspend=True))
    now = times.format_time(world.clock.now())
    entries = [
        {"type": kind, "status": "True", "reason": "Test", "lastTransitionTime": now}
        for kind in ("FailureTarget", "Failed")
    ]  # fmt: skip
    made = pod_of(await world.get(JOBS, "sum"), Creation())
    await world.client.create(PODS, made)
    await world.set_status(JOBS, created, conditions=entries, startTime=now)
    await world.settle()
    [left] = await world.list(PODS)
    assert objects.finalizers(left) == []


async def test_what_ended_is_counted_while_nothing_more_can_be_started(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(completions=4, parallelism=2))
    world.log.refuse("POST", "/pods")
    await world.finish_pods("Succeeded", (await live(world))[:1])
    await world.advance(1)
    found = await status(world)
    assert (found["succeeded"], found["active"]) == (1, 1)
    world.log.accept()
    await world.advance(30)
    assert (await status(world))["active"] == 2


async def test_a_failed_job_is_no_failure_while_a_pod_cannot_be_stopped(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(JOBS, job(completions=2, parallelism=2, backoffLimit=0))
    world.log.refuse("DELETE", "/pods")
    await world.finish_pods("Failed", (await live(world))[:1], exit_code=1)
    await world.advance(1)
    assert await conditions(world) == []
    assert (await status(world))["failed"] == 1
    world.log.accept()
    await world.advance(30)
    assert ("Failed", "BackoffLimitExceeded") in await conditions(world)
