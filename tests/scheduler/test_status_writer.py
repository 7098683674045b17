"""Statuses of pods as the scheduler writes them."""

from __future__ import annotations

import pytest

from steersman.client.api import Client
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from steersman.scheduler.status_writer import condition, patch_status
from tests.scheduler.builders import pod
from tests.scheduler.test_component import create

BEFORE_S, NOW_S = 1_767_225_600.0, 1_767_225_660.0
REFUSED = ("PodScheduled", "False", "Unschedulable")


def said(obj: Object, kind: str, status: str, reason: str, message: str, at_s: float) -> Object:
    found = condition(obj, kind, status, reason, message, at_s)
    assert found is not None
    return found


def test_a_condition_that_says_the_same_is_not_written_again() -> None:
    obj = pod()
    obj["status"] = {"conditions": [said(obj, *REFUSED, "no room", BEFORE_S)]}
    assert condition(obj, *REFUSED, "no room", NOW_S) is None
    other = said(obj, *REFUSED, "still no room", NOW_S)
    assert other["lastTransitionTime"] == "2026-01-01T00:00:00Z", "the status is the same since then"
    assert said(obj, "PodScheduled", "True", "", "", NOW_S)["lastTransitionTime"] == "2026-01-01T00:01:00Z"


async def test_new_conditions_come_last_and_no_later_pod_of_the_name_gets_them(client: Client) -> None:
    await create(client, pod("p1"))
    for kind in ("PodScheduled", "DisruptionTarget", "Another"):
        current = await client.get(PODS, "p1", namespace="default")
        entry = said(current, kind, "True", "Because", "words", NOW_S)
        await patch_status(client, current, {"conditions": [entry]})
    current = await client.get(PODS, "p1", namespace="default")
    kinds = [entry["type"] for entry in current["status"]["conditions"]]
    assert kinds == ["PodScheduled", "DisruptionTarget", "Another"]
    earlier = objects.with_metadata(current, uid="of-an-earlier-pod")
    with pytest.raises(APIError):
        await patch_status(client, earlier, {"nominatedNodeName": "n1"})
