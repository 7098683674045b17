"""TTL after finished: deletes Jobs some time after they ended.

watches: Jobs.
owns: nothing.
writes: Jobs (delete, foreground).
invariants: a Job is deleted only when the server itself says that it has ended so long ago, and only that very Job.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.jobpolicy import is_finished
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, times
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import JOBS, Resource

NAME = "ttl-after-finished-controller"
JOB_WATCH = Watch(resource=JOBS)
WATCHES = (JOB_WATCH,)


class Plan(Struct, frozen=True, kw_only=True):
    """When the Job goes, epoch seconds; None: never, as far as is known."""

    delete_at_s: float | None = None


def plan(job: Object) -> Plan:
    ttl_s = job["spec"].get("ttlSecondsAfterFinished")
    if ttl_s is None or objects.is_deleting(job) or not is_finished(job):
        return Plan()
    ended = objects.condition(job, "Complete" if objects.is_true(job, "Complete") else "Failed") or {}
    return Plan(delete_at_s=times.parse_time(ended["lastTransitionTime"]) + ttl_s)


class TTLAfterFinishedController:
    """Reconciles one Job by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._jobs = context.informer(JOB_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return (change.key,) if change.new is not None and plan(change.new).delete_at_s is not None else ()

    async def reconcile(self, key: str) -> Result:
        job = self._jobs.get(key)
        if job is None:
            self._context.expectations.forget(key)
            return DONE
        wait_s = self._wait_s(job)
        if wait_s is None or wait_s > 0:
            return Result(requeue_after_s=wait_s)
        namespace, name = objects.split_key(key)
        try:
            fresh = await self._context.client.get(JOBS, name, namespace=namespace)
            wait_s = self._wait_s(fresh)
            if wait_s is None or wait_s > 0:
                return Result(requeue_after_s=wait_s)
            await self._context.client.delete(
                JOBS, name, namespace=namespace, propagation="Foreground", uid=objects.uid(fresh),
                resource_version=objects.resource_version(fresh),
            )  # fmt: skip
        except NotFound:
            return DONE
        except Conflict:
            return Result(requeue_after_s=1.0)
        self._context.expectations.deleted(key, self._jobs, job)
        return DONE

    def _wait_s(self, job: Object) -> float | None:
        due_s = plan(job).delete_at_s
        return None if due_s is None else due_s - self._context.clock.now()


def _conforms(context: Context) -> Controller:
    return TTLAfterFinishedController(context)
