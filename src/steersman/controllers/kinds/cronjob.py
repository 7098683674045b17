"""CronJob: makes Jobs at the times of a schedule.

watches: CronJobs; Jobs, by controller.
owns: Jobs.
writes: Jobs (create, delete), CronJobs/status, Events.
invariants: one Job for a scheduled time, by its name; of many missed times only the last is made up for; Forbid and Replace
never let two Jobs of one CronJob run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Literal

from msgspec import Struct, field

from steersman.client.informer import Change
from steersman.controllers.cron import Schedule, ScheduleError, UnknownTimeZone, parse_schedule, zone_of
from steersman.controllers.jobpolicy import is_finished
from steersman.controllers.podcontrol import namespace_is_terminating
from steersman.controllers.pods import by_controller, created_s
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, times
from steersman.meta.errors import AlreadyExists, APIError, Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CRONJOBS, JOBS, Resource

NAME = "cronjob-controller"
CRONJOB_WATCH = Watch(resource=CRONJOBS)
JOB_WATCH = Watch(resource=JOBS, indexers={"controller": by_controller})
WATCHES = (CRONJOB_WATCH, JOB_WATCH)

SCHEDULED_ANNOTATION = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY_MISSED = 100
DELTA_S = 0.1
"""Look a little after the time, never before it."""


class Event(Struct, frozen=True, kw_only=True):
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Plan(Struct, frozen=True, kw_only=True):
    """Writes in the order of the fields; ``status`` is what it is without ``create``."""

    delete: Sequence[Object] = ()
    create: Object | None = None
    serves: str = ""
    """The ``lastScheduleTime`` once ``create`` is there."""
    status: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Event] = ()
    requeue_after_s: float | None = None


def plan(cronjob: Object, jobs: Sequence[Object], now_s: float) -> Plan:
    """``jobs`` are those that ``cronjob`` controls."""
    return _Planner(cronjob, jobs, now_s).plan()


class _Planner(Struct):
    cronjob: Object
    jobs: Sequence[Object]
    now_s: float
    status: Object = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    delete: dict[str, Object] = field(default_factory=dict)
    create: Object | None = None
    serves: str = ""

    def plan(self) -> Plan:
        self.status = {**(self.cronjob.get("status") or {})}
        self.status["active"] = [*(self.status.get("active") or [])]
        self._follow_jobs()
        wait_s = None
        if not objects.is_deleting(self.cronjob):
            wait_s = self._schedule()
            self._forget_old()
        gone = set(self.delete)
        self.status["active"] = [entry for entry in self.status["active"] if entry["uid"] not in gone]
        if not self.status["active"]:
            del self.status["active"]
        return Plan(
            delete=[*self.delete.values()],
            create=self.create,
            serves=self.serves,
            status=self.status,
            events=self.events,
            requeue_after_s=wait_s,
        )

    def _follow_jobs(self) -> None:
        """What became of the Jobs that were active."""
        listed = {entry["uid"] for entry in self.status["active"]}
        present = {objects.uid(job) for job in self.jobs}
        for job in self.jobs:
            uid, name = objects.uid(job), objects.name(job)
            if not is_finished(job):
                if uid not in listed and not self._is_ours(job):
                    text = f"Saw a job that the controller did not create or forgot: {name}"
                    self._event("Warning", "UnexpectedJob", text)
                continue
            kind = "Complete" if objects.is_true(job, "Complete") else "Failed"
            if uid in listed:
                self._drop(uid)
                self._event("Normal", "SawCompletedJob", f"Saw completed job: {name}, condition: {kind}")
            done = (job.get("status") or {}).get("completionTime")
            if kind == "Complete" and done and done > (self.status.get("lastSuccessfulTime") or ""):
                self.status["lastSuccessfulTime"] = done
        for entry in [*self.status["active"]]:
            if entry["uid"] not in present:
                self._drop(entry["uid"])
                self._event("Normal", "MissingJob", f"Active job went missing: {entry['name']}")

    def _is_ours(self, job: Object) -> bool:
        """Made for a scheduled time: its status was not written before the controller stopped."""
        return SCHEDULED_ANNOTATION in objects.annotations(job)

    def _drop(self, uid: str) -> None:
        self.status["active"] = [entry for entry in self.status["active"] if entry["uid"] != uid]

    def _schedule(self) -> float | None:
        spec = self.cronjob["spec"]
        try:
            zone_of(spec.get("timeZone") or "")
        except UnknownTimeZone as error:
            self._event("Warning", "UnknownTimeZone", f'invalid timeZone: "{spec["timeZone"]}": {error}')
            return None
        if spec.get("suspend"):
            return None
        if "TZ" in spec["schedule"]:
            text = f'CRON_TZ or TZ used in schedule "{spec["schedule"]}" is not officially supported, see '
            text += "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            self._event("Warning", "UnsupportedSchedule", text)
        try:
            schedule = parse_schedule(spec["schedule"], spec.get("timeZone") or "")
        except (ScheduleError, UnknownTimeZone) as error:
            self._event("Warning", "UnparseableSchedule", f'unparseable schedule: "{spec["schedule"]}" : {error}')
            return None
        if schedule.next_s(self.now_s) is None:
            why = "time difference between two schedules is less than 1 second"
            self._event("Warning", "InvalidSchedule", f"invalid schedule: {spec['schedule']} : {why}")
            return None
        due_s = self._due_s(schedule)
        if due_s is not None:
            self._start(due_s)
        return self._wait_s(schedule)

    def _due_s(self, schedule: Schedule) -> float | None:
        """The last scheduled time that has come and has not been served."""
        earliest_s = self._earliest_s()
        deadline_s = self.cronjob["spec"].get("startingDeadlineSeconds")
        if deadline_s is not None:
            earliest_s = max(earliest_s, self.now_s - deadline_s)
        found, missed = _last_before(schedule, earliest_s, self.now_s)
        if found is not None and missed > MANY_MISSED:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._event("Warning", "TooManyMissedTimes", text)
        return found

    def _earliest_s(self) -> float:
        last = self.status.get("lastScheduleTime")
        return times.parse_time(last) if last else created_s(self.cronjob)

    def _start(self, due_s: float) -> None:
        spec = self.cronjob["spec"]
        deadline_s = spec.get("startingDeadlineSeconds")
        if deadline_s is not None and due_s + deadline_s < self.now_s:
            moment = format_datetime(datetime.fromtimestamp(due_s, zone_of("")))
            self._event("Warning", "MissSchedule", f"Missed scheduled time to start a job: {moment}")
            return
        name = job_name(self.cronjob, due_s)
        there = next((job for job in self.jobs if objects.name(job) == name), None)
        if there is not None:
            self.status["lastScheduleTime"] = times.format_time(due_s)
            if not is_finished(there) and objects.uid(there) not in {e["uid"] for e in self.status["active"]}:
                self.status["active"].append(reference_to(there))
            return
        if self.status["active"]:
            if spec.get("concurrencyPolicy") == "Forbid":
                text = "Not starting job because prior execution is running and concurrency policy is Forbid"
                self._event("Normal", "JobAlreadyActive", text)
                return
            if spec.get("concurrencyPolicy") == "Replace":
                listed = {entry["uid"] for entry in self.status["active"]}
                self.delete |= {objects.uid(job): job for job in self.jobs if objects.uid(job) in listed}
        self.create = make_job(self.cronjob, due_s)
        self.serves = times.format_time(due_s)

    def _wait_s(self, schedule: Schedule) -> float | None:
        found, _ = _last_before(schedule, self._earliest_s(), self.now_s)
        next_s = schedule.next_s(found if found is not None else max(self._earliest_s(), self.now_s))
        return None if next_s is None else max(next_s + DELTA_S - self.now_s, DELTA_S)

    def _forget_old(self) -> None:
        """Delete the oldest finished Jobs beyond the history limits."""
        spec = self.cronjob["spec"]
        for kind, field_name, default in (
            ("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1),
        ):  # fmt: skip
            limit = spec.get(field_name, default)
            ended = [job for job in self.jobs if objects.is_true(job, kind) and not objects.is_deleting(job)]
            ended.sort(key=lambda job: ((job.get("status") or {}).get("startTime") or "9", objects.name(job)))
            for job in ended[: max(len(ended) - limit, 0)]:
                self.delete[objects.uid(job)] = job

    def _event(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self.events.append(Event(type=kind, reason=reason, message=message))


def _last_before(schedule: Schedule, earliest_s: float, now_s: float) -> tuple[float | None, int]:
    """(the last time after ``earliest_s`` and not after ``now_s``, about how many there were)."""
    first = schedule.next_s(earliest_s)
    second = schedule.next_s(first) if first is not None else None
    if first is None or now_s < first:
        return None, 0
    if second is None or now_s < second:
        return first, 1
    distance_s = max(second - first, 1.0)
    missed = int((now_s - first) // distance_s) + 1
    last, candidate = first, schedule.next_s(first + (missed - 2) * distance_s)
    while candidate is not None and candidate <= now_s:
        last, candidate = candidate, schedule.next_s(candidate)
    return last, missed


def job_name(cronjob: Object, due_s: float) -> str:
    return f"{objects.name(cronjob)}-{int(due_s) // 60}"


def make_job(cronjob: Object, due_s: float) -> Object:
    """The Job for one scheduled time."""
    template = cronjob["spec"]["jobTemplate"]
    zone = zone_of(cronjob["spec"].get("timeZone") or "")
    local = datetime.fromtimestamp(due_s, zone).isoformat().replace("+00:00", "Z")
    metadata: Object = {
        "name": job_name(cronjob, due_s),
        "namespace": objects.namespace(cronjob),
        "annotations": {**objects.annotations(template), SCHEDULED_ANNOTATION: local},
        "ownerReferences": [objects.controller_reference(cronjob, CRONJOBS)],
    }
    if objects.labels(template):
        metadata["labels"] = dict(objects.labels(template))
    return {"apiVersion": JOBS.api_version, "kind": JOBS.kind, "metadata": metadata, "spec": template["spec"]}


def reference_to(job: Object) -> Object:
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "name": objects.name(job),
        "namespace": objects.namespace(job),
        "resourceVersion": objects.resource_version(job),
        "uid": objects.uid(job),
    }


class CronJobController:
    """Reconciles one CronJob by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cronjobs = context.informer(CRONJOB_WATCH)
        self._jobs = context.informer(JOB_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is JOBS:
            reference = objects.controller_of(change.object)
            if reference is None or reference["kind"] != CRONJOBS.kind:
                return ()
            return (objects.make_key(objects.namespace(change.object), reference["name"]),)
        if change.old is not None and change.new is not None and objects.uid(change.old) != objects.uid(change.new):
            self._context.expectations.forget(change.key)
        return (change.key,)

    async def reconcile(self, key: str) -> Result:
        cronjob = self._cronjobs.get(key)
        if cronjob is None:
            self._context.expectations.forget(key)
            return DONE
        jobs = self._jobs.by_index("controller", objects.uid(cronjob))
        todo = plan(cronjob, jobs, self._context.clock.now())
        for event in todo.events:
            self._event(cronjob, event.type, event.reason, event.message)
        status = dict(todo.status)
        failure: APIError | None = None
        try:
            for job in todo.delete:
                await self._delete(key, cronjob, job)
            if todo.create is not None and (created := await self._create(key, cronjob, todo.create)) is not None:
                status["active"] = [*(status.get("active") or []), reference_to(created)]
                status["lastScheduleTime"] = todo.serves
        except APIError as error:
            failure = error
        if status != (cronjob.get("status") or {}):
            updated = await self._context.client.update(CRONJOBS, {**cronjob, "status": status}, subresource="status")
            self._context.expectations.wrote(key, self._cronjobs, updated)
        if failure is not None:
            raise failure
        return Result(requeue_after_s=todo.requeue_after_s)

    async def _create(self, key: str, cronjob: Object, job: Object) -> Object | None:
        """None where nothing can be created: the namespace goes, or the name is another's."""
        try:
            created = await self._context.client.create(JOBS, job)
        except AlreadyExists:
            there = await self._context.client.get(JOBS, objects.name(job), namespace=objects.namespace(job))
            return there if objects.is_controlled_by(there, cronjob) else None
        except APIError as error:
            if namespace_is_terminating(error):
                return None
            self._event(cronjob, "Warning", "FailedCreate", f"Error creating job: {error.message}")
            raise
        self._context.expectations.wrote(key, self._jobs, created)
        self._event(cronjob, "Normal", "SuccessfulCreate", f"Created job {objects.name(created)}")
        return created

    async def _delete(self, key: str, cronjob: Object, job: Object) -> None:
        try:
            await self._context.client.delete(
                JOBS, objects.name(job), namespace=objects.namespace(job), uid=objects.uid(job),
                propagation="Background",
            )  # fmt: skip
        except (NotFound, Conflict):
            return
        except APIError as error:
            self._event(cronjob, "Warning", "FailedDelete", f"Deleted job: {error.message}")
            raise
        self._context.expectations.deleted(key, self._jobs, job)
        self._event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {objects.name(job)}")

    def _event(self, cronjob: Object, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._context.events.event(cronjob, CRONJOBS, type=kind, reason=reason, message=message)


def _conforms(context: Context) -> Controller:
    return CronJobController(context)
