"""Fair queuing over seats and time: the queues of one priority level, as a state machine without I/O.

Each queue has a share of the seats in a virtual world in which all queues are served at once, bit by bit; requests are
dispatched in the order in which they would end there. ``r`` is the meter of that world: seat-seconds given to each busy
queue since the beginning. A request's length is guessed when it starts and put right when it has ended.
Source: KEP-1040, "Fair Queuing for Server Requests". Time comes in with every call; a request that need not wait costs no
more than a few additions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from steersman.apiserver.flowcontrol.demand import Held

SERVICE_S = 0.003
"""How long a request is guessed to take."""
_STATES_KEPT = 4096
"""Different loads in the table of durations before they are handed on."""

TicketState = Literal["waiting", "executing", "lingering", "finished", "withdrawn"]


class WorkEstimate:
    """Seats that a request takes while it is executed, and those that its aftermath (watch events) takes for how long."""

    __slots__ = ("additional_latency_s", "final_seats", "initial_seats", "seats", "work")

    def __init__(self, *, initial_seats: int = 1, final_seats: int = 0, additional_latency_s: float = 0.0) -> None:
        self.initial_seats = initial_seats
        self.final_seats = final_seats
        self.additional_latency_s = additional_latency_s
        self.seats = max(initial_seats, final_seats)
        self.work = initial_seats * SERVICE_S + final_seats * additional_latency_s
        """Seat-seconds."""

    def __repr__(self) -> str:
        return f"WorkEstimate({self.initial_seats}, {self.final_seats} for {self.additional_latency_s} s)"


ONE_SEAT = WorkEstimate()


class Queuing(Struct, frozen=True, kw_only=True):
    """How requests wait: in ``queues`` queues; 0: not at all; ``is_exempt``: they never have to."""

    queues: int = 0
    hand_size: int = 0
    queue_length_limit: int = 0
    is_exempt: bool = False


class Account(Protocol):
    """Who is charged: one flow schema at one level. Counters that the queue set keeps up to date."""

    waiting: int
    seats_waiting: int
    executing: int
    seats_in_use: int
    unaccommodated: int


class Queue:
    """Requests of the flows whose hands contain it."""

    __slots__ = ("executing", "index", "initial_seats_waiting", "next_r", "seats_in_use", "seats_waiting", "waiting", "work_waiting")  # fmt: skip

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: deque[Ticket] = deque()
        self.executing: set[Ticket] = set()
        self.next_r = 0.0
        """The meter's reading at which its next request is dispatched in the virtual world."""
        self.seats_in_use = 0
        self.seats_waiting = 0
        self.initial_seats_waiting = 0
        self.work_waiting = 0.0

    @property
    def is_active(self) -> bool:
        return bool(self.waiting or self.executing)


class Ticket:
    """One request at one priority level, from its arrival until its seats are free again."""

    __slots__ = ("account", "additional_latency_s", "arrival_r", "arrival_s", "final_seats", "initial_seats", "on_dispatch", "queue", "seats", "start_s", "state", "subject", "work")  # fmt: skip

    def __init__(
        self, account: Account, estimate: WorkEstimate, queue: Queue | None, r: float, now_s: float, subject: object
    ) -> None:
        self.account = account
        self.initial_seats = estimate.initial_seats
        self.final_seats = estimate.final_seats
        self.seats = estimate.seats
        self.additional_latency_s = estimate.additional_latency_s
        self.work = estimate.work
        self.queue = queue
        self.arrival_r = r
        self.arrival_s = now_s
        self.start_s = 0.0
        self.state: TicketState = "waiting"
        self.on_dispatch: Callable[[], None] | None = None
        """Called when a request that had to wait gets its seats."""
        self.subject = subject
        """What the ticket is for; nothing here reads it."""

    def __repr__(self) -> str:
        return f"Ticket({self.state}, seats={self.seats})"


