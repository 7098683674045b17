"""Attaching volumes, as a value: which attachments a node gets and loses, and what is told."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.attachments import Wanted, attachment_for, attachment_name, plan
from steersman.meta import objects, times
from steersman.meta.objects import Object
from tests.controllers.builders import pod
from tests.controllers.kinds.test_persistentvolumebinder import volume

NOW_S = 1_000_000.0
DISK = volume(csi={"driver": "disks.example", "volumeHandle": "h1"})
NAME = attachment_name(DISK, "n1")
HANDLE = "kubernetes.io/csi/disks.example^h1"
USER = pod(spec={"nodeName": "n1"})


def attachment(*, attached: bool = True, seconds_ago: float = 1, error: str = "", **metadata: Any) -> Object:
    made = attachment_for(DISK, "n1")
    created = times.format_time(NOW_S - seconds_ago)
    status: Object = {"attached": attached} | ({"attachError": {"message": error}} if error else {})
    return {**objects.with_metadata(made, creationTimestamp=created, **metadata), "status": status}


def node(*, ready: bool = True, listed: bool = False, in_use: bool = False, out: bool = False) -> Object:
    status: Object = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    status |= {"volumesAttached": [{"name": HANDLE, "devicePath": ""}]} if listed else {}
    status |= {"volumesInUse": [HANDLE]} if in_use else {}
    taints = [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}] if out else []
    return {"metadata": {"name": "n1"}, "spec": {"taints": taints}, "status": status}


WANTED = Wanted(volume=DISK, pods=[USER])


@pytest.mark.parametrize(
    ("found", "wanted", "there", "attaches", "reports", "told", "again_after_s"),
    [
        (node(), [WANTED], [], 1, None, [], None),
        (node(), [WANTED], [attachment(attached=False)], 0, None, [], 119),
        (node(), [WANTED], [attachment()], 0, [HANDLE], ["SuccessfulAttachVolume"], None),
        (node(listed=True), [WANTED], [attachment()], 0, None, [], None),
        (node(), [WANTED], [attachment(attached=False, error="no")], 0, None, ["FailedAttachVolume"], None),
        (node(), [WANTED], [attachment(attached=False, seconds_ago=121)], 0, None, ["FailedAttachVolume"], 120),
        (node(), [Wanted(volume=DISK, pods=[USER], holders=["n2"])], [], 0, None, ["FailedAttachVolume"], None),
        (node(listed=True), [WANTED], [attachment(deletionTimestamp=times.format_time(NOW_S))], 0, [], [], None),
    ],
)
def test_what_a_node_gets(
    found: Object, wanted: list[Wanted], there: list[Object], attaches: int, reports: list[str] | None,
    told: list[str], again_after_s: float | None,
) -> None:  # fmt: skip
    todo = plan("n1", found, wanted, there, {"v": DISK}, {}, NOW_S, may_force=True)
    assert len(todo.attach) == attaches
    assert (None if todo.report is None else [entry["name"] for entry in todo.report]) == reports
    assert [notice.reason for _, notice in todo.tell] == told
    assert todo.again_after_s == again_after_s


@pytest.mark.parametrize(
    ("found", "unwanted_s", "may_force", "detaches", "is_unsafe", "again_after_s"),
    [
        (node(), 0, True, True, False, None),
        (node(in_use=True), 10, True, False, False, 350),
        (node(in_use=True), 400, True, False, False, None),
        (node(in_use=True, ready=False), 359, True, False, False, 1),
        (node(in_use=True, ready=False), 360, True, True, True, None),
        (node(in_use=True, ready=False), 360, False, False, False, None),
        (node(in_use=True, ready=False, out=True), 0, False, True, True, None),
        (None, 360, True, True, True, None),
    ],
)
def test_what_a_node_loses(
    found: Object | None,
    unwanted_s: float,
    may_force: bool,
    detaches: bool,
    is_unsafe: bool,
    again_after_s: float | None,
) -> None:
    """A volume that may be mounted stays, until its node is out of service or was not ready for six minutes."""
    since = {NAME: NOW_S - unwanted_s}
    volumes = {objects.name(DISK): DISK}
    todo = plan("n1", found, [], [attachment()], volumes, since, NOW_S, may_force=may_force)
    assert [objects.name(entry) for entry in todo.detach] == ([NAME] if detaches else [])
    assert todo.unsafe == (frozenset({NAME}) if is_unsafe else frozenset())
    assert todo.again_after_s == again_after_s
