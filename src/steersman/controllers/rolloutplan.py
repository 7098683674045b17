"""What one reconcile of a Deployment does, as a value: rolling update, Recreate, pause, resize, undo, history, status.

Source: the Deployment page of the Kubernetes documentation; reasons and messages are those that kubectl and people read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from steersman.controllers import rollout
from steersman.controllers.dependents import selector_of
from steersman.controllers.pods import is_finished
from steersman.controllers.podtemplate import POD_TEMPLATE_HASH, equal_without_hash
from steersman.controllers.rolloutstatus import RolloutStatus
from steersman.meta import objects
from steersman.meta.objects import Object


class Event(Struct, frozen=True, kw_only=True):
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Resize(Struct, frozen=True, kw_only=True):
    """A ReplicaSet as it is to be, and the events to record once it is so: one for each step of its size."""

    replicaset: Object
    events: Sequence[Event] = ()


class Plan(Struct, frozen=True, kw_only=True):
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
    return _Planner(deployment, replicasets, pods, now_s, RolloutStatus(deployment, now_s)).plan()


class _Planner(Struct):
    """One pass; holds the Deployment's status and the ReplicaSets as they will be."""

    deployment: Object
    replicasets: Sequence[Object]
    pods: Mapping[str, Sequence[Object]]
    now_s: float
    status: RolloutStatus
    annotations: dict[str, str] = field(default_factory=dict)
    new: Object | None = None
    old: list[Object] = field(default_factory=list)
    create: Object | None = None
    resized: dict[str, Resize] = field(default_factory=dict)
    delete: list[Object] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def plan(self) -> Plan:
        self.annotations = {**objects.annotations(self.deployment)}
        self.new = rollout.new_replicaset(self.deployment, self.replicasets)
        self.old = [rs for rs in rollout.by_creation(self.replicasets) if rs is not self.new]
        if objects.is_deleting(self.deployment):
            self._update_new()
            self.status.count(self.new, self.old)
            return self._done()
        self._note_pause()
        if self.deployment["spec"].get("paused"):
            self._update_new()
            self._scale()
            self._clean_up()
            self.status.count(self.new, self.old)
            return self._done()
        if rollout.ROLLBACK_TO in self.annotations and self.annotations[rollout.ROLLBACK_TO].isdecimal():
            return self._undo(int(self.annotations[rollout.ROLLBACK_TO]))
        if self._is_resized():
            self._update_new()
            self._scale()
            self.status.count(self.new, self.old)
            return self._done()
        if rollout.is_rolling(self.deployment):
            self._roll()
        else:
            self._recreate()
        return self._done()

    def _done(self) -> Plan:
        changed = objects.with_metadata(self.deployment, annotations=self.annotations or None)
        changed = {**changed, "status": self.status.value}
        is_same = self.annotations == objects.annotations(self.deployment) and not self.status.is_changed
        return Plan(
            create=self.create,
            resize=[*self.resized.values()],
            delete=self.delete,
            status=None if is_same else changed,
            events=self.events,
            requeue_after_s=self.status.progress_check_s(),
        )

    def _all(self) -> list[Object]:
        return [*self.old, self.new] if self.new is not None else self.old

    def _active_old(self) -> list[Object]:
        return [rs for rs in self.old if rollout.replicas_of(rs)]

    def _note_pause(self) -> None:
        """A pause stops the progress deadline; resuming starts it anew."""
        current = self.status.condition("Progressing")
        if rollout.deadline_s(self.deployment) is None or (
            current is not None and current.get("reason") == "ProgressDeadlineExceeded"
        ):
            return
        is_paused = bool(self.deployment["spec"].get("paused"))
        is_noted = current is not None and current.get("reason") == "DeploymentPaused"
        if is_paused and not is_noted:
            self.status.set_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        elif not is_paused and is_noted:
            self.status.set_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")

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
            if has_deadline and self.status.condition("Progressing") is None:
                name = objects.name(self.new)
                self.status.set_condition(
                    "Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{name}"'
                )
        elif create:
            self.create = self.new = rollout.make_replicaset(self.deployment, self.old, revision)
            name, size = objects.name(self.new), rollout.replicas_of(self.new)
            if size:
                self._event("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}")
            self.annotations[rollout.REVISION] = str(revision)
            if has_deadline:
                self.status.set_condition(
                    "Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"'
                )

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
        self.status.report_progress(self.new, self.old)

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
        self.status.report_progress(self.new, self.old)

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

    def _is_complete(self) -> bool:
        return rollout.is_complete(self.deployment, self.deployment.get("status") or {})

    def _event(self, reason: str, message: str) -> None:
        self.events.append(Event(type="Normal", reason=reason, message=message))


def warning(reason: str, message: str) -> Event:
    return Event(type="Warning", reason=reason, message=message)
