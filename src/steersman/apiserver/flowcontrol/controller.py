"""Priority and fairness at work: which level and flow a request belongs to, and what becomes of it there.

The way of a request that need not wait is a dictionary look-up and the additions of ``queueset.py``: no task, no timer, no
lock. Time-outs of those that wait and the aftermath of wide writes are looked after by one task that sleeps otherwise.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence

from steersman.aio.clock import Clock
from steersman.apiserver.authn.api import User
from steersman.apiserver.call import Call
from steersman.apiserver.flowcontrol.api import FlowController, Pass, Refused
from steersman.apiserver.flowcontrol.concurrency import Borrower, adjust, seat_limits
from steersman.apiserver.flowcontrol.levels import FlowAccount, Level, LevelConfig, MalformedLevel
from steersman.apiserver.flowcontrol.matching import FlowSchema
from steersman.apiserver.flowcontrol.maxinflight import READS
from steersman.apiserver.flowcontrol.queueset import QueueSet, Ticket
from steersman.apiserver.flowcontrol.requestkinds import RequestKinds
from steersman.apiserver.flowcontrol.shufflesharding import deal, flow_hash
from steersman.apiserver.flowcontrol.watchcounts import WatchCounts
from steersman.apiserver.flowcontrol.workestimation import StatsReader, WorkEstimator
from steersman.apiserver.requestinfo import RequestInfo
from steersman.apiserver.watching import Watch
from steersman.meta.objects import Object
from steersman.meta.wire import Response
from steersman.schema.groups.flowcontrol.mandatory import CATCH_ALL, EXEMPT, FLOW_SCHEMAS, PRIORITY_LEVELS

log = logging.getLogger(__name__)

ADJUSTMENT_S = 10.0
"""How often seats are lent anew."""
LONGEST_WAIT_S = 60.0
SWEEP_S = 0.25
RELEASE_S = 0.005
FLOWS_KEPT = 16_384
"""Classifications that are remembered; when there are more, all are forgotten."""
UID_HEADERS = ("x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid")


class Flow:
    """One flow of one flow schema: what its requests have in common."""

    __slots__ = ("account", "distinguisher", "hand", "headers", "level", "schema")

    def __init__(self, schema: FlowSchema, level: Level, account: FlowAccount, distinguisher: str) -> None:
        self.schema = schema
        self.level = level
        self.account = account
        self.distinguisher = distinguisher
        self.headers: Mapping[str, str] = dict(zip(UID_HEADERS, (schema.uid, level.config.uid), strict=True))
        queuing = level.config.queuing
        self.hand: Sequence[int] = ()
        """Indexes of the queues that its requests may wait in."""
        if queuing.queues:
            self.hand = deal(flow_hash(schema.name, distinguisher), queuing.queues, queuing.hand_size)


class RequestPass:
    """One request at its level."""

    __slots__ = ("_control", "_turn", "call", "flow", "is_write", "ticket")

    def __init__(self, control: PriorityAndFairness, flow: Flow, ticket: Ticket, call: Call, is_write: bool) -> None:
        self._control = control
        self._turn: asyncio.Future[bool] | None = None
        self.flow = flow
        self.ticket = ticket
        self.call = call
        self.is_write = is_write

    @property
    def is_waiting(self) -> bool:
        return self.ticket.state == "waiting"

    async def turn(self) -> None:
        control = self._control
        turn = self._turn = asyncio.get_running_loop().create_future()
        self.ticket.on_dispatch = self._dispatched
        control.wait(self)
        try:
            is_seated = await turn
        except asyncio.CancelledError:
            if self.is_waiting:
                control.withdraw(self, timed_out=False)
            else:
                self.give_back()
            raise
        finally:
            control.no_longer_waits(self)
        if not is_seated:
            raise Refused(self.flow.level.retry_after.seconds)

    def _dispatched(self) -> None:
        self._control.seated(self)
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(True)

    def time_out(self) -> None:
        """It has waited too long."""
        self._control.withdraw(self, timed_out=True)
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(False)

    def give_back(self) -> None:
        self._control.finished(self)


class PriorityAndFairness:
    """The priority levels of one server and the requests in them."""

    def __init__(self, *, server_limit: int, clock: Clock, stats: StatsReader, request_timeout_s: float) -> None:
        self.server_limit = server_limit
        """Seats of all levels together."""
        self._clock = clock
        self._request_timeout_s = request_timeout_s
        self.watches = WatchCounts()
        self._estimator = WorkEstimator(stats, self.watches, clock)
        self.levels: dict[str, Level] = {}
        self.accounts: dict[tuple[str, str], FlowAccount] = {}
        """By level and schema; kept when those go, as counters do not fall."""
        self.requests = RequestKinds(now_s=clock.monotonic())
        self.fair_fraction = 0.0
        self._schemas: tuple[FlowSchema, ...] = ()
        self._flows: dict[tuple[object, ...], Flow] = {}
        self._objects: tuple[Sequence[Object], Sequence[Object]] = ((), ())
        self._waiting: dict[RequestPass, float] = {}
        """Until when each may wait, monotonic seconds."""
        self._lingering: list[tuple[float, int, QueueSet, Ticket]] = []
        self._sequence = itertools.count()
        self._work = asyncio.Event()
        self.configure((), ())

    # -- requests

    def enter(self, call: Call) -> Pass | None:
        info = call.info
        if info.is_long_running and info.verb != "watch":
            return None
        flow = self._flow(call.user, info)
        call.response_headers = flow.headers
        level, account = flow.level, flow.account
        estimate, watches = self._estimator.estimate(call, level.most_seats)
        seats = estimate.seats
        account.seats_estimated.observe(seats)
        if watches is not None:
            account.watches.observe(watches)
        now_s = self._clock.monotonic()
        ticket = level.queues.start(account, flow.hand, estimate, now_s)
        if ticket is None:
            raise self._refused(flow, now_s)
        made = RequestPass(self, flow, ticket, call, info.verb not in READS)
        ticket.subject = made
        queue = ticket.queue
        if queue is not None:
            account.queue_lengths.observe(len(queue.waiting))
        if ticket.state == "executing":
            self.seated(made)
        else:
            self.requests.changed(made.is_write, waiting=1, executing=0, now_s=now_s)
        return made

    def watching(self, call: Call, response: Response) -> None:
        watch = response.watch
        if isinstance(watch, Watch):
            scope = self.watches.add(call)
            if scope is not None:
                watch.when_ended(lambda: self.watches.remove(scope))

    def _flow(self, user: User, info: RequestInfo) -> Flow:
        if info.is_resource:
            key: tuple[object, ...] = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace)  # fmt: skip
        else:
            key = (user.name, user.groups, info.verb, info.path)
        flow = self._flows.get(key)
        if flow is None:
            flow = self._classified(user, info)
            if len(self._flows) >= FLOWS_KEPT:
                self._flows.clear()
            self._flows[key] = flow
        return flow

    def _classified(self, user: User, info: RequestInfo) -> Flow:
        catch_all = next(schema for schema in self._schemas if schema.name == CATCH_ALL)
        schema = next((schema for schema in self._schemas if schema.matches(user, info)), catch_all)
        level = self.levels[schema.level]
        distinguisher = schema.flow_of(user, info) if level.config.queuing.queues > 1 else ""
        return Flow(schema, level, self._account(level.name, schema.name), distinguisher)

    def _account(self, level: str, schema: str) -> FlowAccount:
        key = (level, schema)
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = FlowAccount(level, schema)
        return account

    def _refused(self, flow: Flow, now_s: float) -> Refused:
        account = flow.account
        if not flow.level.config.is_exempt:
            account.waited_refused_s.observe(0.0)
        reason = "queue-full" if flow.hand else "concurrency-limit"
        account.rejected[reason] = account.rejected.get(reason, 0) + 1
        self._reap(flow.level)
        return self._told(flow)

    def _told(self, flow: Flow) -> Refused:
        retry_after = flow.level.retry_after
        retry_after.refused(self._clock.now())
        return Refused(retry_after.seconds)

    def seated(self, made: RequestPass) -> None:
        """A request leaves its queue, or never was in it."""
        ticket, flow = made.ticket, made.flow
        account = flow.account
        account.dispatched += 1
        waited_s = ticket.start_s - ticket.arrival_s
        if not flow.level.config.is_exempt:
            account.waited_s.observe(waited_s)
        waiting = -1 if ticket.on_dispatch is not None else 0
        self.requests.changed(made.is_write, waiting=waiting, executing=1, now_s=ticket.start_s)

    def finished(self, made: RequestPass) -> None:
        """A request has been answered."""
        now_s = self._clock.monotonic()
        ticket, flow = made.ticket, made.flow
        account = flow.account
        took = account.initialization_s if made.call.info.verb == "watch" else account.execution_s
        took.observe(now_s - ticket.start_s)
        self.requests.changed(made.is_write, waiting=0, executing=-1, now_s=now_s)
        queues = flow.level.queues
        lingers_s = queues.finish(ticket, now_s)
        if lingers_s > 0:
            heapq.heappush(self._lingering, (now_s + lingers_s, next(self._sequence), queues, ticket))
            self._work.set()
        if flow.level.is_quiescing:
            self._reap(flow.level)

    def wait(self, made: RequestPass) -> None:
        """A request begins to wait: a quarter of the time it has, at most a minute."""
        call = made.call
        limit_s = call.time_limit_s if call.time_limit_s > 0 else self._request_timeout_s
        self._waiting[made] = call.received_s + min(limit_s / 4, LONGEST_WAIT_S)
        self._work.set()

    def no_longer_waits(self, made: RequestPass) -> None:
        self._waiting.pop(made, None)

    def withdraw(self, made: RequestPass, *, timed_out: bool) -> None:
        """A request gives up waiting."""
        now_s = self._clock.monotonic()
        ticket, flow = made.ticket, made.flow
        flow.level.queues.withdraw(ticket, now_s, timed_out=timed_out)
        account = flow.account
        account.rejected["time-out"] = account.rejected.get("time-out", 0) + 1
        account.waited_s.observe(now_s - ticket.arrival_s)
        self.requests.changed(made.is_write, waiting=-1, executing=0, now_s=now_s)
        if timed_out:
            self._told(flow)
        self._reap(flow.level)

    # -- what happens by itself

    async def run(self) -> None:
        """End waiting that has lasted too long and free the seats of finished writes, until cancelled."""
        while True:
            if not self._waiting and not self._lingering:
                self._work.clear()
                await self._work.wait()
            await self._clock.sleep(self._pause_s())
            self.sweep()

    def _pause_s(self) -> float:
        if not self._lingering:
            return SWEEP_S
        return min(max(self._lingering[0][0] - self._clock.monotonic(), 0.001), RELEASE_S)

    def sweep(self) -> None:
        now_s = self._clock.monotonic()
        lingering = self._lingering
        while lingering and lingering[0][0] <= now_s:
            _, _, queues, ticket = heapq.heappop(lingering)
            queues.release(ticket, now_s)
        if self._waiting:
            for made, due_s in tuple(self._waiting.items()):
                if due_s <= now_s and made.is_waiting:
                    made.time_out()

    async def lend(self) -> None:
        """Adjust the levels' seats to what they can use, until cancelled."""
        while True:
            await self._clock.sleep(ADJUSTMENT_S)
            self.adjust()

    def adjust(self) -> None:
        """Borrowing: seats for all levels by what each could have used since the last time."""
        now_s = self._clock.monotonic()
        levels = tuple(self.levels.values())
        for level in levels:
            level.end_period(now_s)
        adjusted = adjust(
            [
                Borrower(
                    limits=level.limits,
                    high_watermark=level.demand.high_watermark,
                    smoothed=level.demand.smoothed,
                    is_exempt=level.config.is_exempt,
                    current=level.queues.limit,
                )
                for level in levels
            ]
        )
        self.fair_fraction = adjusted.fair_fraction
        for level, seats, target in zip(levels, adjusted.seats, adjusted.targets, strict=True):
            level.target = target
            level.configure(seats, self.server_limit, now_s)

    # -- configuration

    def configure(self, level_objects: Sequence[Object], schema_objects: Sequence[Object]) -> None:
        """Go by these objects from now on. Levels that are no longer wanted serve what is in them to its end; mandatory
        levels and schemas are there whether their objects are or not."""
        self._objects = (level_objects, schema_objects)
        now_s = self._clock.monotonic()
        configs = dict(_configs(level_objects))
        schemas = [FlowSchema.of(obj) for obj in schema_objects]
        schemas = [schema for schema in schemas if schema.level in configs]
        schemas.sort(key=lambda schema: (schema.precedence, schema.name))
        names = {schema.name for schema in schemas}
        if EXEMPT not in names:
            schemas.insert(0, FlowSchema.of({"metadata": {"name": EXEMPT}, "spec": FLOW_SCHEMAS[EXEMPT]}))
        if CATCH_ALL not in names:
            schemas.append(FlowSchema.of({"metadata": {"name": CATCH_ALL}, "spec": FLOW_SCHEMAS[CATCH_ALL]}))
        self.levels = self._levels(configs, now_s)
        self._schemas = tuple(schemas)
        self._flows.clear()
        share_sum = sum(level.config.shares.nominal for level in self.levels.values())
        for level in self.levels.values():
            level.take_limits(seat_limits(level.config.shares, share_sum, self.server_limit))
        self.adjust()
        queuings = [level.config.queuing for level in self.levels.values()]
        self.requests.fold()
        self.requests.limit = (
            sum(queuing.queues * queuing.queue_length_limit for queuing in queuings),
            sum(level.limits.nominal for level in self.levels.values()),
        )

    def _levels(self, configs: Mapping[str, LevelConfig], now_s: float) -> dict[str, Level]:
        found: dict[str, Level] = {}
        for name, config in configs.items():
            level = self.levels.get(name)
            if level is None:
                level = Level(config, now_s=now_s)
            level.fold(now_s)
            level.config = config
            level.is_quiescing = False
            found[name] = level
        for name, level in self.levels.items():
            if name in found or name in PRIORITY_LEVELS:
                continue
            if not level.queues.is_idle:
                level.is_quiescing = True
                found[name] = level
        for name, spec in PRIORITY_LEVELS.items():
            if name not in found:
                found[name] = self.levels.get(name) or Level(
                    LevelConfig.of({"metadata": {"name": name}, "spec": spec}), now_s=now_s
                )
        return found

    def _reap(self, level: Level) -> None:
        if level.is_quiescing and level.queues.is_idle:
            self.configure(*self._objects)


def _configs(objects: Iterable[Object]) -> Iterable[tuple[str, LevelConfig]]:
    for obj in objects:
        try:
            config = LevelConfig.of(obj)
        except MalformedLevel as error:
            log.warning("a priority level is left out: %s", error)
            continue
        yield config.name, config


def _conforms(control: PriorityAndFairness) -> FlowController:
    return control
