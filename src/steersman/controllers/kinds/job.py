"""Job: pods that run to their end, counted exactly.

watches: Jobs; Pods, by controller.
owns: Pods, by the finalizer ``batch.kubernetes.io/job-tracking`` until they are counted.
writes: Pods (create, delete, adopt, release, remove the finalizer), Jobs/status, Events.
invariants: no pod is counted twice or lost, also when the controller dies between two writes; after the Job is finished
nothing is written; a Job that names another controller in spec.managedBy is left alone; pods of a Job that is gone lose the finalizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.client.informer import Change
from steersman.controllers import jobplan, jobpolicy
from steersman.controllers.adoption import Ownership, candidates, claims
from steersman.controllers.dependents import adopters_of, owners_of, selector_of
from steersman.controllers.jobplan import Creation, Event, Plan
from steersman.controllers.jobpolicy import TRACKING_FINALIZER, Backoff
from steersman.controllers.podcontrol import PodControl
from steersman.controllers.pods import by_controller
from steersman.controllers.podtemplate import pod_from
from steersman.controllers.runtime import (
    DONE,
    Context,
    Controller,
    Result,
    Watch,
    all_of,
    reconcile_log,
    slow_start,
)
from steersman.meta import objects, times
from steersman.meta.errors import APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import JOBS, PODS, Resource

NAME = "job-controller"
JOB_WATCH = Watch(resource=JOBS)
POD_WATCH = Watch(resource=PODS, indexers={"controller": by_controller})
WATCHES = (JOB_WATCH, POD_WATCH)

plan = jobplan.plan

MANAGED_BY = "kubernetes.io/job-controller"
BATCH_PERIOD_S = 1.0
"""Changes of pods within this time after a reconcile wait for its end, so that many make one."""
ORPHAN = "orphan/"
LONGEST_GENERATED_PREFIX = 58
log = reconcile_log(__name__)


class JobController:
    """Reconciles one Job by key, or one pod whose Job is gone by ``orphan/<key of the pod>``."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._jobs = context.informer(JOB_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._backoffs: dict[str, Backoff] = {}
        self._reconciled_s: dict[str, float] = {}
        self._control = PodControl(context, self._pods, JOBS)
        self._ownership = Ownership(
            client=context.client,
            owner_resource=JOBS,
            dependents=self._pods,
            expectations=context.expectations,
            finalizers=(TRACKING_FINALIZER,),
        )

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PODS:
            return self._concerned_by_pod(change)
        if change.new is None:
            return [change.key, *self._left_behind(change.object)]
        if change.old is not None and objects.uid(change.old) != objects.uid(change.new):
            self._forget(change.key)
        if jobpolicy.is_finished(change.new):
            return [change.key, *self._left_behind(change.new)]
        return (change.key,)

    def _left_behind(self, job: Object) -> Iterable[str]:
        """Pods that ``job`` does not count any more."""
        pods = self._pods.by_index("controller", objects.uid(job))
        return [ORPHAN + objects.key_of(pod) for pod in pods if jobpolicy.is_tracked(pod)]

    def _concerned_by_pod(self, change: Change) -> Iterable[str]:
        keys = []
        for key in owners_of(change, self._jobs):
            wait_s = self._reconciled_s.get(key, 0.0) + BATCH_PERIOD_S - self._context.clock.monotonic()
            if wait_s > 0 and change.type != "added":
                self._context.queue.add_after(key, wait_s)
            else:
                keys.append(key)
        if change.new is not None and self._is_orphan(change.new) and not self._may_be_adopted(change.new):
            keys.append(ORPHAN + change.key)
        return keys

    def _may_be_adopted(self, pod: Object) -> bool:
        return objects.controller_of(pod) is None and bool(adopters_of(pod, self._jobs))

    def _is_orphan(self, pod: Object) -> bool:
        """No Job counts ``pod``, which waits for one to do so."""
        reference = objects.controller_of(pod)
        if not jobpolicy.is_tracked(pod) or (reference is not None and reference["kind"] != JOBS.kind):
            return False
        if reference is None:
            return True
        job = self._jobs.get(objects.make_key(objects.namespace(pod), reference["name"]))
        if job is None or objects.uid(job) != reference["uid"]:
            return True
        return not _is_anothers(job) and jobpolicy.is_finished(job)

    def _forget(self, key: str) -> None:
        self._context.expectations.forget(key)
        self._backoffs.pop(key, None)
        self._reconciled_s.pop(key, None)

    async def reconcile(self, key: str) -> Result:
        if key.startswith(ORPHAN):
            return await self._release_orphan(key)
        job = self._jobs.get(key)
        if job is None:
            self._forget(key)
            return DONE
        if _is_anothers(job):
            return DONE
        selector = selector_of(job)
        if jobpolicy.is_finished(job) or selector is None:
            self._backoffs.pop(key, None)
            self._reconciled_s.pop(key, None)
            return DONE
        self._reconciled_s[key] = self._context.clock.monotonic()
        wanted = claims(job, selector, candidates(self._pods, job))
        pods = list(wanted.owned) if wanted.settled else await self._ownership.settle(key, job, wanted)
        if not selector.matches((job["spec"]["template"].get("metadata") or {}).get("labels")):
            log.warning("the selector of the job does not fit its own pods; nothing is done")
            return DONE
        now_s, backoff = self._context.clock.now(), self._backoffs.get(key, Backoff())
        todo = plan(job, pods, backoff, now_s)
        started: list[Object] = []
        stopped: dict[str, Object] = {}
        failure: APIError | None = None
        try:
            await self._start_and_stop(key, job, todo, started, stopped)
        except APIError as error:
            failure = error
            as_they_are = [stopped.get(objects.uid(pod), pod) for pod in pods] + started
            todo = plan(job, as_they_are, backoff, now_s, starts_and_stops=False)
        await self._count(key, job, todo)
        if failure is not None:
            raise failure
        return Result(requeue_after_s=todo.requeue_after_s)

    async def _start_and_stop(
        self, key: str, job: Object, todo: Plan, started: list[Object], stopped: dict[str, Object]
    ) -> None:
        """Delete and create pods; ``started`` and ``stopped`` (by uid, as the pod is now) say what was done before a failure."""
        await all_of(self._stop(key, job, pod, stopped, untrack=todo.untrack_deleted) for pod in todo.delete)
        if todo.create:

            async def create(number: int) -> None:
                created = await self._control.create_pod(key, pod_of(job, todo.create[number]), job)
                if created is not None:
                    started.append(created)

            await slow_start(len(todo.create), create)

    async def _count(self, key: str, job: Object, todo: Plan) -> None:
        """List ended pods in the status, let go of them, and count them."""
        self._record(job, todo.events)
        latest = job
        if todo.status is not None:
            latest = await self._report(key, job, todo.status)
        self._backoffs[key] = todo.backoff
        await all_of(self._untrack(key, pod) for pod in todo.untrack)
        if todo.counted is not None:
            await self._report(key, latest, todo.counted)
            self._record(job, todo.finished)

    async def _report(self, key: str, job: Object, wanted: Object) -> Object:
        body = {**job, "status": wanted["status"]}
        updated = await self._context.client.update(JOBS, body, subresource="status")
        self._context.expectations.wrote(key, self._jobs, updated)
        return updated

    async def _stop(self, key: str, job: Object, pod: Object, stopped: dict[str, Object], *, untrack: bool) -> None:
        if untrack:
            await self._untrack(key, pod)
        await self._control.delete(key, pod, job)
        going = objects.with_metadata(pod, deletionTimestamp=times.format_time(self._context.clock.now()))
        if untrack:
            left = [name for name in objects.finalizers(pod) if name != TRACKING_FINALIZER]
            going = objects.with_metadata(going, finalizers=left or None)
        stopped[objects.uid(pod)] = going

    async def _untrack(self, key: str, pod: Object) -> None:
        """Let go of ``pod``; whoever deletes it may now have it."""
        if not jobpolicy.is_tracked(pod):
            return
        patch = {"metadata": {"uid": objects.uid(pod), "$deleteFromPrimitiveList/finalizers": [TRACKING_FINALIZER]}}
        try:
            patched = await self._context.client.patch(
                PODS, objects.name(pod), patch, namespace=objects.namespace(pod), patch_type=STRATEGIC_MERGE_PATCH
            )
        except NotFound:
            return
        self._context.expectations.wrote(key, self._pods, patched)

    async def _release_orphan(self, key: str) -> Result:
        pod = self._pods.get(key.removeprefix(ORPHAN))
        if pod is None or not self._is_orphan(pod):
            return DONE
        reference = objects.controller_of(pod)
        if reference is not None:
            try:
                job = await self._context.client.get(JOBS, reference["name"], namespace=objects.namespace(pod))
            except NotFound:
                job = {}
            if objects.uid(job) == reference["uid"] and not jobpolicy.is_finished(job):
                return DONE
        await self._untrack(key, pod)
        return DONE

    def _record(self, job: Object, events: Sequence[Event]) -> None:
        for event in events:
            self._context.events.event(job, JOBS, type=event.type, reason=event.reason, message=event.message)


