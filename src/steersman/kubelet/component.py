"""The kubelet: runs the pods that are bound to its node and reports what becomes of them.

This class runs the parts that ``KubeletParts`` puts together. Pods come from their sources (``PodSources``) to their
workers (``PodWorkers``, one ``PodWorker`` each), which hear of what runs from ``RuntimePods`` and report through
``PodReports``. Started anew the kubelet takes over what runs: nothing is stopped because it was.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.kubelet.api_clients import api_clients
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.crash_backoff import CrashBackoff
from steersman.kubelet.feeds import Feeds
from steersman.kubelet.kubelet_parts import KubeletParts
from steersman.kubelet.log_rotation import LogLimits, LogRotator
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.platform import Platform
from steersman.kubelet.pod_worker import PodWorker, WorkerTools
from steersman.kubelet.runtimes.api import Runtime, RuntimeServiceError, RuntimeStatus, Version
from steersman.kubelet.runtimes.image_mounts import mounts_images
from steersman.kubelet.shared import Shared
from steersman.kubelet.status import NodeFacts
from steersman.meta.objects import Object

if TYPE_CHECKING:
    from steersman.kubelet.pod_resources.server import PodResourcesServer

RUNTIME_RETRY_S = 0.5
log = logging.getLogger(__name__)


class Kubelet:
    """One node's agent. ``run`` it; it owns everything it starts."""

    def __init__(
        self,
        *,
        client: Client,
        clock: Clock,
        config: KubeletConfig,
        runtime: Runtime,
        platform: Platform,
        rng: random.Random,
        shared: Shared | None = None,
        metrics: KubeletMetrics | None = None,
    ) -> None:
        """``shared``: run by the caller, for several kubelets; without it this one has its own, with ``metrics``. Raises
        ``PolicyError`` and ``StateError``: this machine cannot be managed as configured."""
        self.clients = api_clients(client, api=config.api_limit, events=config.event_limit, clock=clock)
        """Its connections to the API server, for what else serves this node."""
        self._clock = clock
        self._config = config
        self._runtime = runtime
        self._platform = platform
        self._rng = rng
        self._owns_shared = shared is None
        self._shared = shared or self._make_shared(metrics)
        self.metrics = self._shared.metrics
        self._group = TaskGroup(f"kubelet/{config.node_name}")
        self._parts = KubeletParts(
            clients=self.clients,
            clock=clock,
            config=config,
            runtime=runtime,
            platform=platform,
            rng=rng,
            shared=self._shared,
            is_alone=self._owns_shared,
            spawn=self._group.spawn,
        )
        self.containers = self._parts.containers
        self.upkeep = self._parts.upkeep
        self.lookup = self._parts.lookup
        self.probe_metrics = self._parts.probe_metrics

    @property
    def node(self) -> Object | None:
        """The Node as last read or written."""
        return self._parts.agent.node

    @property
    def workers(self) -> Mapping[str, PodWorker]:
        """By pod uid."""
        return self._parts.workers

    def pods(self) -> Sequence[Object]:
        return self.lookup.pods()

    def ready(self) -> bool:
        """Registered, the runtime answers, and the pods of this node are known."""
        return (
            self._parts.registered.is_set() and self._parts.runtime_pods.pleg.healthy and self._shared.feeds.pods.synced
        )

    def alive(self) -> bool:
        """The sync loop turns: health, as opposed to readiness, does not depend on the API server."""
        return not self._parts.pods.can_work or self._parts.runtime_pods.pleg.healthy

    # -- running

    async def run(self) -> None:
        """Until cancelled. Containers keep running afterwards."""
        async with self._group as group:
            if self._owns_shared:
                group.supervise(self._shared.run, name="shared", clock=self._clock)
            self._shared.feeds.attach_node(self._config.node_name, self._parts.agent.observed)
            group.supervise(self._parts.agent.run, name="node", clock=self._clock)
            self._parts.tell_of_machine()
            await self._connect()
            self._parts.runtime_pods.supervise(group)
            if self._platform.paths is not None:
                group.supervise(self._make_log_rotator().run, name="log rotation", clock=self._clock)
            self._parts.sources.supervise(group, registered=self._parts.registered)
            group.supervise(self._follow_pods, name="pods", clock=self._clock)
            self.upkeep.supervise(group)
            self.containers.supervise(group)
            if self._platform.sockets is not None:
                pod_resources = self._make_pod_resources(self._platform.sockets)
                group.supervise(pod_resources.run, name="pod resources", clock=self._clock)
            if self._parts.shutdown is not None:
                group.supervise(self._parts.shutdown.run, name="shutdown", clock=self._clock)
            try:
                await group.wait()
            finally:
                self._parts.sources.close()
                await self._parts.pods.close()
                await self._parts.prerequisites.close()

    async def _connect(self) -> None:
        """Wait for the runtime, and learn what it runs already."""
        while True:
            try:
                version = await self._runtime.version()
                status = await self._runtime.status()
                await self._parts.runtime_pods.load()
                await self._parts.prerequisites.load_images()
                break
            except RuntimeServiceError as error:
                log.warning("the container runtime does not answer: %s", error)
                await self._clock.sleep(RUNTIME_RETRY_S)
        self._parts.settings = replace(
            self._platform.settings(self._config, handlers=status.handlers),
            runtime_mounts_images=mounts_images(version),
        )
        if self._platform.paths is not None:
            await asyncio.to_thread(self._platform.cgroups.prepare)
            self._parts.prerequisites.user_namespaces.load()
            await asyncio.to_thread(self.upkeep.enforce_reservations)
        self._parts.pods.equip(self._make_worker_tools(version, status))

    async def _follow_pods(self) -> None:
        await self._parts.sources.follow_api(self._parts.registered)
        await self._parts.housekeeping.run()

    def _make_worker_tools(self, version: Version, status: RuntimeStatus) -> WorkerTools:
        recursive = any(item.recursive_read_only_mounts for item in status.handlers if not item.name)
        return WorkerTools(
            operations=self._parts.operations,
            inspector=self._parts.runtime_pods.inspector,
            handlers=self._platform.handlers,
            clock=self._clock,
            timers=self._shared.timers,
            rng=self._rng,
            spawn=self._group.spawn,
            listener=self._parts.pods,
            node=NodeFacts(
                host_ips=self._platform.addresses,
                runtime_name=self._config.runtime_name or version.runtime_name,
                recursive_read_only=recursive,
            ),
            crash_backoff=lambda: CrashBackoff(cap_s=self._config.max_container_restart_s),
            observe_probe=self.probe_metrics.observe if self._owns_shared else None,
            observe_work=self._parts.pod_metrics.worked,
        )

    def _make_log_rotator(self) -> LogRotator:
        limits = LogLimits(
            max_bytes=self._config.log_max_bytes,
            max_files=self._config.log_max_files,
            check_s=self._config.log_check_s,
        )
        return LogRotator(self._runtime, clock=self._clock, limits=limits, known=self.lookup.log_paths)

    def _make_pod_resources(self, sockets: Path) -> PodResourcesServer:
        from steersman.kubelet.pod_resources import server  # and with it gRPC, which simulated nodes do without

        return server.PodResourcesServer(
            sockets / server.FOLDER,
            self.containers,
            active_pods=self._parts.ends.active_pods,
            clock=self._clock,
            metrics=self.metrics,
        )

    def _make_shared(self, metrics: KubeletMetrics | None) -> Shared:
        feeds = Feeds(self.clients.api, clock=self._clock, node_name=self._config.node_name)
        return Shared(self.clients, clock=self._clock, feeds=feeds, host=self._config.node_name, metrics=metrics)
