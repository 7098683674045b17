"""What runs a controller: its queue, its workers, retries with rate limits, pace, metrics, and an id for each reconcile.

watch event -> ``controller.concerned(resource, change)`` -> keys -> queue (each key once, never twice in work) -> worker ->
``controller.reconcile(key)`` -> ``Result``. An exception means "again, later": per key 5 ms doubling up to 1000 s, and all keys
of a controller together 10 retries a second after a burst of 100 (client-go's default controller rate limiter). The queue is
bounded by the number of objects there are.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from msgspec import Struct, field

from steersman.aio.backoff import ItemBackoff
from steersman.aio.clock import Clock
from steersman.aio.stopwatch import Stopwatch
from steersman.aio.tasks import TaskGroup
from steersman.aio.workqueue import QueueShutDown, WorkQueue
from steersman.client.api import Client
from steersman.client.events import EventRecorder
from steersman.client.informer import Change, IndexFunction, Informer, Informers
from steersman.client.transport import Unreachable
from steersman.controllers.config import ControllerManagerConfig
from steersman.controllers.expectations import TIMEOUT_S, Expectations
from steersman.meta.errors import APIError, Conflict
from steersman.meta.resources import Resource

if TYPE_CHECKING:
    from steersman.controllers.metrics import QueueMetrics

RETRY_BURST = 100
RETRIES_PER_S = 10.0
LONG_RECONCILE_S = 0.002
LONGEST_REST_S = 1.0

_current: ContextVar[str] = ContextVar("reconcile", default="")


class ReconcileLog(logging.LoggerAdapter[logging.Logger]):
    """Puts ``[controller key id]`` of the reconcile that is running before each message."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        prefix = _current.get()
        return (f"[{prefix}] {msg}" if prefix else msg), kwargs


def reconcile_log(name: str) -> ReconcileLog:
    return ReconcileLog(logging.getLogger(name), {})


log = reconcile_log(__name__)


class Watch(Struct, frozen=True, kw_only=True):
    """A resource whose changes a controller wants to know, and by what it looks objects up in the cache."""

    resource: Resource
    indexers: Mapping[str, IndexFunction] = field(default_factory=dict)
    namespace: str = ""
    """Only this one; empty: all."""
    field_selector: str = ""
    label_selector: str = ""
    optional: bool = False
    """The server need not have it: do not wait for it."""


class Result(Struct, frozen=True, kw_only=True):
    """What a reconcile that did not fail asks for."""

    requeue_after_s: float | None = None
    """Look again then (time passing is no event); None: when something changes."""


DONE = Result()


class Context(Struct, frozen=True, kw_only=True):
    """What a controller gets to work with; nothing else reaches it."""

    client: Client
    informers: Informers
    clock: Clock
    events: EventRecorder
    config: ControllerManagerConfig
    rng: random.Random
    queue: WorkQueue[str]
    expectations: Expectations

    def informer(self, watch: Watch) -> Informer:
        """The shared cache of what ``watch`` names, with its indexes."""
        informer = self.informers.of(
            watch.resource,
            namespace=watch.namespace,
            field_selector=watch.field_selector,
            label_selector=watch.label_selector,
        )
        for name, function in watch.indexers.items():
            if not informer.has_indexer(name):
                informer.add_indexer(name, function)
        return informer


class Controller(Protocol):
    """Makes the world like what objects of one kind say, one key at a time."""

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        """Keys to reconcile because of ``change``. Quick, and never the place for a decision."""

    async def reconcile(self, key: str) -> Result:
        """Bring ``key`` closer to what is wanted, from what is now (never from what changed). Idempotent."""


@runtime_checkable
class Background(Protocol):
    """A controller that also does something that is no reconcile of a key, such as discovering resources."""

    async def run(self) -> None: ...


class Module(Protocol):
    """The module-level names of a file in ``kinds/``."""

    @property
    def NAME(self) -> str: ...
    @property
    def WATCHES(self) -> Sequence[Watch]: ...


class Registration(Struct, frozen=True, kw_only=True):
    """One row of ``kinds.REGISTRY``."""

    module: Module
    start: Callable[[Context], Controller]
    workers: Callable[[ControllerManagerConfig], int] = lambda config: 1
    on_by_default: bool = True
    enabled: Callable[[ControllerManagerConfig], bool] = lambda config: True
    """False where the configuration lacks what the controller needs, e.g. a CA key; it is then skipped, with a log line."""
    keys: Sequence[str] = ()
    """Keys to reconcile once at the start, for controllers that have work of their own."""
    event_source: str = ""
    """Component that its events name, where that is not its own name."""
    share_of_time: float = 1 / 3
    """The most that reconciles of one key may take of the time, once they are long: many changes then make one reconcile."""
    aliases: Sequence[str] = ()
    """Other names of it for ``--controllers=``: those of before Kubernetes v1.28."""
    service_account: str | None = None
    """Where the controller's identity has not its own name: upstream's bootstrap roles name some differently. Empty: it
    works as the manager itself."""

    @property
    def name(self) -> str:
        return self.module.NAME


class NotRun(Struct, frozen=True, kw_only=True):
    """A controller of upstream's that exists by name only."""

    name: str
    because: str
    aliases: Sequence[str] = ()
    is_off_by_default: bool = False
    """Upstream would run it where it is named: here naming it is an error."""


