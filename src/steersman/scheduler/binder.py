"""The binding cycle: what happens to a pod between the decision and ``pods/binding``, and preemption of its victims.

Decisions never wait for it: assumed pods count on their nodes at once, and ``WORKERS`` bindings are under way side by side.
A binding that fails is undone and its pod tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.client.events import EventRecorder
from steersman.client.transport import Unreachable
from steersman.meta import objects
from steersman.meta.errors import APIError, NotFound
from steersman.meta.resources import PODS
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.framework import Framework, Nomination, PreBindWork, Rejection, Wait
from steersman.scheduler.http_extender import ExtenderFailed, HTTPExtender
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.status_writer import condition, patch_status

WORKERS = 64
PRE_BIND_POLL_S = 0.1
log = logging.getLogger(__name__)


class BindingFailed(Exception):
    """The pod could not be bound. ``plugin`` is set where one rejected it."""

    def __init__(self, message: str, plugin: str = "") -> None:
        super().__init__(message)
        self.plugin = plugin


@dataclass(slots=True, kw_only=True, eq=False)
class WaitingPod:
    """A pod that permit plugins hold. ``decided`` is True for allow, a text for reject."""

    pod: PodInfo
    node_name: str
    waiting_for: set[str]
    decided: asyncio.Future[bool | str]

    def allow(self, plugin: str) -> None:
        self.waiting_for.discard(plugin)
        if not self.waiting_for and not self.decided.done():
            self.decided.set_result(True)

    def reject(self, message: str) -> None:
        if not self.decided.done():
            self.decided.set_result(message)


class Binder:
    """Carries out decisions against the API."""

    def __init__(
        self,
        client: Client,
        core: SchedulerCore,
        recorder: EventRecorder,
        clock: Clock,
        extenders: Sequence[HTTPExtender] = (),
    ) -> None:
        self._client = client
        self._core = core
        self._recorder = recorder
        self._clock = clock
        self.waiting: dict[str, WaitingPod] = {}
        """Pods that permit plugins hold, by uid."""
        self._binding_extenders = [extender for extender in extenders if extender.config.bind_verb]

    async def bind(self, assumed: PodInfo) -> None:
        """The whole binding cycle. Raises ``BindingFailed``; the caller forgets the pod then."""
        framework = self._core.frameworks[assumed.scheduler_name]
        await self._permit(framework, assumed)
        await self._pre_bind(framework, assumed)
        await self._bind(framework, assumed)
        for plugin in framework.post_bind:
            plugin.post_bind(assumed, assumed.node_name)

    async def _permit(self, framework: Framework, assumed: PodInfo) -> None:
        waits: dict[str, float] = {}
        for plugin in framework.permit:
            outcome = plugin.permit(assumed, assumed.node_name, self._core.cluster)
            if isinstance(outcome, Rejection):
                raise BindingFailed(", ".join(outcome.reasons), plugin.NAME)
            if isinstance(outcome, Wait):
                waits[plugin.NAME] = outcome.timeout_s
        if not waits:
            return
        decided: asyncio.Future[bool | str] = asyncio.get_running_loop().create_future()
        waiting = WaitingPod(pod=assumed, node_name=assumed.node_name, waiting_for=set(waits), decided=decided)
        self.waiting[assumed.uid] = waiting
        try:
            answer = await self._clock.wait_for(decided, min(waits.values()))
        except TimeoutError:
            names = ", ".join(sorted(waiting.waiting_for))
            message = f'rejected due to timeout after waiting at plugin "{names}"'
            raise BindingFailed(message, min(waiting.waiting_for)) from None
        finally:
            del self.waiting[assumed.uid]
        if answer is not True:
            raise BindingFailed(str(answer), min(waits))

    async def _pre_bind(self, framework: Framework, assumed: PodInfo) -> None:
        for plugin in framework.pre_bind:
            work = plugin.pre_bind(assumed, assumed.node_name, self._core.cluster)
            if work is not None:
                try:
                    await self._clock.wait_for(self._do(work), work.timeout_s)
                except TimeoutError:
                    raise BindingFailed(f'running PreBind plugin "{plugin.NAME}": timed out', plugin.NAME) from None
                except (APIError, Unreachable) as error:
                    raise BindingFailed(f'running PreBind plugin "{plugin.NAME}": {error}') from error

    async def _do(self, work: PreBindWork) -> None:
        for write in work.writes:
            await self._client.update(write.resource, write.obj)
        while (done := work.done(self._core.cluster)) is not True:
            if isinstance(done, str):
                raise BindingFailed(done)
            await self._clock.sleep(PRE_BIND_POLL_S)

    async def _bind(self, framework: Framework, assumed: PodInfo) -> None:
        for extender in self._binding_extenders:
            if extender.is_interested_in(assumed):
                try:
                    await extender.bind(assumed, assumed.node_name)
                except ExtenderFailed as failure:
                    raise BindingFailed(f"binding rejected: {failure}") from failure
                return
        for plugin in framework.bind:
            binding = plugin.bind(assumed, assumed.node_name)
            if binding is None:
                continue
            try:
                await self._client.create(
                    PODS, binding, namespace=assumed.namespace, name=assumed.name, subresource="binding"
                )
            except (APIError, Unreachable) as error:
                raise BindingFailed(f"binding rejected: running Bind plugin {plugin.NAME!r}: {error}") from error
            return
        raise BindingFailed("no Bind plugin took the pod")

    async def preempt(self, preemptor: PodInfo, nomination: Nomination) -> None:
        """Delete the victims, each marked as disrupted first, and void promises to lesser pods. Raises ``APIError``
        and ``Unreachable``."""
        for lesser in self._core.cluster.nominations.lower_on(nomination.node_name, preemptor.priority):
            self._core.cluster.nominations.withdraw(lesser.uid)
            try:
                await patch_status(self._client, lesser.obj, {"nominatedNodeName": None})
            except NotFound:
                log.debug("%s is gone; its nomination with it", lesser.key)
        for victim in nomination.victims:
            waiting = self.waiting.get(victim.uid)
            if waiting is not None:
                waiting.reject("preempted")
            elif not victim.is_terminating:
                await self._evict(victim, preemptor)
            message = f"Preempted by pod {preemptor.uid} on node {nomination.node_name}"
            self._recorder.event(victim.obj, PODS, type="Normal", reason="Preempted", message=message)

    async def _evict(self, victim: PodInfo, preemptor: PodInfo) -> None:
        message = f"{preemptor.scheduler_name}: preempting to accommodate a higher priority pod"
        entry = condition(victim.obj, "DisruptionTarget", "True", "PreemptionByScheduler", message, self._clock.now())
        try:
            if entry is not None:
                await patch_status(self._client, victim.obj, {"conditions": [entry]})
            await self._client.delete(PODS, victim.name, namespace=victim.namespace, uid=objects.uid(victim.obj))
        except NotFound:
            log.debug("victim %s is gone already", victim.key)
