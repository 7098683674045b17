"""``/debug/api_priority_and_fairness/…``: levels, queues and requests as they are now, in upstream's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from steersman.aio.clock import Clock
from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.flowcontrol.controller import PriorityAndFairness, RequestPass
from steersman.apiserver.flowcontrol.queueset import Ticket
from steersman.apiserver.router import PathHandler
from steersman.meta.wire import Response

_ROOT = "/debug/api_priority_and_fairness"
_LEAST_WIDTH = 8
_ZERO_TIME = "0001-01-01T00:00:00Z"


class FlowControlDumps:
    """The three debugging paths. They are served and not listed."""

    def __init__(self, control: PriorityAndFairness, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {
            f"{_ROOT}/dump_priority_levels": self.levels,
            f"{_ROOT}/dump_queues": self.queues,
            f"{_ROOT}/dump_requests": self.requests,
        }

    async def levels(self, call: Call) -> Response:
        rows = [
            ("PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests",
             "DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests")
        ]  # fmt: skip
        for name, level in sorted(self._control.levels.items()):
            queues = level.queues
            active = sum(1 for queue in queues.queues if queue.waiting)
            rows.append(
                (name, str(active), _bool(queues.is_idle), _bool(level.is_quiescing), str(queues.waiting),
                 str(queues.executing), str(queues.dispatched), str(queues.rejected), str(queues.timed_out),
                 str(queues.cancelled))
            )  # fmt: skip
        return respond.text(call, table(rows))

    async def queues(self, call: Call) -> Response:
        rows = [
            ("PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR",
             "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum")
        ]  # fmt: skip
        for name, level in self._control.levels.items():
            rows.extend(
                (name, str(queue.index), str(len(queue.waiting)), str(len(queue.executing)), str(queue.seats_in_use),
                 _seat_seconds(queue.next_r), str(queue.initial_seats_waiting), str(queue.seats_waiting),
                 _seat_seconds(queue.work_waiting))
                for queue in level.queues.queues
            )  # fmt: skip
        return respond.text(call, table(rows))

    async def requests(self, call: Call) -> Response:
        has_details = bool(call.query("includeRequestDetails"))
        head = ("PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime",
                "InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime")  # fmt: skip
        details = ("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")
        rows: list[Sequence[str]] = [(*head, *details) if has_details else head]
        for name, level in self._control.levels.items():
            for queue, position, ticket in level.queues.tickets():
                made = ticket.subject
                if isinstance(made, RequestPass):
                    row = self._row(name, queue, position, ticket, made)
                    rows.append((*row, *_details(made.call)) if has_details else row)
        return respond.text(call, table(rows))

    def _row(self, level: str, queue: int, position: int, ticket: Ticket, made: RequestPass) -> Sequence[str]:
        return (
            level, made.flow.schema.name, str(queue), str(position), made.flow.distinguisher, self._time(ticket.arrival_s),
            str(ticket.initial_seats), str(ticket.final_seats), _duration(ticket.additional_latency_s),
            self._time(ticket.start_s) if ticket.start_s else _ZERO_TIME,
        )  # fmt: skip

    def _time(self, monotonic_s: float) -> str:
        epoch_s = self._clock.now() - (self._clock.monotonic() - monotonic_s)
        return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _details(call: Call) -> Sequence[str]:
    info = call.info
    version = f"{info.group}/{info.version}" if info.group else info.version
    return (
        call.user.name, info.verb, info.path, info.namespace, info.name, version, info.resource, info.subresource,
    )  # fmt: skip


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as Go's tabwriter aligns them, a comma after each cell but the last."""
    if not rows:
        return ""
    widths = [max(_LEAST_WIDTH, *(len(row[column]) + 2 for row in rows)) for column in range(len(rows[0]) - 1)]
    lines = [
        "".join(f"{cell},".ljust(width) for cell, width in zip(row, widths, strict=False)) + row[-1] for row in rows
    ]
    return "\n".join(lines) + "\n"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _seat_seconds(value: float) -> str:
    return f"{max(value, 0.0):.8f}ss"


def _duration(seconds: float) -> str:
    """As Go writes durations of less than a second or so."""
    if seconds == 0:
        return "0s"
    milliseconds = f"{seconds * 1000:.6f}".rstrip("0").rstrip(".")
    return f"{milliseconds}ms" if seconds < 1 else f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
