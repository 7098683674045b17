"""What is written of a status: the difference, and nothing of others."""

from __future__ import annotations

from steersman.kubelet.status_manager import status_patch
from steersman.meta.objects import Object


def condition(kind: str, status: str, **more: str) -> Object:
    return {"type": kind, "status": status, **more}


def test_nothing_is_written_twice() -> None:
    status = {"phase": "Running", "conditions": [condition("Ready", "True")], "containerStatuses": [{"name": "a"}]}
    assert status_patch(status, status) == {}


def test_absent_and_empty_are_the_same() -> None:
    assert (
        status_patch({"containerStatuses": [{"name": "a"}]}, {"containerStatuses": [{"name": "a", "lastState": {}}]})
        == {}
    )


def test_what_went_is_removed() -> None:
    assert status_patch({"phase": "Failed", "reason": "Evicted"}, {"phase": "Failed"}) == {"reason": None}


def test_only_changed_conditions_are_sent_and_those_of_others_are_left() -> None:
    stored = [
        condition("Ready", "False", reason="ContainersNotReady"),
        condition("mine", "True"),
        condition("PodScheduled", "True"),
    ]
    wanted = [condition("mine", "stale"), condition("Ready", "True"), condition("PodScheduled", "True")]
    assert status_patch({"conditions": stored}, {"conditions": wanted}) == {
        "conditions": [{"type": "Ready", "status": "True", "reason": None}]
    }


def test_addresses_that_went_are_deleted_by_name() -> None:
    patch = status_patch({"podIPs": [{"ip": "10.0.0.1"}]}, {"podIPs": [{"ip": "10.0.0.2"}]})
    assert patch == {"podIPs": [{"$patch": "delete", "ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}
