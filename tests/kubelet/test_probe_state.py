"""Thresholds of probes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from steersman.kubelet.probe_results import ProbeKind
from steersman.kubelet.probe_state import ProbeState

DEFAULT = {"failureThreshold": 3, "successThreshold": 1}


@pytest.mark.parametrize(
    ("kind", "spec", "outcomes", "results", "holds"),
    [
        ("liveness", DEFAULT, "ff", [None, None], False),
        ("liveness", DEFAULT, "fff", [None, None, False], True),
        ("liveness", DEFAULT, "ffsff", [None, None, True, True, True], False),
        ("readiness", DEFAULT, "s", [True], False),
        ("readiness", {"successThreshold": 2}, "ss", [None, True], False),
        ("readiness", DEFAULT, "sfff", [True, True, True, False], False),
        ("readiness", DEFAULT, "fffs", [None, None, False, True], False),
        ("startup", DEFAULT, "fs", [None, True], True),
        ("startup", {"failureThreshold": 2}, "ff", [None, False], True),
    ],
)
def test_outcomes_in_a_row_decide(
    kind: ProbeKind, spec: dict[str, int], outcomes: str, results: Sequence[bool | None], holds: bool
) -> None:
    state = ProbeState(kind=kind, spec=spec)
    seen = []
    for outcome in outcomes:
        before = state.result
        changed = state.observe(outcome == "s")
        assert changed == (state.result is not before)
        seen.append(state.result)
    assert seen == results
    assert state.on_hold == holds


def test_startup_probes_run_first_and_alone() -> None:
    assert ProbeState(kind="startup", spec={}).is_wanted(started=False)
    assert not ProbeState(kind="startup", spec={}).is_wanted(started=True)
    assert not ProbeState(kind="liveness", spec={}).is_wanted(started=False)
    assert ProbeState(kind="readiness", spec={}).is_wanted(started=True)
