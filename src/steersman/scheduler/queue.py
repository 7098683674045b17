"""Pods that wait for a node: ready (active), resting after a failure (backoff), and hopeless until something changes
(unschedulable). Pure: time is an argument, in seconds of a monotonic clock.

A pod that no node took returns only when an event of the cluster can make it fit, as the plugins that rejected it say
(queueing hints), or after ``max_unschedulable_s`` whatever they say. Events that happen while a pod is being decided or
bound are kept and judged when it comes back, so that none is missed.

Bounds: the queue is bounded by the pods that exist. At most ``EVENT_LIMIT`` events are kept for pods in flight; a pod that
has been away for longer is tried again.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.diagnosis import EXTENDERS
from steersman.scheduler.events import EVERYTHING_CHANGED, ClusterEvent, EventInterest
from steersman.scheduler.framework import EnqueuePlugin, Framework
from steersman.scheduler.pod_info import PodInfo

EVENT_LIMIT = 20_000
BACKOFF_WINDOW_S = 1.0
SCHEDULE_ATTEMPT_FAILURE = "ScheduleAttemptFailure"
Place = Literal["active", "backoff", "unschedulable", "in_flight"]


class QueuedPod(Struct, kw_only=True, eq=False):
    """A pod's way through the queue."""

    pod: PodInfo
    place: Place
    entered_s: float
    """When it appeared, or its last try failed. Being woken does not change it: whoever waits longer keeps his turn."""
    first_ready_s: float | None = None
    """When it could be tried for the first time: pods that a plugin holds back are not waiting for us."""
    began_s: float = 0.0
    """When the try that is under way, or was the last one, began."""
    attempts: int = 0
    unschedulable_count: int = 0
    error_count: int = 0
    """Failures in a row that were nobody's rejection."""
    plugins: frozenset[str] = frozenset()
    """Who rejected it last; empty after an error."""
    was_flushed: bool = False
    """Woken because it had waited for so long, by no event."""
    is_gated: bool = False
    gated_by: str = ""
    backoff_until_s: float = 0.0
    ticket: int = 0
    """Heap entries with another ticket are out of date."""
    in_flight_since: int = 0


class QueueLengths(Struct, frozen=True, kw_only=True):
    """Pods by place; ``gated`` are those that a plugin keeps from being tried at all."""

    active: int
    backoff: int
    unschedulable: int
    gated: int


