"""What the kubelet wrote and what others did to a pod are told apart."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.kubelet.pod_echo import is_echo
from steersman.meta.objects import Object
from tests.kubelet.pods import container, deleted, pod

BEFORE = pod(metadata={"resourceVersion": "1", "labels": {"a": "b"}})


def with_metadata(**fields: Any) -> Object:
    return {**BEFORE, "metadata": {**BEFORE["metadata"], **fields}}


def with_status(**fields: Any) -> Object:
    written = with_metadata(resourceVersion="2", managedFields=[{"manager": "kubelet"}])
    return {**written, "status": {**BEFORE["status"], **fields}}


def condition(kind: str, status: str = "True") -> Object:
    return {"type": kind, "status": status}


@pytest.mark.parametrize(
    "after",
    [
        with_status(),
        with_status(phase="Running", podIP="10.0.0.1", podIPs=[{"ip": "10.0.0.1"}], startTime="2026-01-01T00:00:00Z"),
        with_status(containerStatuses=[{"name": "main", "ready": True}], observedGeneration=1),
        with_status(conditions=[condition("Ready"), condition("PodScheduled"), condition("PodResizePending")]),
    ],
)
def test_what_the_kubelet_writes_is_an_echo(after: Object) -> None:
    assert is_echo(BEFORE, after)


@pytest.mark.parametrize(
    "after",
    [
        pod(container("main", image="busybox:2"), metadata=BEFORE["metadata"]),
        with_metadata(labels={"a": "c"}),
        with_metadata(annotations={"a": "c"}),
        with_metadata(generation=2),
        deleted(BEFORE),
        with_status(conditions=[condition("example.com/gate")]),
        with_status(phase="Failed", reason="Evicted"),
        with_status(phase="Succeeded"),
        with_status(nominatedNodeName="node-2"),
        with_status(resourceClaimStatuses=[{"name": "gpu"}]),
    ],
)
def test_everything_else_is_news(after: Object) -> None:
    assert not is_echo(BEFORE, after)
