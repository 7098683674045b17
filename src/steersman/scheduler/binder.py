"""The binding cycle: what happens to a pod between the decision and ``pods/binding``, and preemption of its victims.

Decisions never wait for it: assumed pods count on their nodes at once, and ``WORKERS`` bindings are under way side by side.
A binding that fails is undone and its pod tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.client.eventseries import SeriesRecorder
from steersman.client.transport import Unreachable
from steersman.meta import objects
from steersman.meta.durations import format_duration
from steersman.meta.errors import APIError, NotFound
from steersman.meta.resources import PODS
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.errands import Messenger
from steersman.scheduler.framework import Errand, ErrandFailed, Framework, Nomination, Rejection, Wait
from steersman.scheduler.http_extender import ExtenderFailed, HTTPExtender
from steersman.scheduler.metrics import SchedulerMetrics
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.status_writer import condition, patch_status

WORKERS = 64
MAX_PERMIT_S = 900.0
"""No permit plugin holds a pod for longer."""
log = logging.getLogger(__name__)


class BindingFailed(Exception):
    """The pod could not be bound. ``plugin`` is set where one rejected it; ``is_nominated`` where the API has been told of
    the node."""

    def __init__(self, message: str, plugin: str = "") -> None:
        super().__init__(message)
        self.plugin = plugin
        self.is_nominated = False


class WaitingPod(Struct, kw_only=True, eq=False):
    """A pod on its way to being bound that can still be held or called back. ``decided`` is True for allow."""

    pod: PodInfo
    node_name: str
    waiting_for: set[str]
    decided: asyncio.Future[Literal[True] | BindingFailed]

    def allow(self, plugin: str) -> None:
        self.waiting_for.discard(plugin)
        if not self.waiting_for:
            self._decide(True)

    def reject(self, plugin: str, message: str) -> None:
        """The pod does not go to this node; ``plugin`` says so."""
        self._decide(BindingFailed(message, plugin))

    def call_back(self, message: str) -> None:
        """Not the pod's fault: it is tried again."""
        self._decide(BindingFailed(message))

    def _decide(self, outcome: Literal[True] | BindingFailed) -> None:
        if not self.decided.done():
            self.decided.set_result(outcome)


