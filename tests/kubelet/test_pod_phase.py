"""Decision table of a pod's phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from steersman.kubelet.status import pod_phase
from steersman.meta.objects import Object
from tests.kubelet.pods import container, pod

A, B, I = container("a"), container("b"), container("i")  # noqa: E741
S = container("s", restartPolicy="Always")
RUNS: Object = {"running": {}}
WAITS: Object = {"waiting": {}}


def ended(code: int) -> Object:
    return {"terminated": {"exitCode": code}}


def of(name: str, state: Object, *, last: Object | None = None, **more: Any) -> Object:
    return {"name": name, "state": state, "lastState": last or {}, **more}


@pytest.mark.parametrize(
    ("says", "obj", "statuses", "is_over", "phase"),
    [
        ("nothing known", pod(A), [], False, "Pending"),
        ("waiting to be created", pod(A), [of("a", WAITS)], False, "Pending"),
        ("all run", pod(A, B), [of("a", RUNS), of("b", RUNS)], False, "Running"),
        ("one runs, one never started", pod(A, B), [of("a", RUNS), of("b", WAITS)], False, "Pending"),
        ("one runs, one waits after a crash", pod(A, B), [of("a", RUNS), of("b", WAITS, last=ended(1))], False, "Running"),
        ("exited, restarts", pod(A), [of("a", ended(0))], False, "Running"),
        ("exited, deleted", pod(A), [of("a", ended(0))], True, "Succeeded"),
        ("crashed, deleted", pod(A), [of("a", ended(1))], True, "Failed"),
        ("job done", pod(A, restartPolicy="Never"), [of("a", ended(0))], False, "Succeeded"),
        ("job failed", pod(A, restartPolicy="Never"), [of("a", ended(3))], False, "Failed"),
        ("one of two failed, the other runs", pod(A, B, restartPolicy="Never"), [of("a", ended(3)), of("b", RUNS)], False, "Running"),
        ("one of two failed", pod(A, B, restartPolicy="Never"), [of("a", ended(3)), of("b", ended(0))], False, "Failed"),
        ("crashed, OnFailure", pod(A, restartPolicy="OnFailure"), [of("a", ended(1))], False, "Running"),
        ("init runs", pod(A, init=[I]), [of("i", RUNS), of("a", WAITS)], False, "Pending"),
        ("init crashed, restarts", pod(A, init=[I]), [of("i", ended(1)), of("a", WAITS)], False, "Pending"),
        ("init crashed, Never", pod(A, init=[I], restartPolicy="Never"), [of("i", ended(1)), of("a", WAITS)], False, "Failed"),
        ("sidecar starts", pod(A, init=[S]), [of("s", RUNS, started=False), of("a", WAITS)], False, "Pending"),
        ("sidecar and app run", pod(A, init=[S]), [of("s", RUNS, started=True), of("a", RUNS)], False, "Running"),
        ("apps done, sidecar still runs", pod(A, init=[S], restartPolicy="Never"), [of("s", RUNS, started=True), of("a", ended(0))], False, "Running"),
        ("apps done, sidecar stopped", pod(A, init=[S], restartPolicy="Never"), [of("s", ended(143)), of("a", ended(0))], False, "Succeeded"),
    ],
)  # fmt: skip
def test_phase(says: str, obj: Object, statuses: Sequence[Object], is_over: bool, phase: str) -> None:
    assert pod_phase(obj, statuses, is_over=is_over, initialized=False) == phase
