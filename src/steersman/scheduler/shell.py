"""The scheduler's I/O: what ``following`` learned is decided about, decisions go out as bindings, events and conditions.

One task decides, pod after pod, without waiting for the API; ``binder.WORKERS`` tasks bind. Queues and their bounds: the
scheduling queue (one entry a pod), the work of the binders (at most ``BACKLOG_LIMIT`` pods are assumed and not yet bound;
then decisions wait), status writes (one entry a pod).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.eventseries import SeriesRecorder
from steersman.client.transport import Unreachable
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from steersman.scheduler.binder import WORKERS, Binder, BindingFailed
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.core import Decision, NodeScore, NotReserved, SchedulerCore
from steersman.scheduler.diagnosis import not_placed
from steersman.scheduler.events import pod_events
from steersman.scheduler.extended_decisions import ExtendedDecisions
from steersman.scheduler.following import Following
from steersman.scheduler.framework import Errand, Framework, Nomination, NoNomination
from steersman.scheduler.http_extender import HTTPExtender
from steersman.scheduler.metrics import Result, SchedulerMetrics
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.queue import QueuedPod, SchedulingQueue
from steersman.scheduler.status_writer import WRITERS, StatusWriter, condition, truncated

BACKLOG_LIMIT = 1000
SLICE_S = 0.005
"""Longest stretch of decisions before other tasks get their turn."""
FLUSH_PERIOD_S = 30.0
log = logging.getLogger(__name__)


class ShellConfig(Struct, frozen=True, kw_only=True):
    """What the shell needs of the configuration. Times in seconds."""

    parallelism: int = 16
    """Victims of one preemption that are deleted side by side."""
    initial_backoff_s: float = 1.0
    max_backoff_s: float = 10.0
    max_unschedulable_s: float = 300.0
    runners_up: int = 3
    """How many other nodes the log names beside the chosen one (at DEBUG); -1 for none and no scores."""
    seed: int = 0


class Shell:
    """One scheduler at work. ``run`` it; it works once its informers are synced."""

    def __init__(
        self,
        client: Client,
        frameworks: Mapping[str, Framework],
        *,
        clock: Clock,
        recorder: SeriesRecorder,
        metrics: SchedulerMetrics,
        config: ShellConfig,
        extenders: Sequence[HTTPExtender] = (),
    ) -> None:
        self.cluster = Cluster()
        self.core = SchedulerCore(frameworks, self.cluster, seed=config.seed)
        self.queue = SchedulingQueue(
            frameworks,
            self.cluster,
            initial_backoff_s=config.initial_backoff_s,
            max_backoff_s=config.max_backoff_s,
            max_unschedulable_s=config.max_unschedulable_s,
        )
        self.binder = Binder(client, self.core, recorder, clock, metrics, extenders, config.parallelism)
        self._extended = ExtendedDecisions(self.core, extenders) if extenders else None
        self._clock = clock
        self._recorder = recorder
        self._metrics = metrics
        self._config = config
        self._statuses = StatusWriter(client, clock)
        self._wake = asyncio.Event()
        self._following = Following(client, self.core, self.queue, self.binder.waiting, clock=clock, wake=self._wake)
        self._to_bind: asyncio.Queue[tuple[PodInfo, QueuedPod]] = asyncio.Queue(BACKLOG_LIMIT)
        self._group = TaskGroup("scheduler")

    @property
    def synced(self) -> bool:
        return self._following.synced

    @property
    def _runners_up(self) -> int:
        """Scores are explained in the log only, at its finest level."""
        return self._config.runners_up if log.isEnabledFor(logging.DEBUG) else -1

    @property
    def assumed_count(self) -> int:
        """Pods that have been given a node and that the API does not show on it yet."""
        return len(self._following.assumed)

    @property
    def binding_count(self) -> int:
        """Bindings under way."""
        return self.binder.count

    async def run(self) -> None:
        """Follow the API and work. Until cancelled; raises what a critical task raises."""
        async with TaskGroup("scheduler-shell") as group:
            group.spawn(self.follow(), name="follow")
            group.spawn(self.work(), name="work")
            await group.wait()

    async def follow(self) -> None:
        """Keep the cluster and the queue up to date, whoever places the pods. Until cancelled."""
        await self._following.run()

    async def work(self) -> None:
        """Place pods, as soon as informers that ``follow`` runs are synced. Until cancelled."""
        async with self._group as group:
            await self._following.wait_synced()
            log.info("synced: %d nodes, %d pods to place", self.cluster.nodes.node_count, len(list(self.queue.pods())))
            for number in range(WORKERS):
                group.spawn(self._bind_for_ever(), name=f"binder-{number}")
            for number in range(WRITERS):
                group.spawn(self._statuses.run(), name=f"status-{number}")
            group.spawn(self._flush_for_ever(), name="flush")
            group.spawn(self._schedule_for_ever(), name="schedule")
            await group.wait()

    # -- decisions ---------------------------------------------------------------------------------------------------

    async def _schedule_for_ever(self) -> None:
        while True:
            self._wake.clear()
            slice_end_s = self._clock.monotonic() + SLICE_S
            while (queued := self.queue.pop(self._clock.monotonic())) is not None:
                await self._schedule(queued)
                if self._clock.monotonic() >= slice_end_s:
                    await asyncio.sleep(0)
                    slice_end_s = self._clock.monotonic() + SLICE_S
            await self._rest()

    async def _rest(self) -> None:
        """Until something happens or a pod's backoff ends."""
        deadline_s = self.queue.next_deadline_s()
        if deadline_s is None:
            await self._wake.wait()
            return
        try:
            await self._clock.wait_for(self._wake.wait(), max(deadline_s - self._clock.monotonic(), 0.0))
        except TimeoutError:
            return

    async def _schedule(self, queued: QueuedPod) -> None:
        pod = queued.pod
        if pod.is_terminating:
            self._recorder.event(
                pod.obj, PODS, controller=pod.scheduler_name, type="Warning", reason="FailedScheduling",
                action="Scheduling", message=f"skip schedule deleting pod: {pod.key}",
            )  # fmt: skip
            self.queue.remove(pod.uid)
            return
        began_s = self._clock.monotonic()
        self.cluster.now_s = self._clock.now()
        try:
            if self._extended is not None:
                decision = await self._extended.decide(pod, runners_up=self._runners_up)
            else:
                decision = self.core.decide(pod, runners_up=self._runners_up)
        except Exception as error:
            log.exception("deciding about %s failed", pod.key)
            self._failed(queued, str(error) or type(error).__name__)
            return
        finally:
            self._metrics.decided(self._clock.monotonic() - began_s)
        if pod.uid not in self.queue:
            return
        if decision.best:
            log.debug("%s goes to %s", pod.key, ", ".join(map(_described, decision.best)))
        if not decision.node_name:
            self._unschedulable(queued, decision)
            return
        assumed = self.core.assume(pod, decision.node_name)
        if isinstance(assumed, NotReserved):
            self._run_errands(assumed.errands, pod)
            self._failed(queued, not_placed(assumed.rejection.reasons), assumed.plugin)
            return
        self._following.assumed[pod.uid] = assumed
        self._statuses.drop(pod.uid)
        await self._to_bind.put((assumed, queued))

    def _unschedulable(self, queued: QueuedPod, decision: Decision) -> None:
        pod = queued.pod
        diagnosis = decision.diagnosis
        assert diagnosis is not None
        message = diagnosis.message
        self._attempted("unschedulable", queued)
        self._run_errands(decision.errands, pod)
        nomination = decision.nomination
        if nomination is not None:
            self._metrics.tried_to_preempt()
        if isinstance(nomination, Nomination):
            self.cluster.nominations.nominate(pod, nomination.node_name)
            self._report(pod, message, "Unschedulable", nominated_node=nomination.node_name)
            self._group.spawn(self._preempt(queued, nomination, diagnosis.plugins), name=f"preempt-{pod.key}")
            return
        clear = isinstance(nomination, NoNomination) and nomination.clear_nomination
        if clear:
            self.cluster.nominations.withdraw(pod.uid)
        self._report(pod, message, "Unschedulable", nominated_node="" if clear else None)
        self.queue.fail(pod.uid, diagnosis.plugins, self._clock.monotonic())

    async def _preempt(self, queued: QueuedPod, nomination: Nomination, plugins: frozenset[str]) -> None:
        """The pod stays in flight until its victims are told, so that their end wakes it and nothing else does."""
        self._metrics.preempted(len(nomination.victims))
        try:
            await self.binder.preempt(queued.pod, nomination)
        except (APIError, Unreachable) as error:
            log.warning("preempting for %s: %s", queued.pod.key, error)
            self.queue.fail(queued.pod.uid, plugins, self._clock.monotonic(), is_error=True)
        else:
            self.queue.fail(queued.pod.uid, plugins, self._clock.monotonic())
        self._wake.set()

    def _failed(self, queued: QueuedPod, message: str, plugin: str = "", *, is_nominated: bool = False) -> None:
        """The pod was to be placed and was not: ``plugin`` rejected it, or something broke. ``is_nominated``: the API was
        told of the node already."""
        pod = queued.pod
        self._attempted("unschedulable" if plugin else "error", queued)
        self.cluster.nominations.withdraw(pod.uid)
        self._report(pod, message, "Unschedulable" if plugin else "SchedulerError",
                     nominated_node="", is_nominated=is_nominated)  # fmt: skip
        plugins = frozenset({plugin} if plugin else ())
        self.queue.fail(pod.uid, plugins, self._clock.monotonic(), is_error=not plugins)
        self._wake.set()

    def _attempted(self, result: Result, queued: QueuedPod) -> None:
        self._metrics.attempted(result, queued.pod.scheduler_name, self._clock.monotonic() - queued.began_s)

    def _run_errands(self, errands: Sequence[Errand], pod: PodInfo) -> None:
        for errand in errands:
            self._group.spawn(self.binder.run(errand, pod), name=f"errand-{pod.key}")

    def _report(
        self, pod: PodInfo, message: str, reason: str, *, nominated_node: str | None, is_nominated: bool = False
    ) -> None:
        """An event, and the pod's status where it says something else. None leaves the nomination as it is."""
        self._recorder.event(
            pod.obj, PODS, controller=pod.scheduler_name, type="Warning", reason="FailedScheduling",
            action="Scheduling", message=truncated(message),
        )  # fmt: skip
        status: Object = {}
        entry = condition(pod.obj, "PodScheduled", "False", reason, message, self._clock.now())
        if entry is not None:
            status["conditions"] = [entry]
        if nominated_node is not None and (is_nominated or nominated_node != pod.nominated_node):
            status["nominatedNodeName"] = nominated_node or None
        if status:
            self._statuses.write(pod.obj, status)

    # -- binding -----------------------------------------------------------------------------------------------------

    async def _bind_for_ever(self) -> None:
        while True:
            assumed, queued = await self._to_bind.get()
            try:
                await self.binder.bind(assumed)
            except BindingFailed as failure:
                self._unbind(assumed, queued, failure)
                continue
            except Exception as error:
                log.exception("binding %s failed", assumed.key)
                self._unbind(assumed, queued, BindingFailed(str(error) or type(error).__name__))
                continue
            self.queue.remove(assumed.uid)
            self._attempted("scheduled", queued)
            since_s = queued.began_s if queued.first_ready_s is None else queued.first_ready_s
            self._metrics.bound(queued.attempts, self._clock.monotonic() - since_s, was_flushed=queued.was_flushed)
            message = f"Successfully assigned {assumed.key} to {assumed.node_name}"
            self._recorder.event(
                assumed.obj, PODS, controller=assumed.scheduler_name, type="Normal", reason="Scheduled", action="Binding",
                message=message,
            )  # fmt: skip

    def _unbind(self, assumed: PodInfo, queued: QueuedPod, failure: BindingFailed) -> None:
        """The room that the pod would have taken is free for others. It is free for itself, too, unless a plugin rejected
        it: then it waits for something else to happen."""
        is_assumed = self._following.assumed.pop(assumed.uid, None) is not None
        self._run_errands(self.core.forget(assumed), assumed)
        gone = {**assumed.obj, "spec": {**assumed.obj["spec"], "nodeName": assumed.node_name}}
        if not failure.plugin:
            self._following.tell(pod_events(gone, None))
        if is_assumed:
            message = not_placed((str(failure),)) if failure.plugin else str(failure)
            self._failed(queued, message, failure.plugin, is_nominated=failure.is_nominated)
        if failure.plugin:
            self._following.tell(pod_events(gone, None), but=assumed.uid)

    async def _flush_for_ever(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_PERIOD_S)
            if self.queue.flush(self._clock.monotonic()):
                self._wake.set()


def _described(score: NodeScore) -> str:
    parts = ", ".join(f"{name} {points}" for name, points in score.by_plugin.items())
    return f"{score.node_name} ({score.total}: {parts})"
