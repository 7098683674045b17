"""A priority level under load on a clock of its own: clients that ask, requests that take time, who got how much."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from steersman.apiserver.flowcontrol.levels import FlowAccount
from steersman.apiserver.flowcontrol.queueset import ONE_SEAT, QueueSet, Queuing, Ticket, WorkEstimate
from steersman.apiserver.flowcontrol.shufflesharding import deal, flow_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One flow: ``clients`` that ask again ``pause_s`` after each answer, or after ``pause_s`` when they are refused."""

    name: str
    clients: int
    service_s: float
    pause_s: float = 0.0
    estimate: WorkEstimate = ONE_SEAT


class Simulation:
    """Runs loads against one queue set and checks its sums after every ``check_every``-th step."""

    def __init__(self, queuing: Queuing, limit: int, loads: Sequence[Load], *, check_every: int = 100) -> None:
        self._check_every = check_every
        self._steps = 0
        self.now_s = 0.0
        self.queues = QueueSet(queuing, limit=limit, now_s=0.0)
        self.accounts = {load.name: FlowAccount("level", load.name) for load in loads}
        self.served_seat_s = {load.name: 0.0 for load in loads}
        self.finished = {load.name: 0 for load in loads}
        self.refused = {load.name: 0 for load in loads}
        self.longest_wait_s = {load.name: 0.0 for load in loads}
        self._hands = {
            load.name: deal(flow_hash("schema", load.name), queuing.queues, queuing.hand_size) if queuing.queues else ()
            for load in loads
        }
        self._events: list[tuple[float, int, str, Load, Ticket | None]] = []
        self._sequence = itertools.count()
        for load in loads:
            for client in range(load.clients):
                self._at(client * 1e-6, "ask", load)

    def _at(self, due_s: float, what: str, load: Load, ticket: Ticket | None = None) -> None:
        heapq.heappush(self._events, (due_s, next(self._sequence), what, load, ticket))

    def run(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, what, load, ticket = heapq.heappop(self._events)
            if what == "ask":
                self._ask(load)
            elif ticket is not None and what == "answer":
                self._answer(load, ticket)
            elif ticket is not None:
                self.queues.release(ticket, self.now_s)
            self._steps += 1
            if self._steps % self._check_every == 0:
                self.queues.validate()
        self.queues.validate()
        self.now_s = until_s

    def _ask(self, load: Load) -> None:
        ticket = self.queues.start(self.accounts[load.name], self._hands[load.name], load.estimate, self.now_s)
        if ticket is None:
            self.refused[load.name] += 1
            self._at(self.now_s + max(load.pause_s, 0.05), "ask", load)
            return
        started = ticket

        def seated() -> None:
            waited_s = self.now_s - started.arrival_s
            self.longest_wait_s[load.name] = max(self.longest_wait_s[load.name], waited_s)
            self._at(self.now_s + load.service_s, "answer", load, started)

        if ticket.state == "executing":
            seated()
        else:
            ticket.on_dispatch = seated

    def _answer(self, load: Load, ticket: Ticket) -> None:
        lingers_s = self.queues.finish(ticket, self.now_s)
        self.finished[load.name] += 1
        self.served_seat_s[load.name] += load.service_s * ticket.seats + lingers_s * ticket.seats
        if lingers_s > 0:
            self._at(self.now_s + lingers_s, "release", load, ticket)
        self._at(self.now_s + load.pause_s, "ask", load)
