"""Audit: what is recorded of every request, at the stages that it goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.audit.api import AuditBackend
from steersman.apiserver.audit.event import AuditEvent, AuditRecord
from steersman.apiserver.audit.metrics import AuditMetrics
from steersman.apiserver.audit.policy import Policy, Stage
from steersman.apiserver.authn.api import User
from steersman.apiserver.call import Call
from steersman.apiserver.filters.api import Filter, Next
from steersman.apiserver.filters.authorization import attributes_of
from steersman.apiserver.lifetimes import at_end, lasts
from steersman.meta.errors import APIError, InternalError, Unauthorized
from steersman.meta.wire import Response

CLOSED_EARLY = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}


class AuditFilter:
    NAME = "audit"

    def __init__(self, policy: Policy, backend: AuditBackend, *, clock: Clock, metrics: AuditMetrics) -> None:
        self._policy = policy
        self._backend = backend
        self._clock = clock
        self._metrics = metrics
        self._ends = TaskGroup("audit")

    def start(self, tasks: TaskGroup) -> None:
        self._backend.start(tasks)

    async def close(self) -> None:
        """Record what is still to be recorded."""
        await self._ends.wait()
        await self._backend.close()

    async def __call__(self, call: Call, following: Next) -> Response:
        record = self.record(call)
        if record is None:
            return await following(call)
        if not await self._process(record, "RequestReceived"):
            self._metrics.rejected()
            raise InternalError("Internal error occurred: failed to store audit event")
        call.audit = record
        try:
            response = await following(call)
        except APIError as error:
            record.responded(error.status())
            await self._answered(call, record, error.http_code)
            raise
        except asyncio.CancelledError:
            record.status = CLOSED_EARLY
            self._spawn_end(call, record)
            raise
        except Exception as error:
            message = f"APIServer panic'd: {error}"
            record.status = {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}  # fmt: skip
            await self._process(record, "Panic", call)
            raise
        if not lasts(response):
            await self._answered(call, record, response.status)
            return response
        record.answered(response.status)
        if call.info.is_long_running:
            await self._process(record, "ResponseStarted", call)
        return at_end(response, self._when_ended(call, record))

    def record(self, call: Call) -> AuditRecord | None:
        """What is to be recorded of ``call``; None for nothing."""
        decision = self._policy.decide(attributes_of(call))
        self._metrics.level(decision.level)
        if decision.level == "None":
            return None
        elapsed_s = self._clock.monotonic() - call.received_s
        return AuditRecord(
            decision=decision,
            received_s=self._clock.now() - elapsed_s,
            request=call.request,
            info=call.info,
            audit_id=call.audit_id,
            user=call.user,
        )

    async def failed_authentication(self, call: Call) -> None:
        """Record a request of which nobody knows whose it is."""
        record = self.record(call)
        if record is None:
            return
        record.user = User(name="")
        record.responded(Unauthorized().status())
        record.answered(401)
        await self._process(record, "ResponseStarted")

    async def _answered(self, call: Call, record: AuditRecord, code: int) -> None:
        record.answered(code)
        if call.info.is_long_running:
            await self._process(record, "ResponseStarted", call)
        await self._process(record, "ResponseComplete", call)

    async def _ended(self, call: Call, record: AuditRecord) -> None:
        await self._process(record, "ResponseComplete", call)

    def _when_ended(self, call: Call, record: AuditRecord) -> Callable[[], None]:
        return lambda: self._spawn_end(call, record)

    def _spawn_end(self, call: Call, record: AuditRecord) -> None:
        self._ends.spawn(self._ended(call, record), name="end of a request")

    async def _process(self, record: AuditRecord, stage: Stage, call: Call | None = None) -> bool:
        if stage in record.decision.omit_stages:
            return True
        self._metrics.event()
        event: AuditEvent = record.event(stage, self._clock.now(), call)
        return await self._backend.process((event,))


def _conforms(policy: Policy, backend: AuditBackend, clock: Clock, metrics: AuditMetrics) -> Filter:
    return AuditFilter(policy, backend, clock=clock, metrics=metrics)
