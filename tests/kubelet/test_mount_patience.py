"""How long a pod waits for its volumes before that is said of it."""

from __future__ import annotations

from steersman.kubelet.mount_patience import LIMIT_S, MountPatience

SAID = (
    "Unable to attach or mount volumes: unmounted volumes=[a b], unattached volumes=[], failed to process volumes=[]:"
    " context deadline exceeded"
)


def test_it_is_said_after_two_minutes_and_then_again() -> None:
    patience = MountPatience()
    patience.begun(100.0)
    assert patience.failed(["b", "a"], 101.0) == ""
    patience.begun(110.0)
    assert patience.failed(["b", "a"], 100.0 + LIMIT_S - 1) == ""
    assert patience.failed(["b", "a"], 100.0 + LIMIT_S) == SAID
    assert patience.failed(["b", "a"], 100.0 + LIMIT_S + 5) == ""
    assert patience.failed(["b", "a"], 100.0 + 2 * LIMIT_S) == SAID


def test_what_is_mounted_has_been_waited_for() -> None:
    patience = MountPatience()
    patience.begun(0.0)
    patience.ended()
    patience.begun(1000.0)
    assert patience.failed(["a"], 1001.0) == ""
