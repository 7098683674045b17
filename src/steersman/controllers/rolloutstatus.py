"""The status of a Deployment during one reconcile: what its ReplicaSets add up to, and how its rollout gets on.

Source: the Deployment page of the Kubernetes documentation; reasons and messages are those that kubectl and people read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steersman.controllers import rollout
from steersman.controllers.conditions import find, without
from steersman.meta import objects, times
from steersman.meta.objects import Object

COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


@dataclass(slots=True)
class RolloutStatus:
    """Begins as the Deployment has it; ``value`` is what it is to be."""

    deployment: Object
    now_s: float
    value: Object = field(init=False)

    def __post_init__(self) -> None:
        self.value = {**(self.deployment.get("status") or {})}

    @property
    def is_changed(self) -> bool:
        return not same_status(self.deployment.get("status") or {}, self.value)

    def count(self, new: Object | None, old: Sequence[Object]) -> None:
        """The counts of ``status`` and its Available condition."""
        every = [*old, new] if new is not None else old
        wanted = rollout.replicas_of(self.deployment)
        available = sum(rollout.status_count(rs, "availableReplicas") for rs in every)
        asked = sum(map(rollout.replicas_of, every))
        counts = (
            sum(rollout.status_count(rs, "replicas") for rs in every),
            rollout.status_count(new, "replicas") if new is not None else 0,
            sum(rollout.status_count(rs, "readyReplicas") for rs in every),
            available,
            max(asked - available, 0),
        )
        status: Object = {"observedGeneration": objects.generation(self.deployment)}
        status |= {name: count for name, count in zip(COUNTS, counts, strict=True) if count}
        terminating = _terminating(every)
        if terminating is not None:
            status["terminatingReplicas"] = terminating
        for kept in ("collisionCount", "conditions"):
            if self.value.get(kept) is not None:
                status[kept] = self.value[kept]
        self.value = status
        if available >= wanted - rollout.max_unavailable(self.deployment):
            text = "Deployment has minimum availability."
            self.set_condition("Available", "True", "MinimumReplicasAvailable", text)
        else:
            text = "Deployment does not have minimum availability."
            self.set_condition("Available", "False", "MinimumReplicasUnavailable", text)

    def report_progress(self, new: Object | None, old: Sequence[Object]) -> None:
        """``count`` and the Progressing and ReplicaFailure conditions."""
        before = {**self.value, "conditions": [*(self.value.get("conditions") or [])]}
        self.count(new, old)
        deadline_s = rollout.deadline_s(self.deployment)
        current = find(before["conditions"], "Progressing")
        if deadline_s is None:
            self._drop_condition("Progressing")
        elif not self._was_complete(current):
            self._note_progress(before, new, deadline_s)
        failures = [
            failure
            for rs in (*([new] if new is not None else []), *old)
            if (failure := objects.condition(rs, "ReplicaFailure")) is not None
        ]
        if failures:
            first = failures[0]
            since = first.get("lastTransitionTime")
            self.set_condition(
                "ReplicaFailure", first["status"], first.get("reason", ""), first.get("message", ""), since=since
            )
        else:
            self._drop_condition("ReplicaFailure")

    def _note_progress(self, before: Object, new: Object | None, deadline_s: int) -> None:
        current = find(before["conditions"], "Progressing")
        subject = f'ReplicaSet "{objects.name(new)}"' if new is not None else ""
        subject = subject or f'Deployment "{objects.name(self.deployment)}"'
        if rollout.is_complete(self.deployment, self.value):
            text = f"{subject} has successfully progressed."
            self.set_condition("Progressing", "True", "NewReplicaSetAvailable", text)
        elif _progressed(before, self.value):
            since = current["lastTransitionTime"] if current is not None and current["status"] == "True" else None
            self._drop_condition("Progressing")
            text = f"{subject} is progressing."
            self.set_condition("Progressing", "True", "ReplicaSetUpdated", text, transition=since)
        elif _timed_out(self.condition("Progressing"), deadline_s, self.now_s):
            text = f"{subject} has timed out progressing."
            self.set_condition("Progressing", "False", "ProgressDeadlineExceeded", text)

    def _was_complete(self, current: Object | None) -> bool:
        """Finished before, and nothing but the new ReplicaSet's pods is there: a replica that dies is no rollout."""
        return (
            (self.value.get("replicas") or 0) == (self.value.get("updatedReplicas") or 0)
            and current is not None
            and current.get("reason") == "NewReplicaSetAvailable"
        )

    def progress_check_s(self) -> float | None:
        """When to look whether the deadline has passed; no event tells of it."""
        deadline_s, current = rollout.deadline_s(self.deployment), self.condition("Progressing")
        if deadline_s is None or current is None or current.get("reason") == "ProgressDeadlineExceeded":
            return None
        if rollout.is_complete(self.deployment, self.value) or self.deployment["spec"].get("paused"):
            return None
        if current.get("reason") == "NewReplicaSetAvailable":
            return None
        updated = current.get("lastUpdateTime") or current.get("lastTransitionTime")
        left_s = times.parse_time(updated) + deadline_s - self.now_s if updated else 0.0
        return max(left_s, 0.0) + 1.0

    def condition(self, kind: str) -> Object | None:
        return find(self.value.get("conditions") or [], kind)

    def _drop_condition(self, kind: str) -> None:
        left = without(self.value.get("conditions") or [], kind)
        self.value = {**self.value, "conditions": left}
        if not left:
            del self.value["conditions"]

    def set_condition(
        self,
        kind: str,
        status: str,
        reason: str,
        message: str,
        *,
        transition: str | None = None,
        since: str | None = None,
    ) -> None:
        """Nothing changes where status and reason are already so. ``since`` sets both times, ``transition`` that one."""
        old = self.condition(kind)
        if old is not None and old["status"] == status and old.get("reason") == reason:
            return
        now = since or times.format_time(self.now_s)
        if transition is None and old is not None and old["status"] == status:
            transition = old.get("lastTransitionTime")
        entry = {
            "type": kind,
            "status": status,
            "lastUpdateTime": now,
            "lastTransitionTime": transition or now,
            "reason": reason,
            "message": message,
        }
        self.value = {**self.value, "conditions": [*without(self.value.get("conditions") or [], kind), entry]}


