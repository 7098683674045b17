"""Events: the same one is counted, similar ones are combined, and no object floods the API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.client import events
from steersman.client.api import Client
from steersman.client.events import EventRecorder
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, PODS
from tests.client.lossy import LossyTransport

POD: Object = {"metadata": {"name": "a", "namespace": "default", "uid": "u"}}


@pytest.fixture
def line(client: Client) -> LossyTransport:
    return LossyTransport(client._transport)


@pytest.fixture
async def recorder(line: LossyTransport, clock: FakeClock) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(Client(line), component="test", clock=clock, host="here")
    async with TaskGroup("test") as group:
        group.spawn(recorder.run(), name="events")
        yield recorder


async def written(client: Client, clock: FakeClock) -> list[tuple[str, int]]:
    await clock.settle()
    listed = await client.list(EVENTS, namespace="default")
    return sorted((event["message"], event["count"]) for event in listed.items)


async def test_the_same_event_again_is_counted(recorder: EventRecorder, client: Client, clock: FakeClock) -> None:
    for _ in range(3):
        recorder.event(POD, PODS, type="Normal", reason="Pulled", message="pulled it")
        await clock.advance(1)
    assert await written(client, clock) == [("pulled it", 3)]
    (event,) = (await client.list(EVENTS, namespace="default")).items
    assert event["involvedObject"] == {
        "kind": "Pod", "namespace": "default", "name": "a", "uid": "u", "apiVersion": "v1",
    }  # fmt: skip
    assert event["source"] == {"component": "test", "host": "here"}
    assert event["firstTimestamp"] < event["lastTimestamp"]
    assert recorder.idle


async def test_an_event_that_is_gone_is_written_anew(recorder: EventRecorder, client: Client, clock: FakeClock) -> None:
    recorder.event(POD, PODS, type="Normal", reason="Pulled", message="pulled it")
    await clock.settle()
    await client.delete_collection(EVENTS, namespace="default")
    recorder.event(POD, PODS, type="Normal", reason="Pulled", message="pulled it")
    assert await written(client, clock) == [("pulled it", 2)]


async def test_events_that_differ_in_their_message_only_become_one(
    recorder: EventRecorder, client: Client, clock: FakeClock
) -> None:
    for number in range(15):
        recorder.event(POD, PODS, type="Warning", reason="Failed", message=f"try {number:02}")
    found = await written(client, clock)
    assert found[0] == ("(combined from similar events): try 14", 6)
    assert [message for message, _ in found[1:]] == [f"try {number:02}" for number in range(9)]


async def test_containers_of_a_pod_are_told_apart(recorder: EventRecorder, client: Client, clock: FakeClock) -> None:
    for name in ("one", "two"):
        recorder.event(
            POD, PODS, type="Normal", reason="Started", message="on", field_path=f"spec.containers{{{name}}}"
        )
    assert await written(client, clock) == [("on", 1), ("on", 1)]


async def test_an_object_has_a_budget_and_what_exceeds_it_still_counts(
    recorder: EventRecorder, client: Client, clock: FakeClock
) -> None:
    for _ in range(30):
        recorder.event(POD, PODS, type="Warning", reason="Failed", message="again")
        await clock.settle()
    other: Object = {"metadata": {**POD["metadata"], "name": "b", "uid": "v"}}
    recorder.event(other, PODS, type="Warning", reason="Failed", message="other")
    assert await written(client, clock) == [("again", events.BURST), ("other", 1)]
    await clock.advance(1 / events.REFILL_PER_S)
    recorder.event(POD, PODS, type="Warning", reason="Failed", message="again")
    assert await written(client, clock) == [("again", 31), ("other", 1)]


async def test_events_wait_while_the_server_is_away_and_the_newest_go_when_too_many_do(
    recorder: EventRecorder,
    line: LossyTransport,
    client: Client,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    line.broken = True
    for number in range(events.QUEUE_LIMIT + 500):
        pod: Object = {"metadata": {"name": f"p{number}", "namespace": "default"}}
        recorder.event(pod, PODS, type="Normal", reason="Waits", message=f"{number}")
    assert await written(client, clock) == []
    assert not recorder.idle
    line.broken = False
    await clock.advance(2)
    found = {message for message, _ in await written(client, clock)}
    assert found == {str(number) for number in range(events.QUEUE_LIMIT)}
    assert recorder.idle
    assert [record.message for record in caplog.records if "dropped" in record.message] == [
        "1 events of test dropped: 1000 are waiting"
    ]


async def test_what_happens_again_while_it_waits_is_one_write(
    recorder: EventRecorder, line: LossyTransport, client: Client, clock: FakeClock
) -> None:
    line.broken = True
    for _ in range(7):
        recorder.event(POD, PODS, type="Normal", reason="Waits", message="again")
        await clock.settle()
    line.broken = False
    sent = len(line.requests)
    await clock.advance(31)
    assert await written(client, clock) == [("again", 7)]
    assert len(line.requests) == sent + 1


async def test_an_event_that_cannot_be_delivered_for_long_is_given_up(
    recorder: EventRecorder, line: LossyTransport, client: Client, clock: FakeClock
) -> None:
    line.broken = True
    recorder.event(POD, PODS, type="Normal", reason="Lost", message="never arrives")
    await clock.advance(600)
    assert recorder.idle
    line.broken = False
    recorder.event(POD, PODS, type="Normal", reason="Kept", message="arrives")
    assert await written(client, clock) == [("arrives", 1)]
