"""Carrying out what plugins ask for, step by step (``framework.Errand``)."""

from __future__ import annotations

from typing import Any

from steersman.aio.clock import Clock
from steersman.client.api import STRATEGIC_MERGE_PATCH, Client
from steersman.client.eventseries import SeriesRecorder
from steersman.client.transport import Unreachable
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.resources import PODS
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.framework import Announce, CurrentTime, Errand, Read, Step, Until, Write
from steersman.scheduler.pod_info import PodInfo


class Messenger:
    """Does the steps of errands against the API."""

    def __init__(self, client: Client, cluster: Cluster, recorder: SeriesRecorder, clock: Clock) -> None:
        self._client = client
        self._cluster = cluster
        self._recorder = recorder
        self._clock = clock

    async def run(self, errand: Errand, pod: PodInfo) -> None:
        """The whole errand, on behalf of ``pod``. Raises what the errand raises: ``ErrandFailed``, and failures of steps
        (``APIError``, ``Unreachable``, ``TimeoutError``) that it does not deal with."""
        answer: Any = None
        failure: Exception | None = None
        while True:
            try:
                step = errand.send(answer) if failure is None else errand.throw(failure)
            except StopIteration:
                return
            answer, failure = None, None
            try:
                answer = await self._do(step, pod)
            except (APIError, Unreachable, TimeoutError) as error:
                failure = error

    async def _do(self, step: Step, pod: PodInfo) -> Any:
        match step:
            case Write():
                return await self._write(step)
            case Read():
                return await self._client.get(step.resource, step.name, namespace=step.namespace)
            case Until():
                return await self._clock.wait_for(self._wait(step), step.timeout_s)
            case CurrentTime():
                return self._clock.now()
            case Announce():
                self._recorder.event(
                    pod.obj, PODS, controller=pod.scheduler_name, type="Normal", reason=step.reason,
                    action="Scheduling", message=step.message,
                )  # fmt: skip
                return None

    async def _write(self, step: Write) -> Any:
        match step.verb:
            case "create":
                return await self._client.create(step.resource, step.obj)
            case "update":
                return await self._client.update(step.resource, step.obj, subresource=step.subresource)
            case "patch":
                return await self._client.patch(
                    step.resource,
                    objects.name(step.obj),
                    step.obj,
                    namespace=objects.namespace(step.obj),
                    subresource=step.subresource,
                    patch_type=STRATEGIC_MERGE_PATCH,
                )
            case "delete":
                return await self._client.delete(
                    step.resource, objects.name(step.obj), namespace=objects.namespace(step.obj)
                )

    async def _wait(self, step: Until) -> None:
        while not step.holds(self._cluster):
            await self._clock.sleep(step.poll_s)
