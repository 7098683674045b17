"""Priority and fairness of one server, put together."""

from __future__ import annotations

import random
from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.admission.api import Reader
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.flowcontrol.configuration import FlowConfiguration
from steersman.apiserver.flowcontrol.controller import PriorityAndFairness
from steersman.apiserver.flowcontrol.dumps import FlowControlDumps
from steersman.apiserver.flowcontrol.metrics import FlowControlMetrics
from steersman.apiserver.flowcontrol.workestimation import ObjectStats
from steersman.apiserver.requestinfo import RequestInfo
from steersman.apiserver.router import PathHandler
from steersman.client.api import Client
from steersman.store.objects import ObjectStore

HOOKS = tuple(f"priority-and-fairness-{part}" for part in ("config-consumer", "config-producer", "filter"))
"""What the start of a server waits for, by upstream's names."""
_SAMPLE = 64
"""Objects whose size stands for all of their kind."""


class FlowControl:
    """``seats`` for all priority levels together."""

    def __init__(
        self,
        seats: int,
        *,
        request_timeout_s: float,
        store: ObjectStore,
        kinds: ServedKinds,
        reader: Reader,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._reader = reader
        self._clock = clock
        self._rng = rng
        self.controller = PriorityAndFairness(
            server_limit=seats, clock=clock, stats=self._stats, request_timeout_s=request_timeout_s
        )

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        """Debugging paths."""
        return FlowControlDumps(self.controller, self._clock).paths

    def expose(self, registry: CollectorRegistry) -> None:
        registry.register(FlowControlMetrics(self.controller, self._clock))

    async def start(self, client: Client, tasks: TaskGroup) -> None:
        """Make the objects of every cluster and go by what there is. ``client`` acts as the server itself."""
        configuration = FlowConfiguration(
            self.controller,
            store=self._store,
            reader=self._reader,
            client=client,
            clock=self._clock,
            rng=self._rng,
        )
        await configuration.start(tasks)

    def _stats(self, info: RequestInfo) -> ObjectStats | None:
        served = self._kinds.lookup(info.group, info.version, info.resource)
        if served is None or not served.kind.is_stored:
            return None
        found = self._store.cached_list(served.prefix, limit=_SAMPLE)
        sample = found.items
        average_bytes = sum(len(stored.json) for stored in sample) // len(sample) if sample else 0
        return ObjectStats(count=len(sample) + found.remaining, average_bytes=average_bytes)