def _is_anothers(job: Object) -> bool:
    """Another controller than this one manages it."""
    return job["spec"].get("managedBy") not in (None, MANAGED_BY)


def pod_of(job: Object, creation: Creation) -> Object:
    """The pod to create: tracked, and with its completion index where it has one."""
    pod = pod_from(job["spec"]["template"], job, JOBS)
    metadata = pod["metadata"]
    metadata["finalizers"] = [
        *(name for name in metadata.get("finalizers") or () if name != TRACKING_FINALIZER),
        TRACKING_FINALIZER,
    ]
    if creation.index is None:
        return pod
    index, suffix = str(creation.index), f"-{creation.index}-"
    metadata["generateName"] = objects.name(job)[: LONGEST_GENERATED_PREFIX - len(suffix)] + suffix
    metadata["labels"] = {**(metadata.get("labels") or {}), jobpolicy.COMPLETION_INDEX: index}
    annotations = {**(metadata.get("annotations") or {}), jobpolicy.COMPLETION_INDEX: index}
    if job["spec"].get("backoffLimitPerIndex") is not None:
        counted, ignored = jobpolicy.next_failure_counts(job, creation.replaces)
        annotations[jobpolicy.FAILURE_COUNT] = str(counted)
        if ignored:
            annotations[jobpolicy.IGNORED_FAILURE_COUNT] = str(ignored)
    metadata["annotations"] = annotations
    spec = {**pod["spec"], "hostname": f"{objects.name(job)}-{index}"}
    for field in ("initContainers", "containers"):
        if spec.get(field):
            spec[field] = [_with_index_variable(container) for container in spec[field]]
    return {**pod, "spec": spec}


def _with_index_variable(container: Object) -> Object:
    variables = container.get("env") or []
    if any(entry["name"] == "JOB_COMPLETION_INDEX" for entry in variables):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{jobpolicy.COMPLETION_INDEX}']"}}
    return {**container, "env": [*variables, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]}


def _conforms(context: Context) -> Controller:
    return JobController(context)
