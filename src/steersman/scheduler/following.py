"""What the API says: informers keep the cluster and the queue of one scheduler up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.informer import Change, Informer
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    NODES,
    PODS,
    Resource,
)
from steersman.scheduler.binder import WaitingPod
from steersman.scheduler.cluster import LISTED_RESOURCES
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.events import ClusterEvent, lookup_events, node_events, pod_events
from steersman.scheduler.pod_info import PodInfo, is_terminal, parse_pod
from steersman.scheduler.queue import SchedulingQueue

log = logging.getLogger(__name__)


class Following:
    """``run`` it; the cluster is known once it is ``synced``."""

    def __init__(
        self,
        client: Client,
        core: SchedulerCore,
        queue: SchedulingQueue,
        waiting: Mapping[str, WaitingPod],
        *,
        clock: Clock,
        wake: asyncio.Event,
    ) -> None:
        """``waiting`` are the pods on their way to being bound that can be called back; ``wake`` is set when there is a pod
        to try."""
        self._client = client
        self._core = core
        self._cluster = core.cluster
        self._queue = queue
        self._waiting = waiting
        self._clock = clock
        self._wake = wake
        self._informers: list[Informer] = []
        self._opened = asyncio.Event()
        self.assumed: dict[str, PodInfo] = {}
        """Pods that have been given a node and that the API does not show on it yet, by uid."""

    @property
    def synced(self) -> bool:
        return bool(self._informers) and all(informer.synced for informer in self._informers)

    async def wait_synced(self) -> None:
        await self._opened.wait()
        for informer in self._informers:
            await informer.wait_synced()

    async def run(self) -> None:
        """Until cancelled."""
        async with TaskGroup("scheduler-informers") as group:
            self._informers = self._open()
            for informer in self._informers:
                group.spawn(informer.run(), name=f"informer-{informer.resource.plural}")
            self._opened.set()
            await group.wait()

    def _open(self) -> list[Informer]:
        handlers: list[tuple[Resource, str, Callable[[Change], None]]] = [
            (NODES, "", self._on_node),
            *((resource, "", self._handler_of(resource)) for resource in LISTED_RESOURCES),
            (PODS, "status.phase!=Succeeded,status.phase!=Failed", self._on_pod),
        ]
        opened = []
        for resource, fields, handler in handlers:
            informer = Informer(self._client, resource, clock=self._clock, field_selector=fields)
            informer.subscribe(handler)
            opened.append(informer)
        return opened

    def _handler_of(self, resource: Resource) -> Callable[[Change], None]:

        def handle(change: Change) -> None:
            if change.new is None:
                self._cluster.remove(resource, change.key)
            else:
                self._cluster.put(resource, change.new)
            self.tell(lookup_events(resource, change.old, change.new))

        return handle

    def _on_node(self, change: Change) -> None:
        try:
            if change.new is None:
                self._cluster.nodes.remove_node(change.key)
            else:
                self._cluster.nodes.put_node(change.new)
        except ValueError as error:
            log.error("node %s cannot be used: %s", change.key, error)
            return
        self.tell(node_events(change.old, change.new))

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
        elif self._core.framework_of(pod) is not None:
            self._pod_unassigned(pod, old)

    def _pod_assigned(self, pod: PodInfo, old: Object | None) -> None:
        was_assigned = old is not None and bool((old.get("spec") or {}).get("nodeName"))
        was_assumed = self.assumed.pop(pod.uid, None)
        self._queue.remove(pod.uid)
        self._cluster.nominations.withdraw(pod.uid)
        if was_assumed is not None and was_assumed.node_name != pod.node_name:
            log.warning("pod %s was bound to %s, not to %s", pod.key, pod.node_name, was_assumed.node_name)
        self._cluster.nodes.add_pod(pod)
        self.tell(pod_events(old if was_assigned else None, pod.obj))

    def _pod_unassigned(self, pod: PodInfo, old: Object | None) -> None:
        if pod.uid in self.assumed:
            self._queue.update(pod, (), self._clock.monotonic())
            return
        if pod.nominated_node and self._cluster.nominations.node_of(pod.uid) != pod.nominated_node:
            self._cluster.nominations.nominate(pod, pod.nominated_node)
        elif not pod.nominated_node and ((old or {}).get("status") or {}).get("nominatedNodeName"):
            self._cluster.nominations.withdraw(pod.uid)
        now_s = self._clock.monotonic()
        if old is None:
            self._queue.add(pod, now_s)
        else:
            self._queue.update(pod, pod_events(old, pod.obj), now_s)
        self._wake.set()

    def _pod_gone(self, obj: Object) -> None:
        uid = objects.uid(obj)
        self._queue.remove(uid)
        self.assumed.pop(uid, None)
        self._cluster.nominations.withdraw(uid)
        waiting = self._waiting.get(uid)
        if waiting is not None:
            waiting.call_back("the pod was deleted")
        if self._cluster.nodes.remove_pod(uid) is not None or (obj.get("status") or {}).get("nominatedNodeName"):
            self.tell(pod_events(obj, None))

    def tell(self, events: list[ClusterEvent], *, but: str = "") -> None:
        """Wake the pods that ``events`` can help, other than the one whose uid is ``but``."""
        now_s = self._clock.monotonic()
        for event in events:
            if self._queue.on_event(event, now_s, but=but):
                self._wake.set()
