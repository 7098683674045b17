"""What a simulated container does, as configuration: stages with durations, failures, exits and probe results.

As an annotation of a pod::

    simulated.steersman.dev/behaviour: '{"main": {"startSeconds": [1, 3], "runSeconds": 60, "exitCode": 1}, "*": {…}}'

Durations are a number or a range ``[from, to]`` to draw from. An unknown key is an error.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

ANNOTATION = "simulated.steersman.dev/behaviour"


class BehaviourError(ValueError):
    """The description cannot be used; the message says why."""


class Stage(Struct, frozen=True):
    """How long a stage takes, in seconds: drawn evenly between two bounds."""

    low_s: float = 0.0
    high_s: float = 0.0

    def draw(self, rng: random.Random) -> float:
        return self.low_s if self.low_s == self.high_s else rng.uniform(self.low_s, self.high_s)


AT_ONCE = Stage()


class Behaviour(Struct, frozen=True, kw_only=True):
    """One container's. ``sandbox_*`` and ``pull_*`` of the entry ``*`` are the pod's."""

    sandbox_s: Stage = AT_ONCE
    sandbox_error: str = ""
    pull_s: Stage = AT_ONCE
    pull_error: str = ""
    create_error: str = ""
    start_s: Stage = AT_ONCE
    start_error: str = ""
    run_s: Stage | None = None
    """Until it exits by itself; None: never."""
    exit_code: int = 0
    crashes: int | None = None
    """Only the first so many runs end by themselves; None: each of them."""
    stop_s: Stage = AT_ONCE
    """From the stop signal to the exit."""
    stop_exit_code: int | None = None
    """On the stop signal; None: 143, as a process that does not handle it."""
    started_after_s: float = 0.0
    """Startup probes fail before."""
    ready_after_s: float = 0.0
    """Readiness probes fail before."""
    unhealthy_after_s: float | None = None
    """Liveness probes fail from then on; None: never."""

    def run_of_attempt(self, attempt: int, rng: random.Random) -> float | None:
        """How long run number ``attempt`` lasts; None: until it is stopped."""
        if self.run_s is None or (self.crashes is not None and attempt >= self.crashes):
            return None
        return self.run_s.draw(rng)


_KEYS: Mapping[str, tuple[str, str]] = {
    "sandboxSeconds": ("sandbox_s", "stage"),
    "sandboxError": ("sandbox_error", "text"),
    "pullSeconds": ("pull_s", "stage"),
    "pullError": ("pull_error", "text"),
    "createError": ("create_error", "text"),
    "startSeconds": ("start_s", "stage"),
    "startError": ("start_error", "text"),
    "runSeconds": ("run_s", "stage"),
    "exitCode": ("exit_code", "int"),
    "crashes": ("crashes", "int"),
    "stopSeconds": ("stop_s", "stage"),
    "stopExitCode": ("stop_exit_code", "int"),
    "startedAfterSeconds": ("started_after_s", "number"),
    "readyAfterSeconds": ("ready_after_s", "number"),
    "unhealthyAfterSeconds": ("unhealthy_after_s", "number"),
}


def behaviour_of(annotations: Mapping[str, str], container: str, default: Behaviour) -> Behaviour:
    """That of ``container`` by the pod's annotation, over the annotation's ``*``, over ``default``.

    Raises ``BehaviourError``.
    """
    text = annotations.get(ANNOTATION)
    return default if text is None else _parse(text, container, default)


@lru_cache(maxsize=1024)
def _parse(text: str, container: str, default: Behaviour) -> Behaviour:
    try:
        entries = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BehaviourError(f"annotation {ANNOTATION}: {error}") from error
    if not isinstance(entries, dict):
        raise BehaviourError(f"annotation {ANNOTATION}: must be an object by container name")
    behaviour = parse_behaviour(entries.get("*") or {}, default)
    return parse_behaviour(entries.get(container) or {}, behaviour)


def parse_behaviour(entry: Mapping[str, Any], default: Behaviour) -> Behaviour:
    """``default`` with what ``entry`` says. Raises ``BehaviourError``."""
    changes: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in _KEYS:
            raise BehaviourError(f"unknown behaviour {key!r}; known are {', '.join(_KEYS)}")
        field, kind = _KEYS[key]
        try:
            changes[field] = _value(kind, value)
        except (TypeError, ValueError) as error:
            raise BehaviourError(f"behaviour {key}: {value!r} cannot be used: {error}") from error
    return replace(default, **changes)


def _value(kind: str, value: Any) -> Any:
    match kind:
        case "stage":
            low, high = value if isinstance(value, list) else (value, value)
            return Stage(float(low), float(high))
        case "int":
            return int(value)
        case "number":
            return float(value)
        case _:
            return str(value)
