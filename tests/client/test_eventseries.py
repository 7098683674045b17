"""Events of events.k8s.io: the first is written, the second makes a series, the rest are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.eventseries import SeriesRecorder
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, NEW_EVENTS, PODS
from tests.client.lossy import LossyTransport

POD: Object = {"metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "5"}}


@pytest.fixture
def line(client: Client) -> LossyTransport:
    return LossyTransport(client._transport)


@pytest.fixture
async def recorder(line: LossyTransport, clock: FakeClock) -> AsyncIterator[SeriesRecorder]:
    recorder = SeriesRecorder(Client(line), instance="here", clock=clock)
    async with TaskGroup("test") as group:
        group.spawn(recorder.run(), name="events")
        yield recorder


def failed(recorder: SeriesRecorder, obj: Object = POD, message: str = "no room") -> None:
    recorder.event(obj, PODS, controller="default-scheduler", type="Warning", reason="FailedScheduling",
                   action="Scheduling", message=message)  # fmt: skip


async def written(client: Client, clock: FakeClock) -> list[Object]:
    await clock.settle()
    return [*(await client.list(NEW_EVENTS, namespace="default")).items]


async def test_an_event_says_who_did_what_to_whom(recorder: SeriesRecorder, client: Client, clock: FakeClock) -> None:
    other = {"metadata": {"name": "b", "namespace": "default", "uid": "v"}}
    recorder.event(POD, PODS, controller="default-scheduler", type="Normal", reason="Preempted", action="Preempting",
                   message="by another", related=other)  # fmt: skip
    (event,) = await written(client, clock)
    assert (event["reportingController"], event["reportingInstance"]) == ("default-scheduler", "default-scheduler-here")
    assert (event["action"], event["reason"], event["note"]) == ("Preempting", "Preempted", "by another")
    assert (event["regarding"]["name"], event["related"]["name"]) == ("a", "b")
    assert event["eventTime"]
    (core,) = (await client.list(EVENTS, namespace="default")).items
    assert (core["involvedObject"]["name"], core["message"], core["reportingComponent"]) == (
        "a", "by another", "default-scheduler",
    )  # fmt: skip


async def test_the_same_again_is_a_series_that_is_written_when_it_is_over(
    recorder: SeriesRecorder, client: Client, clock: FakeClock
) -> None:
    failed(recorder)
    assert [event.get("series") for event in await written(client, clock)] == [None]
    for number in range(4):
        await clock.advance(1.0)
        failed(recorder, message=f"another text {number}")
    assert [(event["series"]["count"], event["note"]) for event in await written(client, clock)] == [(2, "no room")]
    await clock.advance(500.0)
    assert [event["series"]["count"] for event in await written(client, clock)] == [5]
    failed(recorder)
    assert len(await written(client, clock)) == 2


async def test_another_version_of_the_object_is_another_event(
    recorder: SeriesRecorder, client: Client, clock: FakeClock
) -> None:
    failed(recorder)
    failed(recorder, {"metadata": {**POD["metadata"], "resourceVersion": "6"}})
    assert len(await written(client, clock)) == 2


async def test_what_was_lost_on_the_way_is_sent_again(
    recorder: SeriesRecorder, line: LossyTransport, client: Client, clock: FakeClock
) -> None:
    line.broken = True
    failed(recorder)
    assert await written(client, clock) == []
    line.broken = False
    await clock.advance(11.0)
    assert len(await written(client, clock)) == 1
    assert recorder.idle


async def test_a_series_whose_event_is_gone_is_made_anew(
    recorder: SeriesRecorder, client: Client, clock: FakeClock
) -> None:
    failed(recorder)
    await written(client, clock)
    await client.delete_collection(NEW_EVENTS, namespace="default")
    failed(recorder)
    assert [event["series"]["count"] for event in await written(client, clock)] == [2]