class SchedulingQueue:
    """All unscheduled pods of the profiles in ``frameworks``. They share one order: that of the first profile."""

    def __init__(
        self,
        frameworks: Mapping[str, Framework],
        cluster: Cluster,
        *,
        initial_backoff_s: float = 1.0,
        max_backoff_s: float = 10.0,
        max_unschedulable_s: float = 300.0,
    ) -> None:
        self._frameworks = frameworks
        self._cluster = cluster
        self._sort = next(iter(frameworks.values())).queue_sort
        self._initial_backoff_s = initial_backoff_s
        self._max_backoff_s = max_backoff_s
        self._max_unschedulable_s = max_unschedulable_s
        self._pods: dict[str, QueuedPod] = {}
        self.incoming: Counter[tuple[str, str]] = Counter()
        """How many pods came to ``active``, ``backoff`` and ``unschedulable``, by place and event, under upstream's names."""
        self._active: list[tuple[Any, int, str]] = []
        self._backoff: list[tuple[float, Any, int, str]] = []
        self._unschedulable: dict[str, QueuedPod] = {}
        self._tickets = itertools.count(1)
        self._events: deque[ClusterEvent] = deque()
        self._events_start = 0
        self._in_flight = 0
        self._interests = {
            name: [
                (plugin_name, interest)
                for plugin_name, plugin in framework.plugins.items()
                if isinstance(plugin, EnqueuePlugin)
                for interest in plugin.events()
            ]
            for name, framework in frameworks.items()
        }

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def get(self, uid: str) -> QueuedPod | None:
        return self._pods.get(uid)

    def pods(self) -> Iterable[QueuedPod]:
        return self._pods.values()

    def lengths(self) -> QueueLengths:
        places = [queued.place for queued in self._pods.values()]
        gated = sum(queued.is_gated for queued in self._unschedulable.values())
        return QueueLengths(
            active=places.count("active"),
            backoff=places.count("backoff"),
            unschedulable=len(self._unschedulable) - gated,
            gated=gated,
        )

    def kept_events(self) -> Counter[str]:
        """Events that pods in flight may still have to hear of, and how many."""
        kept = Counter(event.metric_label for event in self._events)
        if self._in_flight:
            kept["PodPopped"] = self._in_flight
        return kept

    # -- pods come, change and go --------------------------------------------------------------------------------

    def add(self, pod: PodInfo, now_s: float) -> None:
        """A pod without a node appeared."""
        if pod.uid in self._pods:
            self.update(pod, (), now_s)
            return
        queued = QueuedPod(pod=pod, place="unschedulable", entered_s=now_s)
        self._pods[pod.uid] = queued
        self._enter_active(queued, now_s, "UnschedulablePodAdd")

    def update(self, pod: PodInfo, events: Iterable[ClusterEvent], now_s: float) -> None:
        """A waiting pod has a new version; ``events`` say what changed about it."""
        queued = self._pods.get(pod.uid)
        if queued is None:
            self.add(pod, now_s)
            return
        resort = queued.place == "active" and queued.pod.priority != pod.priority
        queued.pod = pod
        if resort:
            self._enter_active(queued, now_s, "UnschedulablePodUpdate")
        for event in events:
            if queued.place == "unschedulable" and self._can_help(queued, event):
                self._wake(queued, now_s, event.metric_label)

    def remove(self, uid: str) -> None:
        """The pod is gone, or has a node."""
        queued = self._pods.pop(uid, None)
        if queued is None:
            return
        if queued.place == "in_flight":
            self._land()
        self._unschedulable.pop(uid, None)
        queued.ticket = 0

    # -- pods are tried --------------------------------------------------------------------------------------------

    def pop(self, now_s: float) -> QueuedPod | None:
        """The next pod to try, which is in flight from then on; None where none is ready.

        When nothing is active, the pod that is nearest to the end of its rest is taken early, unless an error sent it
        there: there is nobody it could get in the way of.
        """
        self._end_backoff(now_s)
        while self._active:
            _, ticket, uid = heapq.heappop(self._active)
            queued = self._pods.get(uid)
            if queued is not None and queued.ticket == ticket:
                return self._take_off(queued, now_s)
        return self._pop_resting(now_s)

    def fail(self, uid: str, plugins: frozenset[str], now_s: float, *, is_error: bool = False) -> None:
        """The try of a pod in flight failed: ``plugins`` rejected it, or something broke (``is_error``)."""
        queued = self._pods.get(uid)
        if queued is None or queued.place != "in_flight":
            return
        missed = self._land_with_events(queued)
        queued.plugins = plugins
        if is_error or not plugins:
            queued.error_count += 1
        else:
            queued.unschedulable_count += 1
            queued.error_count = 0
        queued.place, queued.entered_s, queued.was_flushed = "unschedulable", now_s, False
        queued.backoff_until_s = _window_end_s(now_s + self._backoff_s(queued))
        self._unschedulable[uid] = queued
        if is_error or not plugins or missed is None or any(self._can_help(queued, event) for event in missed):
            self._wake(queued, now_s, SCHEDULE_ATTEMPT_FAILURE)
        else:
            self.incoming["unschedulable", SCHEDULE_ATTEMPT_FAILURE] += 1

    def activate(self, uid: str, now_s: float) -> None:
        """Try a waiting pod at once, whatever it waits for."""
        queued = self._pods.get(uid)
        if queued is not None and queued.place in ("backoff", "unschedulable"):
            self._enter_active(queued, now_s, "ForceActivate")

    # -- the cluster changes -------------------------------------------------------------------------------------

    def on_event(self, event: ClusterEvent, now_s: float, *, but: str = "") -> int:
        """Something changed: wake the pods that it can help, other than the one whose uid is ``but``. Returns how many."""
        if self._in_flight:
            self._events.append(event)
            if len(self._events) > EVENT_LIMIT:
                self._events.popleft()
                self._events_start += 1
        if not self._unschedulable:
            return 0
        helpers = {
            name: frozenset(plugin for plugin, interest in interests if interest.covers(event))
            for name, interests in self._interests.items()
        }
        woken = 0
        for queued in list(self._unschedulable.values()):
            relevant = helpers.get(queued.pod.scheduler_name, frozenset())
            known = event is not EVERYTHING_CHANGED and queued.plugins and EXTENDERS not in queued.plugins
            if known and relevant.isdisjoint(queued.plugins):
                continue
            if queued.pod.uid == but:
                continue
            if self._can_help(queued, event):
                self._wake(queued, now_s, event.metric_label)
                woken += 1
        return woken

    def flush(self, now_s: float) -> int:
        """Wake pods that have waited for longer than ``max_unschedulable_s``. Returns how many."""
        overdue = [
            queued
            for queued in self._unschedulable.values()
            if not queued.is_gated and now_s - queued.entered_s > self._max_unschedulable_s
        ]
        for queued in overdue:
            queued.was_flushed = True
            self._wake(queued, now_s, "UnschedulableTimeout")
        return len(overdue)

    def next_deadline_s(self) -> float | None:
        """When a resting pod becomes ready next; None where none rests."""
        while self._backoff:
            _, _, ticket, uid = self._backoff[0]
            queued = self._pods.get(uid)
            if queued is not None and queued.ticket == ticket:
                return queued.backoff_until_s
            heapq.heappop(self._backoff)
        return None

    # -- inside ----------------------------------------------------------------------------------------------------

    def _can_help(self, queued: QueuedPod, event: ClusterEvent) -> bool:
        if event is EVERYTHING_CHANGED:
            return True
        if not queued.plugins or EXTENDERS in queued.plugins:
            return not queued.is_gated
        for plugin, interest in self._interests.get(queued.pod.scheduler_name, ()):
            if plugin in queued.plugins and interest.covers(event) and _hints(interest, queued.pod, event):
                return True
        return False

    def _wake(self, queued: QueuedPod, now_s: float, event: str) -> None:
        if queued.backoff_until_s > now_s:
            self._unschedulable.pop(queued.pod.uid, None)
            if self._gate(queued, event):
                return
            self.incoming["backoff", event] += 1
            queued.place, queued.ticket = "backoff", next(self._tickets)
            key = self._sort.queue_key(queued.pod, queued.entered_s)
            heapq.heappush(self._backoff, (queued.backoff_until_s, key, queued.ticket, queued.pod.uid))
        else:
            self._enter_active(queued, now_s, event)

    def _enter_active(self, queued: QueuedPod, now_s: float, event: str) -> None:
        self._unschedulable.pop(queued.pod.uid, None)
        if self._gate(queued, event):
            return
        self.incoming["active", event] += 1
        if queued.first_ready_s is None:
            queued.first_ready_s = now_s
        queued.place, queued.ticket = "active", next(self._tickets)
        key = self._sort.queue_key(queued.pod, queued.entered_s)
        heapq.heappush(self._active, (key, queued.ticket, queued.pod.uid))

    def _gate(self, queued: QueuedPod, event: str) -> bool:
        """Ask the pre-enqueue plugins; a pod that one keeps back is put among the unschedulable."""
        framework = self._frameworks.get(queued.pod.scheduler_name)
        for plugin in framework.pre_enqueue if framework else ():
            if plugin.pre_enqueue(queued.pod, self._cluster) is not None:
                if not queued.is_gated:
                    self.incoming["unschedulable", event] += 1
                queued.place, queued.is_gated, queued.gated_by = "unschedulable", True, plugin.NAME
                queued.plugins, queued.ticket = frozenset({plugin.NAME}), 0
                self._unschedulable[queued.pod.uid] = queued
                return True
        queued.is_gated, queued.gated_by = False, ""
        return False

    def _end_backoff(self, now_s: float) -> None:
        while (deadline_s := self.next_deadline_s()) is not None and deadline_s <= now_s:
            _, _, _, uid = heapq.heappop(self._backoff)
            self._enter_active(self._pods[uid], now_s, "BackoffComplete")

    def _pop_resting(self, now_s: float) -> QueuedPod | None:
        errors = []
        found = None
        while self._backoff:
            entry = heapq.heappop(self._backoff)
            queued = self._pods.get(entry[3])
            if queued is None or queued.ticket != entry[2]:
                continue
            if queued.error_count:
                errors.append(entry)
                continue
            found = queued
            break
        for entry in errors:
            heapq.heappush(self._backoff, entry)
        if found is None:
            return None
        self.incoming["active", "PopFromBackoffQ"] += 1
        return self._take_off(found, now_s)

    def _take_off(self, queued: QueuedPod, now_s: float) -> QueuedPod:
        queued.place, queued.ticket, queued.began_s = "in_flight", 0, now_s
        queued.attempts += 1
        queued.in_flight_since = self._events_start + len(self._events)
        self._in_flight += 1
        return queued

    def _land(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._events_start += len(self._events)
            self._events.clear()

    def _land_with_events(self, queued: QueuedPod) -> list[ClusterEvent] | None:
        """The events that happened during the flight; None where some were dropped."""
        offset = queued.in_flight_since - self._events_start
        missed = None if offset < 0 else list(itertools.islice(self._events, offset, None))
        self._land()
        return missed

    def _backoff_s(self, queued: QueuedPod) -> float:
        count = queued.error_count or queued.unschedulable_count
        return min(self._initial_backoff_s * 2.0 ** min(max(count - 1, 0), 60), self._max_backoff_s)


def _window_end_s(at_s: float) -> float:
    """Rests end together, once a second, so that among pods that failed at about the same time the order is that of the
    queue: the one of higher priority comes first though it failed a little later."""
    return math.floor(at_s) + BACKOFF_WINDOW_S


def _hints(interest: EventInterest, pod: PodInfo, event: ClusterEvent) -> bool:
    return interest.hint is None or interest.hint(pod, event)
