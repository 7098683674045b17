"""The probes of one pod: run when due, counted, and reported when the sum of their outcomes changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from steersman.aio.clock import Clock
from steersman.aio.timers import Timers
from steersman.kubelet import podspec
from steersman.kubelet.handlers import Handlers, Outcome, Target
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.probe_results import ProbeKind, ProbeResults
from steersman.kubelet.probe_state import FIELDS, ProbeState
from steersman.kubelet.records import ContainerRecord, PodRecord
from steersman.meta import objects
from steersman.meta.objects import Object

TRIES = 3
"""A probe that cannot be carried out is tried this often before the attempt is thrown away."""

Key = tuple[str, ProbeKind]
ObserveProbe = Callable[[Target, ProbeKind, Outcome, float], None]
"""Is told of each probe that has ended, with how long it took in seconds."""


class Spawn(Protocol):
    """Starts a background task that its owner ends with itself."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]: ...


class PodProbes:
    """Follows the running containers of one pod. ``changed`` is called with the results when they change."""

    def __init__(
        self,
        *,
        handlers: Handlers,
        clock: Clock,
        timers: Timers,
        rng: random.Random,
        spawn: Spawn,
        changed: Callable[[ProbeResults], None],
        announce: Callable[[str, str, str], None],
        observe: ObserveProbe | None = None,
    ) -> None:
        """``announce`` records a Warning about a container: name, reason, message."""
        self._handlers = handlers
        self._clock = clock
        self._timers = timers
        self._rng = rng
        self._spawn = spawn
        self._changed = changed
        self._announce = announce
        self._observe = observe
        self._states: dict[Key, ProbeState] = {}
        self._targets: dict[str, Target] = {}
        self._running: set[Key] = set()
        self._pod_deleting = False

    def follow(self, pod: Object, record: PodRecord, *, pod_ip: str, adopt: Mapping[str, Any] | None = None) -> None:
        """Probe what runs now. ``adopt``: the pod's status before this kubelet started, whose word on a container
        that still runs is kept until a probe says otherwise."""
        self._pod_deleting = objects.is_deleting(pod)
        alive: set[str] = set()
        for container in podspec.containers(pod):
            latest = record.latest(container.name)
            if container.kind == "init" or latest is None or latest.state != "RUNNING":
                continue
            if not any(container.spec.get(field) for field in FIELDS.values()):
                continue
            alive.add(latest.id)
            fresh = latest.id not in self._targets
            self._targets[latest.id] = Target(pod=pod, container=container, container_id=latest.id, pod_ip=pod_ip)
            if fresh:
                self._begin(container, latest, adopt)
        for key in [key for key in self._states if key[0] not in alive]:
            self._end(key)
        for container_id in [key for key in self._targets if key not in alive]:
            del self._targets[container_id]
        if self._pod_deleting:
            for key in [key for key in self._states if key[1] != "readiness"]:
                self._end(key, keep_result=True)

    def stop(self) -> None:
        for key in list(self._states):
            self._end(key)
        self._targets.clear()

    def results(self) -> ProbeResults:
        return ProbeResults({key: state.result for key, state in self._states.items() if state.result is not None})

    def _begin(self, container: PodContainer, latest: ContainerRecord, adopt: Mapping[str, Any] | None) -> None:
        before = _status_of(adopt, container.name, latest.id)
        for kind, field in FIELDS.items():
            spec = container.spec.get(field)
            if not spec:
                continue
            state = ProbeState(kind=kind, spec=spec)
            if before is not None and kind == "startup" and before.get("started"):
                state.result, state.on_hold = True, True
            if before is not None and kind == "readiness" and before.get("ready"):
                state.result = True
            self._states[latest.id, kind] = state
            age_s = self._clock.now() - latest.started_at_s
            spread_s = self._rng.random() * state.period_s if before is not None else 0.0
            self._schedule((latest.id, kind), max(state.initial_delay_s - age_s, spread_s))

    def _end(self, key: Key, *, keep_result: bool = False) -> None:
        """One that is under way runs to its end and is not listened to, as upstream's: giving a command up makes containerd 1.6
        deaf to all about the container for half a minute."""
        self._timers.cancel((id(self), key))
        state = self._states.get(key)
        if keep_result and state is not None:
            state.on_hold = True
        else:
            self._states.pop(key, None)

    def _schedule(self, key: Key, delay_s: float) -> None:
        self._timers.after((id(self), key), delay_s, lambda: self._fire(key))

    def _fire(self, key: Key) -> None:
        state, target = self._states.get(key), self._targets.get(key[0])
        if state is None or target is None or state.on_hold:
            return
        self._schedule(key, state.period_s)
        if key not in self._running and state.is_wanted(started=self._has_started(key[0], target)):
            self._running.add(key)
            self._spawn(self._probe(key, state, target), name=f"{state.kind}/{target.container.name}")

    def _has_started(self, container_id: str, target: Target) -> bool:
        if not target.container.spec.get("startupProbe"):
            return True
        state = self._states.get((container_id, "startup"))
        return state is not None and bool(state.result)

    async def _probe(self, key: Key, state: ProbeState, target: Target) -> None:
        try:
            outcome = Outcome(result="error")
            began_s = self._clock.monotonic()
            for _ in range(TRIES):
                outcome = await self._handlers.probe(target, state.spec)
                if outcome.result != "error" or self._is_over(key, state):
                    break
            if self._observe is not None:
                self._observe(target, state.kind, outcome, self._clock.monotonic() - began_s)
        finally:
            self._running.discard(key)
        if self._is_over(key, state):
            return
        self._say(state, target, outcome)
        if outcome.result != "error" and state.observe(outcome.result != "failure"):
            if state.kind == "startup" and state.result:
                self._start_others(key[0])
            self._changed(self.results())

    def _is_over(self, key: Key, state: ProbeState) -> bool:
        """Nobody wants to know any more."""
        return self._states.get(key) is not state or state.on_hold

    def _start_others(self, container_id: str) -> None:
        """The container has started: its other probes begin now rather than at their next tick."""
        others: tuple[ProbeKind, ...] = ("liveness", "readiness")
        for kind in others:
            if (container_id, kind) in self._states:
                self._schedule((container_id, kind), 0.0)

    def _say(self, state: ProbeState, target: Target, outcome: Outcome) -> None:
        kind = state.kind.capitalize()
        match outcome.result:
            case "failure":
                self._announce(target.container.name, "Unhealthy", f"{kind} probe failed: {outcome.output}")
            case "error":
                message = f"{kind} probe errored and resulted in unknown state: {outcome.output}"
                self._announce(target.container.name, "Unhealthy", message)
            case "warning":
                self._announce(target.container.name, "ProbeWarning", f"{kind} probe warning: {outcome.output}")


def _status_of(status: Mapping[str, Any] | None, name: str, container_id: str) -> Mapping[str, Any] | None:
    """What ``status`` says of this very run of the container."""
    if status is None:
        return None
    for field in ("containerStatuses", "initContainerStatuses"):
        for entry in status.get(field) or ():
            if entry["name"] == name and str(entry.get("containerID") or "").endswith(f"://{container_id}"):
                found: Mapping[str, Any] = entry
                return found
    return None
