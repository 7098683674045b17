"""What several kubelets in one process use together: watches, timers, the writers of statuses and of events."""

from __future__ import annotations

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.aio.timers import Timers
from steersman.client.events import EventRecorder
from steersman.kubelet.api_clients import APIClients
from steersman.kubelet.feeds import Feeds
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.status_manager import StatusManager


class Shared:
    """Run it once beside the kubelets that were given it."""

    def __init__(
        self, clients: APIClients, *, clock: Clock, feeds: Feeds, host: str = "", metrics: KubeletMetrics | None = None
    ) -> None:
        self._clock = clock
        self.metrics = metrics or KubeletMetrics()
        self.feeds = feeds
        self.timers = Timers(clock)
        self.statuses = StatusManager(clients.api, clock=clock, written=self.metrics.pod_status_sync.observe)
        self.recorder = EventRecorder(clients.events, component="kubelet", clock=clock, host=host)

    @property
    def idle(self) -> bool:
        """Every status and event has been written."""
        return self.statuses.idle and self.recorder.idle

    async def run(self) -> None:
        """Until cancelled."""
        async with TaskGroup("shared") as group:
            for name, work in (
                ("feeds", self.feeds.run),
                ("timers", self.timers.run),
                ("statuses", self.statuses.run),
                ("events", self.recorder.run),
            ):
                group.supervise(work, name=name, clock=self._clock)
            await group.wait()
