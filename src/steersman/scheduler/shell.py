"""The scheduler's I/O: informers feed the cluster and the queue, decisions go out as bindings, events and conditions.

One task decides, pod after pod, without waiting for the API; ``binder.WORKERS`` tasks bind. Queues and their bounds: the
scheduling queue (one entry a pod), the work of the binders (at most ``BACKLOG_LIMIT`` pods are assumed and not yet bound;
then decisions wait), status writes (one entry a pod).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.eventseries import SeriesRecorder
from steersman.client.informer import Change, Informer
from steersman.client.transport import Unreachable
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    DEVICECLASSES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    RESOURCECLAIMS,
    RESOURCESLICES,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
    Resource,
)
from steersman.scheduler.binder import WORKERS, Binder, BindingFailed
from steersman.scheduler.cluster import LISTED_RESOURCES, Cluster
from steersman.scheduler.core import Decision, NodeScore, NotReserved, SchedulerCore
from steersman.scheduler.diagnosis import not_placed
from steersman.scheduler.events import Action, ClusterEvent, EventResource, node_events, pod_events
from steersman.scheduler.framework import Errand, Framework, Nomination, NoNomination
from steersman.scheduler.http_extender import ExtenderFailed, HTTPExtender
from steersman.scheduler.metrics import SchedulerMetrics
from steersman.scheduler.pod_info import PodInfo, is_terminal, parse_pod
from steersman.scheduler.queue import QueuedPod, SchedulingQueue
from steersman.scheduler.search import PodSearch
from steersman.scheduler.status_writer import WRITERS, StatusWriter, condition, truncated
from steersman.scheduler.victims import best

BACKLOG_LIMIT = 1000
SLICE_S = 0.005
"""Longest stretch of decisions before other tasks get their turn."""
FLUSH_PERIOD_S = 30.0
NO_NODES = "no nodes available to schedule pods"
log = logging.getLogger(__name__)

_EVENT_RESOURCES: Mapping[Resource, EventResource] = {
    PERSISTENTVOLUMES: "PersistentVolume",
    PERSISTENTVOLUMECLAIMS: "PersistentVolumeClaim",
    STORAGECLASSES: "StorageClass",
    CSINODES: "CSINode",
    CSIDRIVERS: "CSIDriver",
    CSISTORAGECAPACITIES: "CSIStorageCapacity",
    VOLUMEATTACHMENTS: "VolumeAttachment",
    RESOURCECLAIMS: "ResourceClaim",
    RESOURCESLICES: "ResourceSlice",
    DEVICECLASSES: "DeviceClass",
}


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
        self.binder = Binder(client, self.core, recorder, clock, extenders, config.parallelism)
        self._extenders = extenders
        self._client = client
        self._clock = clock
        self._recorder = recorder
        self._metrics = metrics
        self._config = config
        self._statuses = StatusWriter(client, clock)
        self._wake = asyncio.Event()
        self._assumed: dict[str, PodInfo] = {}
        self._to_bind: asyncio.Queue[tuple[PodInfo, QueuedPod]] = asyncio.Queue(BACKLOG_LIMIT)
        self._group = TaskGroup("scheduler")
        self._opened = asyncio.Event()
        self._informers: list[Informer] = []

    @property
    def synced(self) -> bool:
        return bool(self._informers) and all(informer.synced for informer in self._informers)

    @property
    def _runners_up(self) -> int:
        """Scores are explained in the log only, at its finest level."""
        return self._config.runners_up if log.isEnabledFor(logging.DEBUG) else -1

    @property
    def binding(self) -> int:
        """Pods that have been given a node and that the API does not show on it yet."""
        return len(self._assumed)

    async def run(self) -> None:
        """Follow the API and work. Until cancelled; raises what a critical task raises."""
        async with TaskGroup("scheduler-shell") as group:
            group.spawn(self.follow(), name="follow")
            group.spawn(self.work(), name="work")
            await group.wait()

    async def follow(self) -> None:
        """Keep the cluster and the queue up to date, whoever places the pods. Until cancelled."""
        async with TaskGroup("scheduler-informers") as group:
            for informer in self._open_informers():
                group.spawn(informer.run(), name=f"informer-{informer.resource.plural}")
            self._opened.set()
            await group.wait()

    async def work(self) -> None:
        """Place pods, as soon as informers that ``follow`` runs are synced. Until cancelled."""
        async with self._group as group:
            await self._opened.wait()
            for informer in self._informers:
                await informer.wait_synced()
            log.info("synced: %d nodes, %d pods to place", self.cluster.nodes.node_count, len(list(self.queue.pods())))
            for number in range(WORKERS):
                group.spawn(self._bind_for_ever(), name=f"binder-{number}")
            for number in range(WRITERS):
                group.spawn(self._statuses.run(), name=f"status-{number}")
            group.spawn(self._flush_for_ever(), name="flush")
            group.spawn(self._schedule_for_ever(), name="schedule")
            await group.wait()

    # -- what the API says -------------------------------------------------------------------------------------------

    def _open_informers(self) -> list[Informer]:
        handlers: list[tuple[Resource, str, Callable[[Change], None]]] = [
            (NODES, "", self._on_node),
            *((resource, "", self._handler_of(resource)) for resource in LISTED_RESOURCES),
            (PODS, "status.phase!=Succeeded,status.phase!=Failed", self._on_pod),
        ]
        self._informers = []
        for resource, fields, handler in handlers:
            informer = Informer(self._client, resource, clock=self._clock, field_selector=fields)
            informer.subscribe(handler)
            self._informers.append(informer)
        return self._informers

    def _handler_of(self, resource: Resource) -> Callable[[Change], None]:
        event_resource = _EVENT_RESOURCES.get(resource)
        actions: Mapping[str, Action] = {"added": "Add", "updated": "Update", "deleted": "Delete"}

        def handle(change: Change) -> None:
            if change.new is None:
                self.cluster.remove(resource, change.key)
            else:
                self.cluster.put(resource, change.new)
            if event_resource is not None:
                self._tell(
                    [ClusterEvent(resource=event_resource, action=actions[change.type], old=change.old, new=change.new)]
                )

        return handle

    def _on_node(self, change: Change) -> None:
        try:
            if change.new is None:
                self.cluster.nodes.remove_node(change.key)
            else:
                self.cluster.nodes.put_node(change.new)
        except ValueError as error:
            log.error("node %s cannot be used: %s", change.key, error)
            return
        self._tell(node_events(change.old, change.new))

    def _on_pod(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and objects.uid(old) != objects.uid(new):
            self._pod_gone(old)
            old = None
        if new is None or is_terminal(new):
            self._pod_gone(change.object)
            return
        try:
            pod = parse_pod(new)
        except ValueError as error:
            log.error("pod %s cannot be scheduled: %s", change.key, error)
            return
        if pod.node_name:
            self._pod_assigned(pod, old)
        elif self.core.framework_of(pod) is not None:
            self._pod_unassigned(pod, old)

    def _pod_assigned(self, pod: PodInfo, old: Object | None) -> None:
        was_assigned = old is not None and bool((old.get("spec") or {}).get("nodeName"))
        was_assumed = self._assumed.pop(pod.uid, None)
        self.queue.remove(pod.uid)
        self.cluster.nominations.withdraw(pod.uid)
        if was_assumed is not None and was_assumed.node_name != pod.node_name:
            log.warning("pod %s was bound to %s, not to %s", pod.key, pod.node_name, was_assumed.node_name)
        self.cluster.nodes.add_pod(pod)
        self._tell(pod_events(old if was_assigned else None, pod.obj))

    def _pod_unassigned(self, pod: PodInfo, old: Object | None) -> None:
        if pod.uid in self._assumed:
            self.queue.update(pod, (), self._clock.monotonic())
            return
        if pod.nominated_node and self.cluster.nominations.node_of(pod.uid) != pod.nominated_node:
            self.cluster.nominations.nominate(pod, pod.nominated_node)
        elif not pod.nominated_node and ((old or {}).get("status") or {}).get("nominatedNodeName"):
            self.cluster.nominations.withdraw(pod.uid)
        now_s = self._clock.monotonic()
        if old is None:
            self.queue.add(pod, now_s)
        else:
            self.queue.update(pod, pod_events(old, pod.obj), now_s)
        self._wake.set()

    def _pod_gone(self, obj: Object) -> None:
        uid = objects.uid(obj)
        self.queue.remove(uid)
        self._assumed.pop(uid, None)
        self.cluster.nominations.withdraw(uid)
        waiting = self.binder.waiting.get(uid)
        if waiting is not None:
            waiting.call_back("the pod was deleted")
        if self.cluster.nodes.remove_pod(uid) is not None or (obj.get("status") or {}).get("nominatedNodeName"):
            self._tell(pod_events(obj, None))

    def _tell(self, events: list[ClusterEvent], *, but: str = "") -> None:
        """Wake the pods that ``events`` can help, other than the one whose uid is ``but``."""
        now_s = self._clock.monotonic()
        for event in events:
            if self.queue.on_event(event, now_s, but=but):
                self._wake.set()

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
            if self._extenders:
                decision = await self._decide_with_extenders(pod)
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
        self._assumed[pod.uid] = assumed
        self._statuses.drop(pod.uid)
        await self._to_bind.put((assumed, queued))

    async def _decide_with_extenders(self, pod: PodInfo) -> Decision:
        """Raises ``ExtenderFailed``, also when nodes changed meanwhile: the pod is tried again."""
        epoch = self.cluster.nodes.epoch
        preempting = [each for each in self._extenders if each.config.preempt_verb and each.is_interested_in(pod)]
        found = self.core.search(pod, wants_alternatives=bool(preempting))
        nominated = found.on_nominated()
        if nominated is not None:
            await self._filter_by_extenders(nominated)
        if nominated is not None and nominated.is_successful:
            found = nominated
        else:
            await self._filter_by_extenders(found)
        if not found.is_successful and self.cluster.nodes.epoch == epoch:
            return await self._preempt_by_extenders(self.core.give_up(found), preempting)
        found = self.core.sampled(found)
        more = await self._prioritize_by_extenders(found) if found.count > 1 else {}
        if self.cluster.nodes.epoch != epoch:
            raise ExtenderFailed("nodes changed while extenders were asked")
        return self.core.select(found, more=more, runners_up=self._runners_up)

    async def _filter_by_extenders(self, found: PodSearch) -> None:
        """Extenders are asked one after another, each about what the earlier ones left. Raises ``ExtenderFailed``."""
        for extender in self._extenders:
            if not (found.is_successful and extender.config.filter_verb and extender.is_interested_in(found.pod)):
                continue
            try:
                outcome = await extender.filter(found.pod, found.names(), self.cluster.nodes)
            except ExtenderFailed as failure:
                if not extender.config.ignorable:
                    raise
                log.warning("extender %s not heard: %s", extender.config.url_prefix, failure)
                continue
            found.restrict(outcome.names, outcome.failed, outcome.unresolvable)

    async def _preempt_by_extenders(self, decision: Decision, extenders: Sequence[HTTPExtender]) -> Decision:
        """Each extender says which of the nodes that earlier ones left may be cleared. Raises ``ExtenderFailed``."""
        if not (extenders and isinstance(decision.nomination, Nomination)):
            return decision
        left = {nomination.node_name: nomination for nomination in decision.nomination.alternatives}
        for extender in extenders:
            try:
                left = await extender.preempt(decision.pod, left, self.cluster.nodes)
            except ExtenderFailed as failure:
                if not extender.config.ignorable:
                    raise
                log.warning("extender %s not heard: %s", extender.config.url_prefix, failure)
            if not left:
                break
        if left:
            return replace(decision, nomination=best(tuple(left.values())))
        assert decision.diagnosis is not None
        message = "preemption: no candidate node for preemption"
        return replace(
            decision,
            nomination=NoNomination(message=message, clear_nomination=False),
            diagnosis=decision.diagnosis.with_post_filter(message),
        )

    async def _prioritize_by_extenders(self, found: PodSearch) -> dict[str, int]:
        """What to add to the scores of nodes. An extender that fails adds nothing."""
        more: dict[str, int] = {}
        for extender in self._extenders:
            if extender.config.prioritize_verb and extender.is_interested_in(found.pod):
                try:
                    scores = await extender.prioritize(found.pod, found.names(), self.cluster.nodes)
                except ExtenderFailed as failure:
                    log.warning("extender %s not heard: %s", extender.config.url_prefix, failure)
                    continue
                for name, score in scores.items():
                    more[name] = more.get(name, 0) + score
        return more

    def _unschedulable(self, queued: QueuedPod, decision: Decision) -> None:
        pod = queued.pod
        diagnosis = decision.diagnosis
        assert diagnosis is not None
        message = diagnosis.message if diagnosis.node_count else NO_NODES
        self._metrics.attempted("unschedulable", pod.scheduler_name)
        self._run_errands(decision.errands, pod)
        nomination = decision.nomination
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
        self._metrics.attempted("unschedulable" if plugin else "error", pod.scheduler_name)
        self.cluster.nominations.withdraw(pod.uid)
        self._report(pod, message, "Unschedulable" if plugin else "SchedulerError",
                     nominated_node="", is_nominated=is_nominated)  # fmt: skip
        plugins = frozenset({plugin} if plugin else ())
        self.queue.fail(pod.uid, plugins, self._clock.monotonic(), is_error=not plugins)
        self._wake.set()

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
            self._metrics.attempted("scheduled", assumed.scheduler_name)
            message = f"Successfully assigned {assumed.key} to {assumed.node_name}"
            self._recorder.event(
                assumed.obj, PODS, controller=assumed.scheduler_name, type="Normal", reason="Scheduled", action="Binding",
                message=message,
            )  # fmt: skip

    def _unbind(self, assumed: PodInfo, queued: QueuedPod, failure: BindingFailed) -> None:
        """The room that the pod would have taken is free for others. It is free for itself, too, unless a plugin rejected
        it: then it waits for something else to happen."""
        is_assumed = self._assumed.pop(assumed.uid, None) is not None
        self._run_errands(self.core.forget(assumed), assumed)
        gone = {**assumed.obj, "spec": {**assumed.obj["spec"], "nodeName": assumed.node_name}}
        if not failure.plugin:
            self._tell(pod_events(gone, None))
        if is_assumed:
            message = not_placed((str(failure),)) if failure.plugin else str(failure)
            self._failed(queued, message, failure.plugin, is_nominated=failure.is_nominated)
        if failure.plugin:
            self._tell(pod_events(gone, None), but=assumed.uid)

    async def _flush_for_ever(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_PERIOD_S)
            if self.queue.flush(self._clock.monotonic()):
                self._wake.set()


def _described(score: NodeScore) -> str:
    parts = ", ".join(f"{name} {points}" for name, points in score.by_plugin.items())
    return f"{score.node_name} ({score.total}: {parts})"
