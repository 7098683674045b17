"""What one reconcile of a Deployment does, as a value: rolling update, Recreate, pause, resize, undo, history, status.

Source: the Deployment page of the Kubernetes documentation; reasons and messages are those that kubectl and people read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from steersman.controllers import rollout
from steersman.controllers.conditions import find, without
from steersman.controllers.dependents import selector_of
from steersman.controllers.pods import is_finished
from steersman.controllers.podtemplate import POD_TEMPLATE_HASH, equal_without_hash
from steersman.meta import objects, times
from steersman.meta.objects import Object

COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """A ReplicaSet as it is to be, and the events to record once it is so: one for each step of its size."""

    replicaset: Object
    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The writes of one reconcile, made in the order of the fields."""

    undo: Object | None = None
    """The Deployment with an older template; nothing else is done then."""
    create: Object | None = None
    resize: Sequence[Resize] = ()
    delete: Sequence[Object] = ()
    status: Object | None = None
    """The Deployment with its new status, where that changes."""
    events: Sequence[Event] = ()
    requeue_after_s: float | None = None


def plan(deployment: Object, replicasets: Sequence[Object], pods: Mapping[str, Sequence[Object]], now_s: float) -> Plan:
    """What to do about ``deployment``, which controls ``replicasets``; ``pods`` are theirs, by uid (needed for Recreate)."""
    selector = selector_of(deployment)
    if selector is None or selector.is_everything:
        refusal = Event(
            type="Warning",
            reason="SelectingAll",
            message="This deployment is selecting all pods. A non-empty selector is required.",
        )
        status = {**(deployment.get("status") or {}), "observedGeneration": objects.generation(deployment)}
        changed = status != (deployment.get("status") or {})
        return Plan(events=[refusal], status={**deployment, "status": status} if changed else None)
    return _Planner(deployment, replicasets, pods, now_s).plan()


