"""APIServices of what the server serves itself."""

from __future__ import annotations

import random

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.aggregation.apiservice import CONTINUOUSLY, MANAGED_LABEL, ON_START, local
from steersman.apiserver.aggregation.registration import action
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object, condition
from steersman.meta.resources import APISERVICES, CUSTOMRESOURCEDEFINITIONS
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.waiting import eventually
from tests.apiserver.extensions.builders import definition


def _service(managed: str = ON_START, priority: int = 1) -> Object:
    found = local("g", "v1", (priority, 1), managed)
    if not managed:
        del found["metadata"]["labels"]
    return found


_STARTED, _CONTINUOUS = _service(), _service(CONTINUOUSLY)


@pytest.mark.parametrize(
    ("desired", "current", "is_synced", "was_there_at_start", "expected"),
    [
        (None, None, False, False, "none"),
        (_STARTED, None, False, False, "create"),
        (_STARTED, None, True, False, "none"),
        (_CONTINUOUS, None, True, False, "create"),
        (_STARTED, _service(""), False, True, "none"),
        (None, _service(""), False, True, "none"),
        (_STARTED, _service(priority=2), False, False, "none"),
        (_STARTED, _service(priority=2), False, True, "update"),
        (_STARTED, _service(priority=2), True, True, "none"),
        (None, _STARTED, False, True, "delete"),
        (None, _STARTED, True, True, "none"),
        (None, _CONTINUOUS, True, False, "delete"),
        (_CONTINUOUS, _service(CONTINUOUSLY, priority=2), True, False, "update"),
        (_CONTINUOUS, _CONTINUOUS, True, False, "none"),
    ],
)
def test_what_is_managed_is_brought_to_what_is_served(
    desired: Object | None, current: Object | None, is_synced: bool, was_there_at_start: bool, expected: str
) -> None:
    assert action(desired, current, is_synced=is_synced, was_there_at_start=was_there_at_start) == expected


async def test_built_in_versions_are_registered_and_available_from_the_start(client: Client) -> None:
    found = {obj["metadata"]["name"]: obj for obj in (await client.list(APISERVICES)).items}
    assert "v1.apiregistration.k8s.io" not in found
    assert found["v1."]["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    scaling = found["v2.autoscaling"]
    assert (scaling["spec"]["groupPriorityMinimum"], scaling["spec"]["versionPriority"]) == (17500, 30)
    assert scaling["metadata"]["labels"] == {MANAGED_LABEL: "onstart"}
    for obj in found.values():
        available = condition(obj, "Available")
        assert available is not None
        assert (available["status"], available["reason"]) == ("True", "Local")
        assert available["message"] == "Local APIServices are always available"


async def test_they_are_printed_as_upstreams(client: Client) -> None:
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    answer = await client.request("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps", headers=accept)
    assert [column["name"] for column in answer.content["columnDefinitions"]] == ["Name", "Service", "Available", "Age"]
    assert answer.content["rows"][0]["cells"][:3] == ["v1.apps", "Local", "True"]


async def test_a_custom_resources_version_comes_and_goes(client: Client, server: APIServer, clock: FakeClock) -> None:
    await client.create(CUSTOMRESOURCEDEFINITIONS, definition())
    group = definition()["spec"]["group"]
    name = f"v1.{group}"

    async def is_available() -> bool:
        try:
            found = await client.get(APISERVICES, name)
        except NotFound:
            return False
        return (condition(found, "Available") or {}).get("status") == "True"

    await eventually(is_available, clock=clock)
    found = await client.get(APISERVICES, name)
    assert found["metadata"]["labels"] == {MANAGED_LABEL: "true"}
    assert (found["spec"]["groupPriorityMinimum"], found["spec"]["versionPriority"]) == (1000, 100)
    await client.delete(APISERVICES, name)
    await eventually(is_available, clock=clock)
    await client.delete(CUSTOMRESOURCEDEFINITIONS, definition()["metadata"]["name"])

    async def is_gone() -> bool:
        return name not in {obj["metadata"]["name"] for obj in (await client.list(APISERVICES)).items}

    await eventually(is_gone, clock=clock)


async def test_a_second_start_writes_nothing() -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    first = APIServer(store=store, clock=clock, config=APIServerConfig(), rng=random.Random(7))
    await first.start()
    client = Client(InProcessTransport(first.handle))
    before = await client.list(APISERVICES)
    second = APIServer(store=store, clock=clock, config=APIServerConfig(), rng=random.Random(8))
    await second.objects.start()
    await second._aggregator.start(second._tasks)
    after = await client.list(APISERVICES)
    assert after.items == before.items
    assert second._aggregator.completion_failure() == ""
    await second._tasks.close()
    await second.objects.close()
    await first.close()