class Binder:
    """Carries out decisions against the API."""

    def __init__(
        self,
        client: Client,
        core: SchedulerCore,
        recorder: SeriesRecorder,
        clock: Clock,
        metrics: SchedulerMetrics,
        extenders: Sequence[HTTPExtender] = (),
        parallelism: int = 16,
    ) -> None:
        self._parallelism = parallelism
        self._client = client
        self._core = core
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self.count = 0
        """Bindings under way."""
        self._messenger = Messenger(client, core.cluster, recorder, clock)
        self.waiting: dict[str, WaitingPod] = {}
        """Pods that are held by permit plugins or for which something is done before they are bound, by uid."""
        self._binding_extenders = [extender for extender in extenders if extender.config.bind_verb]

    async def bind(self, assumed: PodInfo) -> None:
        """The whole binding cycle. Raises ``BindingFailed``; the caller forgets the pod then."""
        self.count += 1
        try:
            await self._bind_in_cycle(assumed)
        finally:
            self.count -= 1

    async def _bind_in_cycle(self, assumed: PodInfo) -> None:
        framework = self._core.frameworks[assumed.scheduler_name]
        waits = self._permit(framework, assumed)
        errands = self._errands(framework, assumed)
        try:
            if waits or errands:
                await self._prepare(assumed, waits, errands)
            await self._measured("Bind", assumed, self._bind(framework, assumed))
        except BindingFailed as failure:
            failure.is_nominated = bool(waits or errands)
            raise
        for plugin in framework.post_bind:
            plugin.post_bind(assumed, assumed.node_name)

    async def _measured(self, point: str, pod: PodInfo, work: Coroutine[Any, Any, None]) -> None:
        began_s, is_error = self._clock.monotonic(), True
        try:
            await work
            is_error = False
        finally:
            self._metrics.ran(point, pod.scheduler_name, self._clock.monotonic() - began_s, is_error=is_error)

    async def run(self, errand: Errand, pod: PodInfo) -> None:
        """Something that a plugin wants done beside all binding; a failure is logged, the next try of the pod repairs it."""
        try:
            await self._messenger.run(errand, pod)
        except (ErrandFailed, APIError, Unreachable, TimeoutError) as error:
            log.warning("%s: %s", pod.key, error)

    def _permit(self, framework: Framework, assumed: PodInfo) -> dict[str, float]:
        """How long each plugin wants to hold the pod at most. Raises ``BindingFailed``."""
        waits: dict[str, float] = {}
        for plugin in framework.permit:
            outcome = plugin.permit(assumed, assumed.node_name, self._core.cluster)
            if isinstance(outcome, Rejection):
                raise BindingFailed(", ".join(outcome.reasons), plugin.NAME)
            if isinstance(outcome, Wait):
                waits[plugin.NAME] = min(outcome.timeout_s, MAX_PERMIT_S)
        return waits

    def _errands(self, framework: Framework, assumed: PodInfo) -> list[tuple[str, Errand]]:
        asked = (
            (plugin.NAME, plugin.pre_bind(assumed, assumed.node_name, self._core.cluster))
            for plugin in framework.pre_bind
        )
        return [(name, errand) for name, errand in asked if errand is not None]

    async def _prepare(
        self, assumed: PodInfo, waits: Mapping[str, float], errands: Sequence[tuple[str, Errand]]
    ) -> None:
        """Others are told which node is meant (``nominatedNodeName``), then the pod waits and errands are run. Meanwhile the
        pod can be called back. Raises ``BindingFailed``."""
        waiting = self.waiting[assumed.uid] = WaitingPod(
            pod=assumed,
            node_name=assumed.node_name,
            waiting_for=set(waits),
            decided=asyncio.get_running_loop().create_future(),
        )
        try:
            await self._nominate(assumed)
            if waits:
                await self._hold(waiting, waits)
                waiting.decided = asyncio.get_running_loop().create_future()
            work = self._measured("PreBind", assumed, self._run_errands(assumed, errands))
            await self._unless_called_back(waiting, work)
        finally:
            del self.waiting[assumed.uid]

    async def _unless_called_back(self, waiting: WaitingPod, work: Coroutine[Any, Any, None]) -> None:
        """``work``, cut off by a decision against the pod. Raises what either raises."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, waiting.decided), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            elif (outcome := waiting.decided.result()) is not True:
                raise outcome
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _nominate(self, assumed: PodInfo) -> None:
        if assumed.nominated_node == assumed.node_name:
            return
        try:
            await patch_status(self._client, assumed.obj, {"nominatedNodeName": assumed.node_name})
        except (APIError, Unreachable) as error:
            log.warning("nominated node of %s not written: %s", assumed.key, error)

    async def _hold(self, waiting: WaitingPod, waits: Mapping[str, float]) -> None:
        first = min(waits, key=lambda name: waits[name])
        began_s, outcome = self._clock.monotonic(), None
        try:
            outcome = await self._clock.wait_for(waiting.decided, waits[first])
        except TimeoutError:
            message = f"rejected due to timeout after waiting {format_duration(waits[first])} at plugin {first}"
            raise BindingFailed(message, first) from None
        finally:
            self._metrics.waited_for_permit(self._clock.monotonic() - began_s, is_allowed=outcome is True)
        if outcome is not True:
            raise outcome

    async def _run_errands(self, assumed: PodInfo, errands: Sequence[tuple[str, Errand]]) -> None:
        for name, errand in errands:
            try:
                await self._messenger.run(errand, assumed)
            except (ErrandFailed, APIError, Unreachable, TimeoutError) as error:
                raise BindingFailed(f'running PreBind plugin "{name}": {error or "timed out"}') from error

    async def _bind(self, framework: Framework, assumed: PodInfo) -> None:
        for extender in self._binding_extenders:
            if extender.is_interested_in(assumed):
                try:
                    await extender.bind(assumed, assumed.node_name)
                except ExtenderFailed as failure:
                    if extender.config.ignorable:
                        log.warning("extender does not bind %s: %s", assumed.key, failure)
                        continue
                    raise BindingFailed(str(failure)) from failure
                return
        for plugin in framework.bind:
            binding = plugin.bind(assumed, assumed.node_name)
            if binding is None:
                continue
            try:
                await self._client.submit(
                    PODS, binding, namespace=assumed.namespace, name=assumed.name, subresource="binding"
                )
            except (APIError, Unreachable) as error:
                raise BindingFailed(f'running Bind plugin "{plugin.NAME}": {error}') from error
            return
        raise BindingFailed("no Bind plugin took the pod")

    async def preempt(self, preemptor: PodInfo, nomination: Nomination) -> None:
        """Delete the victims, each marked as disrupted first, and void promises to lesser pods. Victims that are on their
        way to being bound are called back instead. Raises ``APIError`` and ``Unreachable``."""
        lesser = self._core.cluster.nominations.lower_on(nomination.node_name, preemptor.priority)
        for pod in lesser:
            self._core.cluster.nominations.withdraw(pod.uid)
        await asyncio.gather(*(self._void(pod) for pod in lesser))
        victims = [victim for victim in nomination.victims if not victim.is_terminating]
        side_by_side = asyncio.Semaphore(self._parallelism)

        async def preempt(victim: PodInfo) -> None:
            async with side_by_side:
                await self._preempt(victim, preemptor, nomination.node_name)

        await asyncio.gather(*map(preempt, victims))

    async def _void(self, pod: PodInfo) -> None:
        """``pod`` may be the version from before its promise was written, so it does not say whether there is one to clear."""
        try:
            await patch_status(self._client, pod.obj, {"nominatedNodeName": None})
        except (APIError, Unreachable) as error:
            log.warning("nominated node of %s not cleared: %s", pod.key, error)

    async def _preempt(self, victim: PodInfo, preemptor: PodInfo, node_name: str) -> None:
        message = f"Preempted by pod {preemptor.uid} on node {node_name}"
        waiting = self.waiting.get(victim.uid)
        if waiting is not None:
            waiting.call_back("preempted")
            message += " (in kube-scheduler memory)."
        elif not await self._evict(victim, preemptor):
            return
        self._recorder.event(
            victim.obj, PODS, controller=preemptor.scheduler_name, type="Normal", reason="Preempted",
            action="Preempting", message=message, related=preemptor.obj,
        )  # fmt: skip

    async def _evict(self, victim: PodInfo, preemptor: PodInfo) -> bool:
        """False where the victim is gone already."""
        message = f"{preemptor.scheduler_name}: preempting to accommodate a higher priority pod"
        entry = condition(victim.obj, "DisruptionTarget", "True", "PreemptionByScheduler", message, self._clock.now())
        try:
            if entry is not None:
                await patch_status(self._client, victim.obj, {"conditions": [entry]})
            await self._client.delete(PODS, victim.name, namespace=victim.namespace, uid=objects.uid(victim.obj))
        except NotFound:
            log.debug("victim %s is gone already", victim.key)
            return False
        return True
