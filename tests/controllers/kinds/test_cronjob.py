"""CronJob and TTL: time moved by the test."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.kinds.cronjob import plan
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import CRONJOBS, EVENTS, JOBS
from tests.controllers.builders import template
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

NAME = "cronjob-controller"


def cronjob(schedule: str = "*/5 * * * *", **spec: Any) -> Object:
    job = {"template": template({}, restartPolicy="Never")}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": job}, **spec},
    }


async def finish(world: World, job: Object, kind: str = "Complete") -> None:
    now = times.format_time(world.clock.now())
    entry = {"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now}
    status: Object = {"conditions": [entry], "startTime": now}
    if kind == "Complete":
        criteria = {**entry, "type": "SuccessCriteriaMet"}
        status |= {"completionTime": now, "conditions": [criteria, entry]}
    else:
        status |= {"conditions": [{**entry, "type": "FailureTarget"}, entry]}
    await world.set_status(JOBS, job, **status)
    await world.settle()


async def jobs(world: World) -> list[str]:
    return sorted(objects.name(found) for found in await world.list(JOBS))


async def test_makes_a_job_at_each_scheduled_time(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(CRONJOBS, cronjob())
    assert await jobs(world) == []
    await world.advance(301)
    [job] = await world.list(JOBS)
    assert objects.name(job) == f"tick-{int(world.clock.now()) // 300 * 5}"
    assert objects.annotations(job)["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-01-01T00:05:00Z"
    status = (await world.get(CRONJOBS, "tick"))["status"]
    assert status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
    assert [entry["name"] for entry in status["active"]] == [objects.name(job)]
    await finish(world, job)
    status = (await world.get(CRONJOBS, "tick"))["status"]
    assert "active" not in status
    assert status["lastSuccessfulTime"] == "2026-01-01T00:05:01Z"
    await world.advance(300)
    assert len(await jobs(world)) == 2
    reasons = {event["reason"] for event in await world.list(EVENTS)}
    assert reasons == {"SuccessfulCreate", "SawCompletedJob"}


async def test_forbid_waits_and_replace_does_not(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(CRONJOBS, cronjob(concurrencyPolicy="Forbid"))
    await world.advance(1000)
    [first] = await jobs(world)
    await world.patch(CRONJOBS, "tick", {"spec": {"concurrencyPolicy": "Replace"}})
    await world.advance(300)
    [second] = [found for found in await world.list(JOBS) if not objects.is_deleting(found)]
    assert objects.name(second) != first
    await world.advance(1)


async def test_makes_up_for_the_last_missed_time_only_and_not_after_the_deadline(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(CRONJOBS, cronjob(suspend=True))
    await world.advance(3700)
    await world.patch(CRONJOBS, "tick", {"spec": {"suspend": False}})
    [job] = await world.list(JOBS)
    assert objects.annotations(job)["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-01-01T01:00:00Z"
    await world.patch(CRONJOBS, "tick", {"spec": {"suspend": True, "startingDeadlineSeconds": 60}})
    await world.advance(700)
    await world.patch(CRONJOBS, "tick", {"spec": {"suspend": False}})
    assert len(await jobs(world)) == 1


async def test_keeps_as_much_history_as_it_is_told(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(CRONJOBS, cronjob(successfulJobsHistoryLimit=2))
    await world.advance(1)
    for _ in range(4):
        await world.advance(300)
        for job in await world.list(JOBS):
            if not (job.get("status") or {}).get("completionTime"):
                await finish(world, job)
    assert len(await jobs(world)) == 2


async def test_a_schedule_in_a_time_zone(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(CRONJOBS, cronjob("0 3 * * *", timeZone="Europe/Berlin"))
    await world.advance(2 * 3600 + 1)
    [job] = await world.list(JOBS)
    stamp = objects.annotations(job)["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert stamp == "2026-01-01T03:00:00+01:00"


async def test_finished_jobs_go_after_their_time(world_of: StartWorld) -> None:
    world = await world_of("ttl-after-finished-controller")
    spec = {"template": template({}, restartPolicy="Never"), "ttlSecondsAfterFinished": 30}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "namespace": "default"}, "spec": spec}
    created = await world.create(JOBS, job)
    await world.advance(100)
    await finish(world, created, "Failed")
    await world.advance(29)
    assert not objects.is_deleting(await world.get(JOBS, "once"))
    await world.advance(1)
    assert objects.is_deleting(await world.get(JOBS, "once"))


def at(text: str) -> float:
    return times.parse_time(f"2026-01-01T{text}Z")


def made_at(text: str, **fields: Any) -> Object:
    made = cronjob("0 * * * *", **fields.pop("spec", {}))
    created = {"creationTimestamp": f"2026-01-01T{text}Z", "uid": "c"}
    return {**made, "metadata": {**made["metadata"], **created}, **fields}


def running(name: str = "tick-1", uid: str = "j", **status: Any) -> Object:
    annotations = {"batch.kubernetes.io/cronjob-scheduled-timestamp": "x"}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": uid, "annotations": annotations},
        "spec": {},
        "status": status,
    }


ACTIVE = {"active": [{"uid": "j", "name": "tick-1"}], "lastScheduleTime": "2026-01-01T09:00:00Z"}
LAST = {"lastScheduleTime": "2026-01-01T09:00:00Z"}


@pytest.mark.parametrize(
    ("found", "jobs", "now", "serves", "deletes", "wait_s"),
    [
        (made_at("09:30:00"), [], "09:59:59", "", 0, 1.1),
        (made_at("09:30:00"), [], "10:00:00", "10:00:00", 0, 3600.1),
        (made_at("09:30:00"), [], "10:00:10", "10:00:00", 0, 3590.1),
        (made_at("08:30:00", status=LAST), [], "09:00:01", "", 0, 3599.1),
        (made_at("08:30:00", status=LAST), [], "12:10:00", "12:00:00", 0, 3000.1),
        (made_at("09:30:00", spec={"suspend": True}), [], "10:00:01", "", 0, None),
        (made_at("09:30:00", metadata={**cronjob()["metadata"], "deletionTimestamp": "x"}), [], "10:00:01", "", 0, None),
        (made_at("09:30:00", spec={"startingDeadlineSeconds": 60}), [], "10:00:59", "10:00:00", 0, 3541.1),
        (made_at("09:30:00", spec={"startingDeadlineSeconds": 60}), [], "10:01:01", "", 0, 3539.1),
        (made_at("08:30:00", spec={"concurrencyPolicy": "Allow"}, status=ACTIVE), [running()], "10:00:01", "10:00:00", 0, 3599.1),
        (made_at("08:30:00", spec={"concurrencyPolicy": "Forbid"}, status=ACTIVE), [running()], "10:00:01", "", 0, 3599.1),
        (made_at("08:30:00", spec={"concurrencyPolicy": "Replace"}, status=ACTIVE), [running()], "10:00:01", "10:00:00", 1, 3599.1),
        (made_at("08:30:00", spec={"concurrencyPolicy": "Forbid"}, status=ACTIVE), [], "10:00:01", "10:00:00", 0, 3599.1),
        (made_at("09:30:00", spec={"timeZone": "Europe/Berlin"}), [], "10:00:01", "10:00:00", 0, 3599.1),
    ],
)  # fmt: skip
def test_when_a_job_is_made(
    found: Object, jobs: list[Object], now: str, serves: str, deletes: int, wait_s: float | None
) -> None:
    todo = plan(found, jobs, at(now))
    assert (todo.create is not None, todo.serves) == (bool(serves), f"2026-01-01T{serves}Z" if serves else "")
    assert len(todo.delete) == deletes
    assert todo.requeue_after_s == (None if wait_s is None else pytest.approx(wait_s))
    assert todo.status.get("lastScheduleTime") == (found.get("status") or {}).get("lastScheduleTime")


def test_while_jobs_cannot_be_made_the_rest_of_the_status_is_kept_up() -> None:
    done = {"type": "Complete", "status": "True"}
    ended = running(conditions=[done], completionTime="2026-01-01T09:10:00Z")
    todo = plan(made_at("08:30:00", status=ACTIVE), [ended], at("10:00:01"))
    assert todo.create is not None
    assert todo.status == {**LAST, "lastSuccessfulTime": "2026-01-01T09:10:00Z"}


async def test_a_refused_job_does_not_count_as_made(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    world.log.refuse("POST", "/jobs")
    await world.create(CRONJOBS, cronjob())
    await world.advance(301)
    assert not await world.list(JOBS)
    assert "lastScheduleTime" not in ((await world.get(CRONJOBS, "tick")).get("status") or {})
    world.log.accept()
    await world.advance(10)
    assert len(await world.list(JOBS)) == 1
