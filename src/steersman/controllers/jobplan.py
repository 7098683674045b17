"""What one reconcile of a Job does, as a value.

A pod is counted exactly once: while it carries the tracking finalizer it cannot vanish; it is first listed in
``status.uncountedTerminatedPods``, then its finalizer is removed, then it moves from the list into the counts. Indexed Jobs
count succeeded pods by index instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from steersman.controllers import jobpolicy
from steersman.controllers.conditions import find
from steersman.controllers.jobindexes import Indexes
from steersman.controllers.jobpolicy import Backoff
from steersman.controllers.pods import deletion_order, finished_s, is_active, is_ready, is_terminating, phase
from steersman.meta import objects, times
from steersman.meta.objects import Object

MOST_UNCOUNTED = 500
MOST_WRITES = 500
SUCCESS = "SuccessCriteriaMet"
FAILURE = "FailureTarget"


class Event(Struct, frozen=True, kw_only=True):
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Creation(Struct, frozen=True, kw_only=True):
    """One pod to create; ``index`` and the pod that it replaces where the Job is indexed."""

    index: int | None = None
    replaces: Object | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """Writes in the order of the fields. Counts of pods in the statuses assume that ``delete`` and ``create`` succeed."""

    delete: Sequence[Object] = ()
    untrack_deleted: bool = False
    """Remove the finalizer before deleting: these pods are not to be counted."""
    create: Sequence[Creation] = ()
    status: Object | None = None
    untrack: Sequence[Object] = ()
    counted: Object | None = None
    """The status once ``untrack`` is done, where that differs."""
    events: Sequence[Event] = ()
    finished: Sequence[Event] = ()
    """Recorded once ``counted`` is stored."""
    backoff: Backoff = field(default_factory=Backoff)
    requeue_after_s: float | None = None


def plan(job: Object, pods: Sequence[Object], backoff: Backoff, now_s: float, *, starts_and_stops: bool = True) -> Plan:
    """What to do about ``job``, which controls ``pods`` (ended ones too). ``backoff`` is the record of earlier reconciles.

    Without ``starts_and_stops`` pods are only counted: the server refused to create or delete some. The Job then does not end
    while any is active.
    """
    return _Planner(job, pods, backoff, now_s, starts_and_stops).plan()


class _Planner(Struct):
    """One pass over one Job; ``status`` is changed step by step."""

    job: Object
    pods: Sequence[Object]
    backoff: Backoff
    now_s: float
    starts_and_stops: bool
    status: Object = field(default_factory=dict)
    conditions: list[Object] = field(default_factory=list)
    verdict: Object | None = None
    """The condition that says how the Job ends, once that is known."""
    active: list[Object] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    succeeded_before: Indexes = field(default_factory=Indexes)
    succeeded_indexes: Indexes = field(default_factory=Indexes)
    failed_indexes: Indexes | None = None
    delayed: dict[int, Object] = field(default_factory=dict)
    """Per index the failed pod that stays tracked until it is replaced: its annotations count the index's failures."""
    delete: list[Object] = field(default_factory=list)
    untrack_deleted: bool = False
    create: list[Creation] = field(default_factory=list)
    untrack: list[Object] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    wake_s: list[float] = field(default_factory=list)

    @property
    def spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.job["spec"]
        return spec

    def plan(self) -> Plan:
        self._begin()
        self._count_ended()
        self._judge()
        if self.spec.get("completionMode") == "Indexed":
            self._judge_indexes()
        if self.verdict is None:
            self._manage()
        elif self.starts_and_stops:
            self.delete = list(self.active)
        elif self.active:
            self.verdict = None
        self._count_running()
        self._clean_uncounted({objects.uid(pod) for pod in self.pods if jobpolicy.is_tracked(pod)})
        overflow = self._list_ended()
        self._announce()
        first = self._snapshot()
        gone = {objects.uid(pod) for pod in self.untrack}
        self._clean_uncounted({objects.uid(pod) for pod in self.pods if jobpolicy.is_tracked(pod)} - gone)
        finished = self._finish() if not overflow else []
        second = self._snapshot()
        old = self.job.get("status") or {}
        return Plan(
            delete=self.delete,
            untrack_deleted=self.untrack_deleted,
            create=self.create,
            status=None if same_status(old, first) else {**self.job, "status": first},
            untrack=self.untrack,
            counted=None if same_status(first, second) else {**self.job, "status": second},
            events=self.events,
            finished=finished,
            backoff=self.backoff,
            requeue_after_s=min(self.wake_s, default=None),
        )

    def _begin(self) -> None:
        self.status = {**(self.job.get("status") or {})}
        self.conditions = [*(self.status.get("conditions") or [])]
        uncounted = self.status.get("uncountedTerminatedPods") or {}
        self.status["uncountedTerminatedPods"] = {key: [*uids] for key, uids in uncounted.items() if uids}
        self.active = [pod for pod in self.pods if is_active(pod)]
        if not self.status.get("startTime") and not jobpolicy.is_suspended(self.job):
            self.status["startTime"] = times.format_time(self.now_s)

    def _uncounted(self, kind: str) -> list[str]:
        uids: list[str] = self.status["uncountedTerminatedPods"].get(kind) or []
        return uids

    def _valid(self, pod: Object) -> bool:
        """Pods of an Indexed Job count only with an index that it has."""
        if not jobpolicy.is_indexed(self.job):
            return True
        index = jobpolicy.index_of(pod)
        return index is not None and index < (self.spec.get("completions") or 0)

    def _count_ended(self) -> None:
        known = {kind: set(self._uncounted(kind)) for kind in ("succeeded", "failed")}
        tracked = [pod for pod in self.pods if jobpolicy.is_tracked(pod) and self._valid(pod)]
        succeeded = [p for p in tracked if phase(p) == "Succeeded" and objects.uid(p) not in known["succeeded"]]
        failed = [p for p in tracked if jobpolicy.has_failed(p, self.job) and objects.uid(p) not in known["failed"]]
        counting = [pod for pod in failed if jobpolicy.verdict(self.job, pod).counts]
        self.succeeded = (self.status.get("succeeded") or 0) + len(succeeded) + len(known["succeeded"])
        self.failed = (self.status.get("failed") or 0) + len(counting) + len(known["failed"])
        self.backoff = self.backoff.after(succeeded, failed)

    def _judge(self) -> None:
        """Has the Job failed, or met its success policy before?"""
        met = find(self.conditions, SUCCESS)
        if met is not None and met["status"] == "True":
            self.verdict = met
            return
        target = find(self.conditions, FAILURE)
        if target is not None and target["status"] == "True":
            self.verdict = self._condition("Failed", target.get("reason", ""), target.get("message", ""))
            return
        for pod in self.pods:
            if self.spec.get("podFailurePolicy") is None:
                break
            if jobpolicy.has_failed(pod, self.job) and (text := jobpolicy.verdict(self.job, pod).fails_job):
                self.verdict = self._condition(FAILURE, "PodFailurePolicy", text)
                return
        limit = self.spec.get("backoffLimit", 6)
        if self.failed > limit or jobpolicy.restarts_exceed_limit(self.job, self.pods):
            self._fail("BackoffLimitExceeded", "Job has reached the specified backoff limit")
            return
        self._judge_deadline()

    def _judge_deadline(self) -> None:
        deadline_s, started = self.spec.get("activeDeadlineSeconds"), self.status.get("startTime")
        if deadline_s is None or not started or jobpolicy.is_suspended(self.job):
            return
        left_s = times.parse_time(started) + deadline_s - self.now_s
        if left_s <= 0:
            self._fail("DeadlineExceeded", "Job was active longer than specified deadline")
        else:
            self.wake_s.append(left_s)

    def _judge_indexes(self) -> None:
        completions = self.spec.get("completions") or 0
        ended = [pod for pod in self.pods if jobpolicy.is_tracked(pod) and self._valid(pod)]
        self.succeeded_before = Indexes.parse(self.status.get("completedIndexes"), completions)
        self.succeeded_indexes = self.succeeded_before | Indexes.of(
            index for pod in ended if phase(pod) == "Succeeded" and (index := jobpolicy.index_of(pod)) is not None
        )
        self.succeeded = len(self.succeeded_indexes)
        if self.spec.get("backoffLimitPerIndex") is not None:
            self.failed_indexes = Indexes.parse(self.status.get("failedIndexes"), completions) | Indexes.of(
                index
                for pod in ended
                if jobpolicy.index_has_failed(self.job, pod) and (index := jobpolicy.index_of(pod)) is not None
            )
            if self.verdict is None:
                self._judge_failed_indexes(completions)
            self._find_delayed(ended)
        if self.verdict is None:
            text = jobpolicy.success_rule(self.job, self.succeeded_indexes)
            if text is not None:
                self.verdict = self._condition(SUCCESS, "SuccessPolicy", text)

    def _judge_failed_indexes(self, completions: int) -> None:
        assert self.failed_indexes is not None
        most, count = self.spec.get("maxFailedIndexes"), len(self.failed_indexes)
        if most is not None and count > most:
            self._fail("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
        elif count and count + len(self.succeeded_indexes) >= completions:
            self._fail("FailedIndexes", "Job has failed indexes")

    def _find_delayed(self, ended: Iterable[Object]) -> None:
        assert self.failed_indexes is not None
        running = {jobpolicy.index_of(pod) for pod in self.active}
        for pod in ended:
            index = jobpolicy.index_of(pod)
            if index is None or not jobpolicy.has_failed(pod, self.job) or index in running:
                continue
            if index in self.succeeded_indexes or index in self.failed_indexes:
                continue
            last = self.delayed.get(index)
            if last is None or (
                jobpolicy.index_failures(pod) >= jobpolicy.index_failures(last) and finished_s(pod) >= finished_s(last)
            ):
                self.delayed[index] = pod

    def _manage(self) -> None:
        """No verdict: start and stop pods, and see whether everything is done."""
        if self.starts_and_stops and not objects.is_deleting(self.job):
            self._resize()
        completions = self.spec.get("completions")
        running = len(self.active) - len(self.delete) + len(self.create)
        is_done = self.succeeded > 0 if completions is None else self.succeeded >= completions
        if is_done and not running:
            text = "Reached expected number of succeeded pods"
            self.verdict = self._condition(SUCCESS, "CompletionsReached", text)
        elif not objects.is_deleting(self.job):
            self._note_suspension()

    def _resize(self) -> None:
        if jobpolicy.is_suspended(self.job):
            self._remove(len(self.active))
            return
        completions, parallelism = self.spec.get("completions"), self.spec.get("parallelism", 1)
        if completions is None:
            wanted = len(self.active) if self.succeeded else parallelism
        else:
            wanted = max(min(completions - self.succeeded, parallelism), 0)
        self._remove(max(len(self.active) - wanted, 0))
        if self.delete:
            return
        ending = 0
        if jobpolicy.replaces_only_failed(self.job):
            ending = sum(map(is_terminating, self.pods))
        missing = wanted - ending - len(self.active)
        if missing > 0:
            self._add(min(missing, MOST_WRITES))

    def _remove(self, at_least: int) -> None:
        surplus, rest = self._duplicates() if jobpolicy.is_indexed(self.job) else ([], self.active)
        if len(surplus) < at_least:
            surplus = [*surplus, *deletion_order(rest, by_cost=False)[: at_least - len(surplus)]]
        limit = len(surplus) if jobpolicy.is_suspended(self.job) else MOST_WRITES
        self.delete, self.untrack_deleted = surplus[:limit], True

    def _duplicates(self) -> tuple[list[Object], list[Object]]:
        """(active pods beyond one for each index, or with an index that the Job has not; the others)."""
        surplus, rest, per_index = [], [], dict[int, list[Object]]()
        for pod in self.active:
            index = jobpolicy.index_of(pod)
            if index is None or not self._valid(pod):
                surplus.append(pod)
            else:
                per_index.setdefault(index, []).append(pod)
        for index in sorted(per_index):
            *others, kept = deletion_order(per_index[index], by_cost=False)
            surplus += others
            rest.append(kept)
        return surplus, rest

    def _add(self, count: int) -> None:
        per_index = self.spec.get("backoffLimitPerIndex") is not None
        if not per_index:
            wait_s = self.backoff.left_s(self.now_s)
            if wait_s > 0:
                self.wake_s.append(wait_s)
                return
        if not jobpolicy.is_indexed(self.job):
            self.create = [Creation()] * count
            return
        waits = []
        for index in self._pending(count):
            replaced = self.delayed.get(index)
            wait_s = jobpolicy.index_backoff_left_s(replaced, self.now_s) if per_index else 0.0
            if wait_s > 0:
                waits.append(wait_s)
            else:
                self.create.append(Creation(index=index, replaces=replaced))
        self.wake_s += waits

    def _pending(self, count: int) -> list[int]:
        """The lowest indexes that neither run nor have ended for good."""
        busy = [index for pod in self.active if (index := jobpolicy.index_of(pod)) is not None]
        if jobpolicy.replaces_only_failed(self.job):
            busy += [
                index for pod in self.pods if is_terminating(pod) and (index := jobpolicy.index_of(pod)) is not None
            ]
        taken = self.succeeded_indexes | Indexes.of(busy)
        if self.failed_indexes is not None:
            taken = taken | self.failed_indexes
        return [index for index, _ in zip(taken.missing(self.spec.get("completions") or 0), range(count), strict=False)]

    def _note_suspension(self) -> None:
        if jobpolicy.is_suspended(self.job):
            if self._set("Suspended", "True", "JobSuspended", "Job suspended"):
                self.status.pop("startTime", None)
                self.events.append(Event(type="Normal", reason="Suspended", message="Job suspended"))
        elif self._set("Suspended", "False", "JobResumed", "Job resumed"):
            self.status["startTime"] = times.format_time(self.now_s)
            self.events.append(Event(type="Normal", reason="Resumed", message="Job resumed"))

    def _count_running(self) -> None:
        removed_ready = sum(map(is_ready, self.delete))
        self.status["active"] = len(self.active) - len(self.delete) + len(self.create)
        self.status["ready"] = sum(map(is_ready, self.active)) - removed_ready
        self.status["terminating"] = sum(map(is_terminating, self.pods)) + len(self.delete)

    def _clean_uncounted(self, tracked: set[str]) -> None:
        """What was listed and is tracked no more has been counted."""
        for kind in ("succeeded", "failed"):
            listed = self._uncounted(kind)
            left = [uid for uid in listed if uid in tracked]
            if len(left) < len(listed):
                self.status[kind] = (self.status.get(kind) or 0) + len(listed) - len(left)
                uncounted = {key: uids for key, uids in self.status["uncountedTerminatedPods"].items() if key != kind}
                self.status["uncountedTerminatedPods"] = uncounted | ({kind: left} if left else {})

    def _list_ended(self) -> bool:
        """List pods that ended, to be untracked next. True where there are more than one reconcile may list."""
        deleted = {objects.uid(pod) for pod in self.delete} if self.untrack_deleted else set()
        uncounted = {kind: [*self._uncounted(kind)] for kind in ("succeeded", "failed")}
        listed = {kind: set(uids) for kind, uids in uncounted.items()}
        new_indexes: list[int] = []
        overflow = False
        ordered = self.pods
        if jobpolicy.is_indexed(self.job):
            ordered = sorted(self.pods, key=lambda pod: -1 if (i := jobpolicy.index_of(pod)) is None else i)
        for pod in ordered:
            uid = objects.uid(pod)
            if not jobpolicy.is_tracked(pod) or uid in deleted or not self._may_untrack(pod):
                continue
            self.untrack.append(pod)
            if phase(pod) == "Succeeded" and uid not in listed["failed"]:
                if jobpolicy.is_indexed(self.job):
                    index = jobpolicy.index_of(pod)
                    if index is not None and self._valid(pod) and index not in self.succeeded_before:
                        new_indexes.append(index)
                elif uid not in listed["succeeded"]:
                    uncounted["succeeded"].append(uid)
            elif self._counts_as_failed(pod) and uid not in listed["failed"]:
                uncounted["failed"].append(uid)
            if len(new_indexes) + sum(map(len, uncounted.values())) >= MOST_UNCOUNTED:
                overflow = True
                break
        self.status["uncountedTerminatedPods"] = {kind: uids for kind, uids in uncounted.items() if uids}
        if jobpolicy.is_indexed(self.job):
            self.succeeded_indexes = self.succeeded_before | Indexes.of(new_indexes)
            self.status["succeeded"] = len(self.succeeded_indexes)
            self.status["completedIndexes"] = str(self.succeeded_indexes)
            if self.failed_indexes is not None:
                self.status["failedIndexes"] = str(self.failed_indexes)
        return overflow

    def _may_untrack(self, pod: Object) -> bool:
        if objects.is_deleting(self.job) or self.verdict is not None or phase(pod) == "Succeeded":
            return True
        if not jobpolicy.has_failed(pod, self.job):
            return False
        index = jobpolicy.index_of(pod)
        return index is None or self.delayed.get(index) is not pod

    def _counts_as_failed(self, pod: Object) -> bool:
        ends_badly = self.verdict is not None and self.verdict["type"] != SUCCESS
        if not (jobpolicy.has_failed(pod, self.job) or ends_badly) or not self._valid(pod):
            return False
        return jobpolicy.verdict(self.job, pod).counts

    def _announce(self) -> None:
        """Say how the Job is going to end before its last pods are gone."""
        if self.verdict is None:
            return
        if self.verdict["type"] == FAILURE:
            self.conditions.append(self.verdict)
            self.verdict = self._condition("Failed", self.verdict["reason"], self.verdict["message"])
        elif self.verdict["type"] == SUCCESS:
            if find(self.conditions, SUCCESS) is None:
                self.conditions.append(self.verdict)
            self.verdict = self._condition("Complete", self.verdict.get("reason", ""), self.verdict.get("message", ""))

    def _finish(self) -> list[Event]:
        """The terminal condition, once every pod is counted and none is terminating."""
        if self.verdict is None or self._uncounted("succeeded") or self._uncounted("failed"):
            return []
        if self.status["terminating"]:
            return []
        kind, reason, text = self.verdict["type"], self.verdict.get("reason", ""), self.verdict.get("message", "")
        self._set(kind, "True", reason, text)
        if kind == "Failed":
            return [Event(type="Warning", reason=reason, message=text)]
        self.status["completionTime"] = times.format_time(self.now_s)
        done = [Event(type="Normal", reason="Completed", message="Job completed")]
        completions = self.spec.get("completions")
        if completions is not None and (self.status.get("succeeded") or 0) > completions:
            text = "Too many succeeded pods running after completion count reached"
            return [Event(type="Warning", reason="TooManySucceededPods", message=text), *done]
        return done

    def _fail(self, reason: str, message: str) -> None:
        self.verdict = self._condition(FAILURE, reason, message)

    def _condition(self, kind: str, reason: str, message: str, status: str = "True") -> Object:
        now = times.format_time(self.now_s)
        entry = {"type": kind, "status": status, "lastProbeTime": now, "lastTransitionTime": now}
        return entry | {key: text for key, text in (("reason", reason), ("message", message)) if text}

    def _set(self, kind: str, status: str, reason: str, message: str) -> bool:
        """Whether anything changed. A condition that was never there need not be False."""
        old = find(self.conditions, kind)
        if old is None and status == "False":
            return False
        if old is not None and (old["status"], old.get("reason", ""), old.get("message", "")) == (
            status, reason, message,
        ):  # fmt: skip
            return False
        entry = self._condition(kind, reason, message, status)
        self.conditions = [entry if found is old else found for found in self.conditions]
        if old is None:
            self.conditions.append(entry)
        return True

    def _snapshot(self) -> Object:
        status = {key: value for key, value in self.status.items() if key not in ("conditions", *_OMITTED_IF_EMPTY)}
        status |= {key: self.status[key] for key in _OMITTED_IF_EMPTY if self.status.get(key)}
        return status | ({"conditions": [*self.conditions]} if self.conditions else {})


_OMITTED_IF_EMPTY = ("active", "succeeded", "failed", "completedIndexes")


def same_status(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Nothing to write: equal, where absent and empty are the same."""
    fields = {*old, *new} - {"uncountedTerminatedPods"}
    same_lists = (old.get("uncountedTerminatedPods") or {}) == (new.get("uncountedTerminatedPods") or {})
    return same_lists and all((old.get(name) or None) == (new.get(name) or None) for name in fields)