class Runner:
    """Runs one controller until cancelled."""

    def __init__(
        self,
        registration: Registration,
        *,
        client: Client,
        informers: Informers,
        clock: Clock,
        config: ControllerManagerConfig,
        rng: random.Random,
        events: EventRecorder,
        metrics: QueueMetrics,
    ) -> None:
        self.name = registration.name
        self._registration = registration
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._events = events
        self._queue: WorkQueue[str] = WorkQueue(clock, ItemBackoff())
        self._expectations = Expectations(clock, self._queue.add)
        self._retry_tokens = float(RETRY_BURST)
        self._retry_refilled_s = clock.monotonic()
        self._rests: dict[str, float] = {}
        self._added_s: dict[str, float] = {}
        self._workers = registration.workers(config)
        self._context = Context(
            client=client,
            informers=informers,
            clock=clock,
            events=events,
            config=config,
            rng=rng,
            queue=self._queue,
            expectations=self._expectations,
        )
        self._informers = [self._context.informer(watch) for watch in registration.module.WATCHES]
        self._controller = registration.start(self._context)
        self.reconciles = 0

    @property
    def quiet(self) -> bool:
        """Nothing to do now; something may be due later."""
        return self._queue.quiet and self._events.idle

    @property
    def ready(self) -> bool:
        return all(informer.synced for informer in self._required())

    def requeue_everything(self) -> None:
        """Reconcile whatever any cached object concerns again, as a resync does."""
        for informer in self._informers:
            for obj in informer.list():
                for key in self._controller.concerned(informer.resource, Change("updated", obj, obj)):
                    self._add(key)
        for key in self._registration.keys:
            self._add(key)

    async def run(self) -> None:
        for informer in self._required():
            await informer.wait_synced()
        log.info("starting %s with %d workers", self.name, self._workers)
        for watch, informer in zip(self._registration.module.WATCHES, self._informers, strict=True):
            informer.subscribe(self._handler(watch.resource))
        for key in self._registration.keys:
            self._add(key)
        async with TaskGroup(self.name) as group:
            group.spawn(self._events.run(), name="events")
            if isinstance(self._controller, Background):
                group.supervise(self._controller.run, name="background", clock=self._clock)
            for number in range(self._workers):
                group.spawn(self._work(), name=f"worker-{number}")
            try:
                await group.wait()
            finally:
                self._queue.close()

    def _required(self) -> list[Informer]:
        watches = self._registration.module.WATCHES
        return [informer for informer, watch in zip(self._informers, watches, strict=True) if not watch.optional]

    def _handler(self, resource: Resource) -> Callable[[Change], None]:
        def changed(change: Change) -> None:
            for key in self._controller.concerned(resource, change):
                self._add(key)

        return changed

    def _add(self, key: str) -> None:
        self._metrics.added()
        self._added_s.setdefault(key, self._clock.monotonic())
        self._queue.add(key)

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except QueueShutDown:
                return
            try:
                await self._turn(key)
            finally:
                self._queue.done(key)

    async def _turn(self, key: str) -> None:
        rest_s = self._rests.get(key, 0.0) - self._clock.monotonic()
        if rest_s > 0:
            self._queue.add_after(key, rest_s)
            return
        self._rests.pop(key, None)
        if not self._expectations.satisfied(key):
            self._expectations.defer(key)
            self._queue.add_after(key, TIMEOUT_S)
            return
        began_s = self._clock.monotonic()
        self._metrics.taken(len(self._queue), began_s - self._added_s.pop(key, began_s))
        token = _current.set(f"{self.name} {key or '-'} {self._rng.getrandbits(32):08x}")
        watch = Stopwatch(self._reconcile(key), timer=self._clock.monotonic)
        try:
            await watch
        finally:
            _current.reset(token)
            self._metrics.worked(self._clock.monotonic() - began_s)
            if watch.busy_s > LONG_RECONCILE_S:
                self._rest(key, watch.busy_s)

    async def _reconcile(self, key: str) -> None:
        self.reconciles += 1
        try:
            result = await self._controller.reconcile(key)
        except Conflict as error:
            log.debug("conflict, trying again: %s", error.message)
            self._retry(key)
        except (APIError, Unreachable) as error:
            log.log(logging.WARNING if self._queue.failures(key) > 2 else logging.INFO, "%s; trying again", error)
            self._retry(key)
        except Exception:
            log.exception("reconcile failed; trying again")
            self._retry(key)
        else:
            self._queue.forget(key)
            if result.requeue_after_s is not None:
                self._queue.add_after(key, result.requeue_after_s)

    def _rest(self, key: str, busy_s: float) -> None:
        """Give the others their share of the time before ``key`` is reconciled again. Waiting for the server is not held
        against it."""
        now_s = self._clock.monotonic()
        if len(self._rests) > 10_000:
            self._rests = {key: due_s for key, due_s in self._rests.items() if due_s > now_s}
        rest_s = busy_s / self._registration.share_of_time - busy_s
        self._rests[key] = now_s + min(rest_s, LONGEST_REST_S)

    def _retry(self, key: str) -> None:
        self._metrics.retried()
        now_s = self._clock.monotonic()
        refilled = (now_s - self._retry_refilled_s) * RETRIES_PER_S
        self._retry_tokens = min(RETRY_BURST, self._retry_tokens + refilled) - 1
        self._retry_refilled_s = now_s
        self._queue.add_rate_limited(key, at_least_s=max(-self._retry_tokens, 0.0) / RETRIES_PER_S)


async def slow_start(count: int, write: Callable[[int], Awaitable[None]]) -> None:
    """Call ``write(0..count-1)`` in batches of 1, 2, 4, …, each batch at once; stop after a batch in which one failed.

    Raises the first failure. So a write that is going to be refused (a quota) is refused a few times, not thousands of times.
    """
    done, size = 0, 1
    while done < count:
        batch = range(done, min(done + size, count))
        outcomes = await asyncio.gather(*(write(index) for index in batch), return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            raise failures[0]
        done += len(batch)
        size *= 2


async def all_of(writes: Iterable[Awaitable[Any]]) -> None:
    """Make all writes at once, each to its end; then raise the first failure."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
