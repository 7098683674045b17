"""The webhook backend: lists of events, posted to the server that a kubeconfig names."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from steersman.aio.backoff import Backoff
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.audit.api import AuditBackend
from steersman.apiserver.audit.event import AuditEvent
from steersman.apiserver.audit.metrics import AuditMetrics
from steersman.client.transport import Transport, Unreachable
from steersman.meta.wire import Request

TIMEOUT_S = 30
TRIES = 5
FACTOR = 1.5
JITTER = 0.2


class WebhookBackend:
    """Tries again after every failure, whatever it was: lost events are worse than late ones."""

    NAME = "webhook"

    def __init__(
        self,
        connect: Callable[[], Transport],
        *,
        initial_backoff_s: float,
        clock: Clock,
        rng: random.Random,
        metrics: AuditMetrics,
    ) -> None:
        self._connect = connect
        self._transport: Transport | None = None
        self._initial_backoff_s = initial_backoff_s
        self._clock = clock
        self._rng = rng
        self._metrics = metrics

    async def process(self, events: Sequence[AuditEvent]) -> bool:
        items = b",".join([event.json for event in events])
        request = Request(
            method="POST",
            path="",
            query={"timeout": [f"{TIMEOUT_S}s"]},
            headers={"content-type": "application/json", "accept": "application/json"},
            body=b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[%b]}' % items,
        )
        backoff = Backoff(initial_s=self._initial_backoff_s, factor=FACTOR, jitter=JITTER, rng=self._rng, cap_s=600.0)
        failure = ""
        for attempt in range(TRIES):
            if attempt:
                await self._clock.sleep(backoff.next())
            failure = await self._post(request)
            if not failure:
                return True
        self._metrics.failed(self.NAME, failure, events)
        return False

    async def _post(self, request: Request) -> str:
        """What went wrong; empty where nothing did."""
        if self._transport is None:
            self._transport = self._connect()
        try:
            answer = await self._transport.send(request)
        except Unreachable as error:
            return str(error)
        return "" if 200 <= answer.status < 300 else f"the server answered with status {answer.status}"

    def start(self, tasks: TaskGroup) -> None:
        return None

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()


def _conforms(backend: WebhookBackend) -> AuditBackend:
    return backend