@dataclass(slots=True)
class _Planner:
    """One pass; holds the Deployment's status and the ReplicaSets as they will be."""

    deployment: Object
    replicasets: Sequence[Object]
    pods: Mapping[str, Sequence[Object]]
    now_s: float
    status: Object = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    new: Object | None = None
    old: list[Object] = field(default_factory=list)
    create: Object | None = None
    resized: dict[str, Resize] = field(default_factory=dict)
    delete: list[Object] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def plan(self) -> Plan:
        self.status = {**(self.deployment.get("status") or {})}
        self.annotations = {**objects.annotations(self.deployment)}
        self.new = rollout.new_replicaset(self.deployment, self.replicasets)
        self.old = [rs for rs in rollout.by_creation(self.replicasets) if rs is not self.new]
        if objects.is_deleting(self.deployment):
            self._update_new()
            self._count()
            return self._done()
        self._note_pause()
        if self.deployment["spec"].get("paused"):
            self._update_new()
            self._scale()
            self._clean_up()
            self._count()
            return self._done()
        if rollout.ROLLBACK_TO in self.annotations and self.annotations[rollout.ROLLBACK_TO].isdecimal():
            return self._undo(int(self.annotations[rollout.ROLLBACK_TO]))
        if self._is_resized():
            self._update_new()
            self._scale()
            self._count()
            return self._done()
        if rollout.is_rolling(self.deployment):
            self._roll()
        else:
            self._recreate()
        return self._done()

    def _done(self) -> Plan:
        changed = objects.with_metadata(self.deployment, annotations=self.annotations or None)
        changed = {**changed, "status": self.status}
        is_same = self.annotations == objects.annotations(self.deployment) and same_status(
            self.deployment.get("status") or {}, self.status
        )
        return Plan(
            create=self.create,
            resize=[*self.resized.values()],
            delete=self.delete,
            status=None if is_same else changed,
            events=self.events,
            requeue_after_s=self._progress_check_s(),
        )

    def _all(self) -> list[Object]:
        return [*self.old, self.new] if self.new is not None else self.old

    def _active_old(self) -> list[Object]:
        return [rs for rs in self.old if rollout.replicas_of(rs)]

    def _note_pause(self) -> None:
        """A pause stops the progress deadline; resuming starts it anew."""
        current = self._condition("Progressing")
        if rollout.deadline_s(self.deployment) is None or (
            current is not None and current.get("reason") == "ProgressDeadlineExceeded"
        ):
            return
        is_paused = bool(self.deployment["spec"].get("paused"))
        is_noted = current is not None and current.get("reason") == "DeploymentPaused"
        if is_paused and not is_noted:
            self._set_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        elif not is_paused and is_noted:
            self._set_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")

    def _update_new(self, *, create: bool = False) -> None:
        """Bring the new ReplicaSet's annotations and minReadySeconds up to date, or make it."""
        revision = max(map(rollout.revision_of, self.old), default=0) + 1
        has_deadline = rollout.deadline_s(self.deployment) is not None
        if self.new is not None:
            changed = rollout.with_revision(self.deployment, self.new, revision)
            min_ready_s = self.deployment["spec"].get("minReadySeconds") or 0
            if (changed["spec"].get("minReadySeconds") or 0) != min_ready_s:
                changed = {**changed, "spec": {**changed["spec"], "minReadySeconds": min_ready_s}}
            self._replace(self.new, changed)
            self.annotations[rollout.REVISION] = objects.annotations(changed).get(rollout.REVISION, "")
            if has_deadline and self._condition("Progressing") is None:
                name = objects.name(self.new)
                self._set_condition("Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{name}"')
        elif create:
            self.create = self.new = rollout.make_replicaset(self.deployment, self.old, revision)
            name, size = objects.name(self.new), rollout.replicas_of(self.new)
            if size:
                self._event("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}")
            self.annotations[rollout.REVISION] = str(revision)
            if has_deadline:
                self._set_condition("Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')

    def _is_resized(self) -> bool:
        wanted = rollout.replicas_of(self.deployment)
        return any(
            rollout.size_annotation(rs, rollout.DESIRED_REPLICAS) not in (None, wanted)
            for rs in self._all()
            if rollout.replicas_of(rs)
        )

    def _scale(self) -> None:
        """The Deployment's size changed: give it to the only active ReplicaSet, or share it out."""
        wanted = rollout.replicas_of(self.deployment)
        active = [rs for rs in self._all() if rollout.replicas_of(rs)]
        if len(active) <= 1 and self._all():
            only = active[0] if active else self.new if self.new is not None else self.old[-1]
            if rollout.replicas_of(only) != wanted:
                self._resize(only, wanted)
            return
        if rollout.is_saturated(self.deployment, self.new):
            for rs in self._active_old():
                self._resize(rs, 0)
        elif rollout.is_rolling(self.deployment):
            sizes = rollout.proportional_sizes(self.deployment, active)
            for rs in active:
                self._resize(rs, sizes[objects.name(rs)])

    def _roll(self) -> None:
        self._update_new(create=True)
        assert self.new is not None
        wanted, size = rollout.replicas_of(self.deployment), rollout.replicas_of(self.new)
        is_scaled = False
        if self.create is None and size != wanted:
            target = wanted if size > wanted else rollout.new_size(self.deployment, self._all(), self.new)
            is_scaled = target != size
            if is_scaled:
                self._resize(self.new, target)
        if not is_scaled and not self._shrink_old() and self._is_complete():
            self._clean_up()
        self._report_progress()

    def _shrink_old(self) -> bool:
        """Take unhealthy old replicas away first, then healthy ones as far as availability allows."""
        assert self.new is not None
        least = rollout.replicas_of(self.deployment) - rollout.max_unavailable(self.deployment)
        not_yet = rollout.replicas_of(self.new) - rollout.status_count(self.new, "availableReplicas")
        room = sum(map(rollout.replicas_of, self._all())) - least - not_yet
        if not self._active_old() or room <= 0:
            return False
        cleaned = 0
        for rs in self._active_old():
            size, available = rollout.replicas_of(rs), rollout.status_count(rs, "availableReplicas")
            take = min(room - cleaned, size - available)
            if take > 0:
                self._resize(rs, size - take)
                cleaned += take
        spare = sum(rollout.status_count(rs, "availableReplicas") for rs in self._all()) - least
        taken = 0
        for rs in self._active_old():
            take = min(rollout.replicas_of(rs), spare - taken)
            if take > 0:
                self._resize(rs, rollout.replicas_of(rs) - take)
                taken += take
        return cleaned + taken > 0

    def _recreate(self) -> None:
        self._update_new()
        active = self._active_old()
        for rs in active:
            self._resize(rs, 0)
        if not active and not self._old_pods_may_run():
            if self.new is None:
                self._update_new(create=True)
            elif rollout.replicas_of(self.new) != rollout.replicas_of(self.deployment):
                self._resize(self.new, rollout.replicas_of(self.deployment))
            if self._is_complete():
                self._clean_up()
        self._report_progress()

    def _old_pods_may_run(self) -> bool:
        if any(rollout.status_count(rs, "replicas") for rs in self.old):
            return True
        new_uid = objects.uid(self.new) if self.new is not None else ""
        return any(not is_finished(pod) for uid, found in self.pods.items() if uid != new_uid for pod in found)

    def _undo(self, revision: int) -> Plan:
        """The annotation of the extensions/v1beta1 API: put an older template back and remove the annotation."""
        annotations = {key: text for key, text in self.annotations.items() if key != rollout.ROLLBACK_TO}
        deployment = objects.with_metadata(self.deployment, annotations=annotations)
        name = objects.name(deployment)
        every = self._all()
        wanted = revision or rollout.last_revision(every)
        target = next((rs for rs in every if wanted and rollout.revision_of(rs) == wanted), None)
        if target is None:
            text = "Unable to find the revision to rollback to." if wanted else "Unable to find last revision."
            return Plan(undo=deployment, events=[warning("DeploymentRollbackRevisionNotFound", text)])
        if equal_without_hash(deployment["spec"]["template"], target["spec"]["template"]):
            text = f'The rollback revision contains the same template as current deployment "{name}"'
            return Plan(undo=deployment, events=[warning("DeploymentRollbackTemplateUnchanged", text)])
        template = target["spec"]["template"]
        labels = {key: text for key, text in template["metadata"].get("labels", {}).items() if key != POD_TEMPLATE_HASH}
        template = {**template, "metadata": {**template["metadata"], "labels": labels}}
        kept = {key: text for key, text in annotations.items() if key in rollout.NOT_COPIED}
        kept |= {key: text for key, text in objects.annotations(target).items() if key not in rollout.NOT_COPIED}
        deployment = objects.with_metadata(deployment, annotations=kept)
        deployment = {**deployment, "spec": {**deployment["spec"], "template": template}}
        text = f'Rolled back deployment "{name}" to revision {wanted}'
        return Plan(undo=deployment, events=[Event(type="Normal", reason="DeploymentRollback", message=text)])

    def _clean_up(self) -> None:
        """Delete the oldest empty ReplicaSets beyond the history limit."""
        limit = self.deployment["spec"].get("revisionHistoryLimit")
        if limit is None or limit == rollout.NO_DEADLINE:
            return
        alive = [rs for rs in self.old if not objects.is_deleting(rs)]
        for rs in sorted(alive, key=rollout.revision_of)[: max(len(alive) - limit, 0)]:
            is_observed = rollout.status_count(rs, "observedGeneration") >= objects.generation(rs)
            if not rollout.replicas_of(rs) and not rollout.status_count(rs, "replicas") and is_observed:
                self.delete.append(rs)

    def _resize(self, rs: Object, size: int) -> None:
        before = rollout.replicas_of(rs)
        changed = rs if before == size else {**rs, "spec": {**rs["spec"], "replicas": size}}
        event = None
        if before != size:
            verb = "up" if before < size else "down"
            text = f"Scaled {verb} replica set {objects.name(rs)} from {before} to {size}"
            event = Event(type="Normal", reason="ScalingReplicaSet", message=text)
        self._replace(rs, rollout.with_size_annotations(self.deployment, changed), event)

    def _replace(self, rs: Object, changed: Object, event: Event | None = None) -> None:
        if changed is rs:
            return
        if rs is self.new:
            self.new = changed
        else:
            self.old = [changed if entry is rs else entry for entry in self.old]
        earlier = self.resized.get(objects.uid(rs))
        events = [*(earlier.events if earlier is not None else ()), *([event] if event is not None else ())]
        self.resized[objects.uid(rs)] = Resize(replicaset=changed, events=events)

    def _count(self) -> None:
        """The counts of ``status`` and its Available condition."""
        every, wanted = self._all(), rollout.replicas_of(self.deployment)
        available = sum(rollout.status_count(rs, "availableReplicas") for rs in every)
        asked = sum(map(rollout.replicas_of, every))
        counts = (
            sum(rollout.status_count(rs, "replicas") for rs in every),
            rollout.status_count(self.new, "replicas") if self.new is not None else 0,
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
            if self.status.get(kept) is not None:
                status[kept] = self.status[kept]
        self.status = status
        if available >= wanted - rollout.max_unavailable(self.deployment):
            text = "Deployment has minimum availability."
            self._set_condition("Available", "True", "MinimumReplicasAvailable", text)
        else:
            text = "Deployment does not have minimum availability."
            self._set_condition("Available", "False", "MinimumReplicasUnavailable", text)

    def _report_progress(self) -> None:
        """``_count`` and the Progressing and ReplicaFailure conditions."""
        before = {**self.status, "conditions": [*(self.status.get("conditions") or [])]}
        self._count()
        deadline_s = rollout.deadline_s(self.deployment)
        current = find(before["conditions"], "Progressing")
        if deadline_s is None:
            self._drop_condition("Progressing")
        elif not self._was_complete(current):
            self._note_progress(before, current, deadline_s)
        failures = [
            failure
            for rs in ([self.new] if self.new is not None else []) + self.old
            if (failure := objects.condition(rs, "ReplicaFailure")) is not None
        ]
        if failures:
            first = failures[0]
            since = first.get("lastTransitionTime")
            self._set_condition(
                "ReplicaFailure", first["status"], first.get("reason", ""), first.get("message", ""), since=since
            )
        else:
            self._drop_condition("ReplicaFailure")

    def _note_progress(self, before: Object, current: Object | None, deadline_s: int) -> None:
        subject = f'ReplicaSet "{objects.name(self.new)}"' if self.new is not None else ""
        subject = subject or f'Deployment "{objects.name(self.deployment)}"'
        if rollout.is_complete(self.deployment, self.status):
            text = f"{subject} has successfully progressed."
            self._set_condition("Progressing", "True", "NewReplicaSetAvailable", text)
        elif _progressed(before, self.status):
            since = current["lastTransitionTime"] if current is not None and current["status"] == "True" else None
            self._drop_condition("Progressing")
            text = f"{subject} is progressing."
            self._set_condition("Progressing", "True", "ReplicaSetUpdated", text, transition=since)
        elif _timed_out(self._condition("Progressing"), deadline_s, self.now_s):
            text = f"{subject} has timed out progressing."
            self._set_condition("Progressing", "False", "ProgressDeadlineExceeded", text)

    def _was_complete(self, current: Object | None) -> bool:
        """Finished before, and nothing but the new ReplicaSet's pods is there: a replica that dies is no rollout."""
        return (
            (self.status.get("replicas") or 0) == (self.status.get("updatedReplicas") or 0)
            and current is not None
            and current.get("reason") == "NewReplicaSetAvailable"
        )

    def _is_complete(self) -> bool:
        return rollout.is_complete(self.deployment, self.deployment.get("status") or {})

    def _progress_check_s(self) -> float | None:
        """When to look whether the deadline has passed; no event tells of it."""
        deadline_s, current = rollout.deadline_s(self.deployment), self._condition("Progressing")
        if deadline_s is None or current is None or current.get("reason") == "ProgressDeadlineExceeded":
            return None
        if rollout.is_complete(self.deployment, self.status) or self.deployment["spec"].get("paused"):
            return None
        if current.get("reason") == "NewReplicaSetAvailable":
            return None
        updated = current.get("lastUpdateTime") or current.get("lastTransitionTime")
        left_s = times.parse_time(updated) + deadline_s - self.now_s if updated else 0.0
        return max(left_s, 0.0) + 1.0

    def _condition(self, kind: str) -> Object | None:
        return find(self.status.get("conditions") or [], kind)

    def _drop_condition(self, kind: str) -> None:
        left = without(self.status.get("conditions") or [], kind)
        self.status = {**self.status, "conditions": left}
        if not left:
            del self.status["conditions"]

    def _set_condition(
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
        old = self._condition(kind)
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
        self.status = {**self.status, "conditions": [*without(self.status.get("conditions") or [], kind), entry]}

    def _event(self, reason: str, message: str) -> None:
        self.events.append(Event(type="Normal", reason=reason, message=message))


def warning(reason: str, message: str) -> Event:
    return Event(type="Warning", reason=reason, message=message)


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
    planner = _Planner(deployment, (), {}, now_s, {**(deployment.get("status") or {})})
    planner._set_condition("Progressing", "False", "ReplicaSetCreateError", message)
    if same_status(deployment.get("status") or {}, planner.status):
        return None
    return {**deployment, "status": planner.status}
