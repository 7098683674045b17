"""Which resizes of one node's pods are granted, and when those that were not are tried again.

A resize is granted when the pod, resized, would be admitted beside what the node's other pods were granted. One that is
not granted is Deferred, and tried again when a pod goes, ends or shrinks, and every few minutes; or Infeasible, and tried
again when its spec changes (upstream's allocation manager). Of several, those that ask for no more than they have come
first, then those of higher priority, then Guaranteed ones, then those that have waited longest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.aio.timers import Timers
from steersman.kubelet.allocation import Allocation, actuated_of, allocation_of, pod_amounts, with_allocation
from steersman.kubelet.instructions import PodUpdated, Record
from steersman.kubelet.pod_conditions import PendingResize, resize_of
from steersman.kubelet.podspec import qos_class
from steersman.kubelet.resize_message import resize_message
from steersman.kubelet.resource_checkpoint import ResourceCheckpoints
from steersman.kubelet.status import Verdict
from steersman.meta import objects
from steersman.meta.objects import Object

FIRST_RETRY_S = 30.0
RETRY_S = 180.0
log = logging.getLogger(__name__)

Trigger = Literal["pod_resized", "pod_updated", "pods_removed", "pod_terminated", "periodic_retry"]
"""Why a resize that was not granted is looked at again, as upstream's metrics name it."""
Admit = Callable[[Object], Verdict | None]
"""Whether a pod fits on the node beside what its other pods were granted; None when it does."""
Refuse = Callable[[Object, Object], str]
"""Why this node can never resize a pod, desired and as granted, without starting it anew; empty when it can."""


def never_refused(desired: Object, granted: Object) -> str:
    return ""


class _Waiting(Struct):
    desired: Object
    since_s: float
    decision: PendingResize | None = None


class Allocations:
    """What the pods of one kubelet were granted. Bounded by the number of pods."""

    def __init__(
        self,
        checkpoints: ResourceCheckpoints,
        *,
        clock: Clock,
        timers: Timers,
        admit: Admit,
        tell: Callable[[str, PodUpdated], None],
        announce: Callable[[Object, Record], None],
        refuse: Refuse = never_refused,
        accepted: Callable[[Trigger], None] = lambda trigger: None,
    ) -> None:
        """``tell`` brings a decision to the pod's worker. ``accepted`` is told of each resize that was granted after it had
        been deferred what it was tried again for."""
        self._checkpoints = checkpoints
        self._clock = clock
        self._timers = timers
        self._admit = admit
        self._tell = tell
        self._announce = announce
        self._refuse = refuse
        self._accepted = accepted
        self._waiting: dict[str, _Waiting] = {}

    def first(self, pod: Object) -> Object:
        """A pod that this kubelet sees for the first time, with what an earlier kubelet granted it."""
        known = self._checkpoints.get(objects.uid(pod)).allocation
        return pod if known is None else with_allocation(pod, known)

    def grant(self, pod: Object) -> None:
        """``pod`` was admitted as it is."""
        self._store(objects.uid(pod), allocation_of(pod))

    def update(self, desired: Object) -> None:
        """The pod as its source has it now: tells its worker, and decides about a resize where it asks for one."""
        uid = objects.uid(desired)
        granted = self.first(desired)
        waiting = self._waiting.get(uid)
        if granted is desired:
            self._waiting.pop(uid, None)
            self._tell(uid, PodUpdated(pod=desired))
            return
        if waiting is None:
            waiting = self._waiting[uid] = _Waiting(desired, self._clock.now())
        generation_before = objects.generation(waiting.desired)
        waiting.desired = desired
        self._tell(uid, PodUpdated(pod=granted, pending=waiting.decision))
        if waiting.decision is None or objects.generation(desired) != generation_before:
            self._evaluate(uid, "pod_updated", first=True)

    def adopt(self, desired: Object) -> None:
        """A pod that ran before this kubelet did: what it waits for is decided when every other such pod is known."""
        uid = objects.uid(desired)
        granted = self.first(desired)
        decision = resize_of(desired.get("status") or {})[0]
        if granted is not desired:
            self._waiting[uid] = _Waiting(desired, self._clock.now(), decision)
            self._tell(uid, PodUpdated(pod=granted, pending=decision))
            self._timers.after(("resize", id(self)), 0.0, self._retry_by_time)

    def forget(self, uid: str) -> None:
        """The pod is gone, and what it had is free."""
        self._waiting.pop(uid, None)
        self._checkpoints.forget(uid)
        self.retry("pods_removed")

    def retry(self, trigger: Trigger) -> None:
        """Room may have become free."""
        for uid in sorted(self._waiting, key=self._rank):
            waiting = self._waiting.get(uid)
            if waiting is not None and (waiting.decision is None or waiting.decision.reason == "Deferred"):
                self._evaluate(uid, trigger)

    def _retry_by_time(self) -> None:
        self.retry("periodic_retry")

    def _rank(self, uid: str) -> tuple[bool, int, bool, float]:
        waiting = self._waiting[uid]
        before, wanted = pod_amounts(self.first(waiting.desired)), pod_amounts(waiting.desired)
        grows = (
            wanted.cpu_request_milli > before.cpu_request_milli
            or wanted.memory_request_bytes > before.memory_request_bytes
        )
        priority = int(waiting.desired["spec"].get("priority") or 0)
        return grows, -priority, qos_class(waiting.desired) != "Guaranteed", waiting.since_s

    def _evaluate(self, uid: str, trigger: Trigger, *, first: bool = False) -> None:
        waiting = self._waiting[uid]
        desired = waiting.desired
        granted = self.first(desired)
        decision = self._decide(desired, granted)
        if decision is None:
            if waiting.decision is not None and waiting.decision.reason == "Deferred":
                self._accepted(trigger)
            del self._waiting[uid]
            message = resize_message("Pod resize started", desired, objects.generation(desired))
            self._announce(desired, Record(type="Normal", reason="ResizeStarted", message=message))
            self._tell(uid, PodUpdated(pod=desired, granted=True))
            return
        before, waiting.decision = waiting.decision, decision
        if before is None or (before.reason, before.generation) != (decision.reason, decision.generation):
            prefix = f"Pod resize {decision.reason}"
            message = resize_message(prefix, desired, decision.generation, decision.message)
            self._announce(desired, Record(type="Warning", reason=f"Resize{decision.reason}", message=message))
        if decision != before:
            self._tell(uid, PodUpdated(pod=granted, pending=decision))
        if decision.reason == "Deferred":
            self._timers.after(("resize", id(self)), FIRST_RETRY_S if first else RETRY_S, self._retry_by_time)

    def _decide(self, desired: Object, granted: Object) -> PendingResize | None:
        generation = objects.generation(desired)
        refusal = self._refuse(desired, granted)
        if refusal:
            return PendingResize(reason="Infeasible", message=refusal, generation=generation)
        uid = objects.uid(desired)
        verdict = self._admit(desired)
        if verdict is not None:
            return PendingResize(reason="Deferred", message=verdict.message, generation=generation)
        try:
            if self._checkpoints.get(uid).actuated is None:
                self._checkpoints.set_actuated(uid, actuated_of(granted), as_granted=True)
            self._store(uid, allocation_of(desired))
        except OSError as error:
            log.warning("cannot write down what %s was granted: %s", objects.key_of(desired), error)
            return PendingResize(reason="Deferred", message=str(error), generation=generation)
        return None

    def _store(self, uid: str, allocation: Allocation) -> None:
        self._checkpoints.set_allocation(uid, allocation)