class QueueSet:
    """The queues and seats of one priority level."""

    def __init__(self, queuing: Queuing, *, limit: int, now_s: float) -> None:
        self.queuing = queuing
        self.limit = limit
        """Seats that may be taken at once."""
        self.queues: list[Queue] = []
        self.queueless: set[Ticket] = set()
        """Requests in work where there are no queues."""
        self.r = 0.0
        self.waiting = 0
        self.executing = 0
        self.seats_in_use = 0
        self.seats_waiting = 0
        self.dispatched = 0
        self.rejected = 0
        self.timed_out = 0
        self.cancelled = 0
        self.last_dispatch_r = 0.0
        self.last_dispatch_s = 0.0
        """The dispatched queue's reading, upstream's ``latest_s``."""
        self._last_s = now_s
        self._active = 0
        """Queues with requests waiting or executing."""
        self._backlog: set[Queue] = set()
        """Queues with requests waiting."""
        self._robin = 0
        self._arrivals = 0
        self._held: Held = {}
        self._folded: Held = {}
        self._peak = 0
        self._grow(queuing)

    @property
    def is_idle(self) -> bool:
        return not self.waiting and not self.executing

    def configure(self, queuing: Queuing, *, limit: int, now_s: float) -> None:
        """Other queues or seats from now on. Queues too many go once they are empty."""
        self._sync(now_s)
        self.queuing = queuing
        self.limit = limit
        self._grow(queuing)
        self._dispatch(now_s)

    def start(
        self, account: Account, hand: Sequence[int], estimate: WorkEstimate, now_s: float, subject: object = None
    ) -> Ticket | None:
        """A request arrives: its ticket is ``executing`` at once or ``waiting``; None where it is refused."""
        self._sync(now_s)
        seats = estimate.seats
        if not hand:
            if not self._fits(seats):
                self.rejected += 1
                return None
            ticket = Ticket(account, estimate, None, self.r, now_s, subject)
            self._seat(ticket, now_s)
            return ticket
        queue = self._chosen(hand)
        if self.seats_in_use >= self.limit and len(queue.waiting) >= self.queuing.queue_length_limit:
            self.rejected += 1
            self._bound(queue)
            return None
        ticket = Ticket(account, estimate, queue, self.r, now_s, subject)
        if not queue.waiting and not queue.executing:
            queue.next_r = self.r
            self._active += 1
        if not self._backlog and self.seats_in_use < self.limit and self._fits(seats):
            if queue.next_r < self.r:
                queue.next_r = self.r
            self._robin = queue.index
            self._narrow(ticket)
            self._dispatch_from(queue, ticket, now_s)
        else:
            self._enqueue(queue, ticket)
            self._dispatch(now_s)
        return ticket

    def finish(self, ticket: Ticket, now_s: float) -> float:
        """The request has been answered. Its seats are free after the seconds returned; when they have passed (at once for
        0), nothing but ``release`` is left to do, which for 0 was done."""
        self._sync(now_s)
        self.executing -= 1
        ticket.account.executing -= 1
        queue = ticket.queue
        if queue is None:
            self.queueless.discard(ticket)
        else:
            queue.executing.discard(ticket)
            queue.next_r -= ticket.initial_seats * (SERVICE_S - (now_s - ticket.start_s))
            self._bound(queue)
            if not queue.is_active:
                self._active -= 1
        if ticket.additional_latency_s > 0:
            ticket.state = "lingering"
            self._dispatch(now_s)
            return ticket.additional_latency_s
        self._free(ticket)
        self._dispatch(now_s)
        return 0.0

    def release(self, ticket: Ticket, now_s: float) -> None:
        """The request's aftermath is over."""
        if ticket.state != "lingering":
            raise RuntimeError(f"released while {ticket.state}")
        self._sync(now_s)
        self._free(ticket)
        self._dispatch(now_s)

    def withdraw(self, ticket: Ticket, now_s: float, *, timed_out: bool) -> None:
        """A request that waits gives up."""
        queue = ticket.queue
        if ticket.state != "waiting" or queue is None:
            raise RuntimeError(f"withdrawn while {ticket.state}")
        self._sync(now_s)
        queue.waiting.remove(ticket)
        self._unqueue(queue, ticket)
        ticket.state = "withdrawn"
        self.rejected += 1
        if timed_out:
            self.timed_out += 1
        else:
            self.cancelled += 1
        self._bound(queue)
        if not queue.is_active:
            self._active -= 1
            self._drop_if_surplus(queue)

    def durations(self, now_s: float) -> Held:
        """Seconds spent in each state since this was last called."""
        self._sync(now_s)
        held, self._held = self._held, {}
        for load, held_s in self._folded.items():
            held[load] = held.get(load, 0.0) + held_s
        self._folded = {}
        return held

    def take_peak(self) -> int:
        """The most seats that were asked for at once since this was last called."""
        peak = self._peak
        self._peak = self.seats_in_use + self.seats_waiting
        return peak

    def backlog_bounds(self) -> tuple[float, float, float, float] | None:
        """(least, most) reading of the queues with requests waiting, and the same less the work they have under way."""
        if not self._backlog:
            return None
        plain = [queue.next_r for queue in self._backlog]
        discounted = [queue.next_r - queue.seats_in_use * SERVICE_S for queue in self._backlog]
        return min(plain), max(plain), min(discounted), max(discounted)

    def tickets(self) -> Iterator[tuple[int, int, Ticket]]:
        """(queue's index, position; -1 for what is executing, ticket), for dumps."""
        for queue in self.queues:
            for position, ticket in enumerate(queue.waiting):
                yield queue.index, position, ticket
            for ticket in queue.executing:
                yield queue.index, -1, ticket
        for ticket in self.queueless:
            yield -1, -1, ticket

    def validate(self) -> None:
        """Raises ``AssertionError`` where the sums are not those of the parts."""
        queues = self.queues
        assert self.waiting == sum(len(queue.waiting) for queue in queues)
        assert self.executing == sum(len(queue.executing) for queue in queues) + len(self.queueless)
        assert self.seats_waiting == sum(queue.seats_waiting for queue in queues)
        assert self._active == sum(1 for queue in queues if queue.is_active)
        assert self._backlog == {queue for queue in queues if queue.waiting}
        assert all(queue.index == position for position, queue in enumerate(queues))
        assert all(
            queue.seats_waiting == sum(ticket.seats for ticket in queue.waiting) and queue.seats_in_use >= 0
            for queue in queues
        )
        if self._backlog and self.limit > 0:
            assert self.seats_in_use, "requests wait although every seat is free"

    # -- the meter

    def _sync(self, now_s: float) -> None:
        """Bring the meter up to now; what comes next changes the state that has held since the last time."""
        elapsed_s = now_s - self._last_s
        if elapsed_s <= 0:
            return
        self._last_s = now_s
        if self._active:
            self.r += min(self.seats_in_use + self.seats_waiting, self.limit) / self._active * elapsed_s
        load = (self.waiting, self.executing, self.seats_in_use, self.seats_waiting)
        held = self._held
        held[load] = held.get(load, 0.0) + elapsed_s
        if len(held) > _STATES_KEPT:
            self._fold()

    def _fold(self) -> None:
        """Make the table of durations smaller: its numbers are rounded to two digits."""
        folded = self._folded
        for load, held_s in self._held.items():
            waiting, executing, seats_in_use, seats_waiting = map(_coarse, load)
            key = (waiting, executing, seats_in_use, seats_waiting)
            folded[key] = folded.get(key, 0.0) + held_s
        self._held = {}

    def _bound(self, queue: Queue) -> None:
        """A queue that cannot use its share saves nothing up: its next request is not dispatched before it arrived."""
        if queue.waiting and queue.next_r < queue.waiting[0].arrival_r:
            queue.next_r = queue.waiting[0].arrival_r

    # -- queues

    def _grow(self, queuing: Queuing) -> None:
        self.queues += [Queue(index) for index in range(len(self.queues), queuing.queues)]

    def _chosen(self, hand: Sequence[int]) -> Queue:
        """Of the flow's queues the one with the least work waiting; in turns where several have as little."""
        queues, size = self.queues, len(hand)
        offset = self._arrivals % size
        self._arrivals += 1
        if not self._backlog:
            return queues[hand[offset]]
        best = queues[hand[offset]]
        for step in range(1, size):
            queue = queues[hand[(offset + step) % size]]
            if queue.work_waiting < best.work_waiting:
                best = queue
        return best

    def _enqueue(self, queue: Queue, ticket: Ticket) -> None:
        queue.waiting.append(ticket)
        queue.seats_waiting += ticket.seats
        queue.initial_seats_waiting += ticket.initial_seats
        queue.work_waiting += ticket.work
        self._backlog.add(queue)
        self.waiting += 1
        self.seats_waiting += ticket.seats
        self._raise_peak()
        account = ticket.account
        account.waiting += 1
        account.seats_waiting += ticket.seats
        self._bound(queue)

    def _unqueue(self, queue: Queue, ticket: Ticket) -> None:
        """The sums without a ticket that is no longer in its queue."""
        queue.seats_waiting -= ticket.seats
        queue.initial_seats_waiting -= ticket.initial_seats
        queue.work_waiting -= ticket.work
        if not queue.waiting:
            queue.work_waiting = 0.0
            self._backlog.discard(queue)
        self.waiting -= 1
        self.seats_waiting -= ticket.seats
        account = ticket.account
        account.waiting -= 1
        account.seats_waiting -= ticket.seats

    def _drop_if_surplus(self, queue: Queue) -> None:
        """An idle queue beyond those wanted goes, and those behind it move up."""
        queues = self.queues
        if len(queues) <= self.queuing.queues or queue.is_active or queue.seats_in_use:
            return
        if queue.index >= len(queues) or queues[queue.index] is not queue:
            return
        del queues[queue.index]
        for later in queues[queue.index :]:
            later.index -= 1
        if self._robin >= queue.index:
            self._robin -= 1

    # -- seats

    def _fits(self, seats: int) -> bool:
        if self.queuing.is_exempt:
            return True
        if seats > self.limit:
            return self.executing == 0  # it would never fit: it gets the level to itself
        return self.seats_in_use + seats <= self.limit

    def _dispatch(self, now_s: float) -> None:
        """Seat as many of those who wait as can be."""
        while self.waiting and self.seats_in_use < self.limit:
            queue = self._next_queue()
            ticket = queue.waiting[0]
            if not self._fits(ticket.seats):
                ticket.account.unaccommodated += 1
                return
            self._robin = queue.index
            queue.waiting.popleft()
            self._unqueue(queue, ticket)
            self._narrow(ticket)
            self._dispatch_from(queue, ticket, now_s)
            self._bound(queue)
            if ticket.on_dispatch is not None:
                ticket.on_dispatch()

    def _next_queue(self) -> Queue:
        """The queue whose first request would end first in the virtual world; among equals the next in turn."""
        robin, size = self._robin + 1, len(self.queues)
        return min(
            self._backlog,
            key=lambda queue: (queue.next_r + queue.waiting[0].work, (queue.index - robin) % size),
        )

    def _narrow(self, ticket: Ticket) -> None:
        """An aftermath wider than the level takes longer instead; its work stays the same."""
        limit = self.limit
        if ticket.final_seats > limit > 0:
            ticket.additional_latency_s *= ticket.final_seats / limit
            ticket.final_seats = limit
            ticket.seats = max(ticket.initial_seats, limit)

    def _dispatch_from(self, queue: Queue, ticket: Ticket, now_s: float) -> None:
        self.last_dispatch_r, self.last_dispatch_s = self.r, queue.next_r
        queue.executing.add(ticket)
        queue.seats_in_use += ticket.seats
        queue.next_r += ticket.work
        self._seat(ticket, now_s)

    def _seat(self, ticket: Ticket, now_s: float) -> None:
        ticket.state = "executing"
        ticket.start_s = now_s
        if ticket.queue is None:
            self.queueless.add(ticket)
        self.dispatched += 1
        self.executing += 1
        self.seats_in_use += ticket.seats
        self._raise_peak()
        account = ticket.account
        account.executing += 1
        account.seats_in_use += ticket.seats

    def _raise_peak(self) -> None:
        demand = self.seats_in_use + self.seats_waiting
        if demand > self._peak:
            self._peak = demand

    def _free(self, ticket: Ticket) -> None:
        ticket.state = "finished"
        self.seats_in_use -= ticket.seats
        ticket.account.seats_in_use -= ticket.seats
        queue = ticket.queue
        if queue is not None:
            queue.seats_in_use -= ticket.seats
            self._drop_if_surplus(queue)


def _coarse(value: int) -> int:
    return value if value < 100 else round(value, 2 - len(str(value)))