def _terminating(replicasets: Iterable[Object]) -> int | None:
    """None while a ReplicaSet that has been observed does not say how many of its pods are terminating."""
    total = 0
    for rs in replicasets:
        status = rs.get("status") or {}
        if "terminatingReplicas" in status:
            total += status["terminatingReplicas"]
        elif status.get("observedGeneration"):
            return None
    return total


def _progressed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    def count(status: Mapping[str, Any], name: str) -> int:
        return int(status.get(name) or 0)

    old_before = count(before, "replicas") - count(before, "updatedReplicas")
    old_after = count(after, "replicas") - count(after, "updatedReplicas")
    return old_after < old_before or any(
        count(after, name) > count(before, name) for name in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )


def _timed_out(condition: Object | None, deadline_s: int, now_s: float) -> bool:
    if condition is None or condition.get("reason") == "NewReplicaSetAvailable":
        return False
    if condition.get("reason") == "ProgressDeadlineExceeded":
        return True
    updated: str | None = condition.get("lastUpdateTime")
    return updated is not None and times.parse_time(updated) + deadline_s < now_s


def same_status(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    plain = {*old, *new} - {"conditions", "terminatingReplicas", "collisionCount"}
    return (
        all((old.get(name) or 0) == (new.get(name) or 0) for name in plain)
        and all(old.get(name) == new.get(name) for name in ("terminatingReplicas", "collisionCount"))
        and (old.get("conditions") or []) == (new.get("conditions") or [])
    )


def with_failed_creation(deployment: Object, message: str, now_s: float) -> Object | None:
    """``deployment`` whose Progressing condition says that its ReplicaSet could not be created; None where it says so."""
    if rollout.deadline_s(deployment) is None:
        return None
    status = RolloutStatus(deployment, now_s)
    status.set_condition("Progressing", "False", "ReplicaSetCreateError", message)
    return {**deployment, "status": status.value} if status.is_changed else None
