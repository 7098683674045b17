"""The parts of a kubelet, each made with what it asks of the others.

Some ask of parts that are made after them; those questions are the methods at the end, which find the part when asked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from steersman.aio.clock import Clock
from steersman.kubelet import apparmor, node_object
from steersman.kubelet.api_clients import APIClients
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.container_builder import NodeSettings
from steersman.kubelet.container_manager import ContainerManager, DeviceNews, ManagerTools
from steersman.kubelet.environment import EnvironmentFailed, service_variables
from steersman.kubelet.housekeeping import Housekeeping
from steersman.kubelet.measured_cgroups import MeasuredCgroups
from steersman.kubelet.network_state import NetworkState
from steersman.kubelet.node import NodeAgent, NodeSigns
from steersman.kubelet.node_admission import NodeAdmission
from steersman.kubelet.node_upkeep import NodeUpkeep
from steersman.kubelet.platform import Platform
from steersman.kubelet.pod_counts import PodCounts
from steersman.kubelet.pod_ends import PodEnds
from steersman.kubelet.pod_lookup import PodLookupTable
from steersman.kubelet.pod_metrics import PodMetrics, pod_states
from steersman.kubelet.pod_operations import PodOperations
from steersman.kubelet.pod_prerequisites import PodPrerequisites
from steersman.kubelet.pod_reports import PodReports
from steersman.kubelet.pod_sources import PodSources
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.pod_workers import PodWorkerMetrics, PodWorkers
from steersman.kubelet.probe_metrics import ProbeMetrics
from steersman.kubelet.probes import Spawn
from steersman.kubelet.resource_checkpoint import ResourceCheckpoints
from steersman.kubelet.runtime_pods import RuntimePods
from steersman.kubelet.runtimes.api import Runtime
from steersman.kubelet.shared import Shared
from steersman.kubelet.shutdown.history import ShutdownHistory
from steersman.kubelet.shutdown.manager import ShutdownManager
from steersman.kubelet.volume_refresh import VolumeRefresh
from steersman.meta import objects
from steersman.meta.objects import Object


class KubeletParts:
    """Nothing runs yet. Raises ``PolicyError`` and ``StateError``: this machine cannot be managed as configured."""

    def __init__(
        self,
        *,
        clients: APIClients,
        clock: Clock,
        config: KubeletConfig,
        runtime: Runtime,
        platform: Platform,
        rng: random.Random,
        shared: Shared,
        is_alone: bool,
        spawn: Spawn,
    ) -> None:
        """``is_alone``: no other kubelet has a part in ``shared``."""
        self._clients = clients
        self._clock = clock
        self._config = config
        self._runtime = runtime
        self._platform = platform
        self._rng = rng
        self._shared = shared
        self._is_alone = is_alone
        self._spawn = spawn
        self.metrics = shared.metrics
        self.pod_metrics = PodMetrics(self.metrics, clock=clock)
        self.probe_metrics = ProbeMetrics()
        self.registered = asyncio.Event()
        """The API server has this Node."""
        self.settings = platform.settings(config, handlers=())
        """Replaced when the runtime has said what it can do."""
        self.workers: dict[str, PodWorker] = {}
        self.network = NetworkState(runtime, clock=clock)
        self.runtime_pods = self._make_runtime_pods()
        self.prerequisites = self._make_prerequisites()
        self.reports = self._make_reports()
        self.ends = PodEnds(self.workers, clock=clock, announce=self.reports.warn)
        self.containers = self._make_containers()
        self.operations = self._make_operations()
        self.agent = self._make_agent()
        self.refresh = self._make_refresh()
        self.upkeep = self._make_upkeep()
        self.shutdown = self._make_shutdown()
        self.admission = self._make_admission()
        self.pods = self._make_pod_workers()
        self.sources = PodSources(
            clients.api, clock=clock, config=config, shared=shared, handler=self.pods, node=self._node
        )
        self.housekeeping = self._make_housekeeping()
        self.lookup = PodLookupTable(
            node_name=config.node_name, workers=self.workers, inspector=self.runtime_pods.inspector
        )
        if is_alone:
            self._show_states()

    def _show_states(self) -> None:
        """What is looked up at each scrape, and what never changes."""
        self.metrics.node_name.labels(self._config.node_name).set(1)
        self.metrics.cgroup_version.set(self._platform.cgroup_version)
        mounted = self.prerequisites.volumes.mounted
        states = PodCounts(lambda: pod_states(self.workers.values(), self.upkeep.volume_stats.of, mounted))
        self.metrics.registry.register(states)

    def _make_runtime_pods(self) -> RuntimePods:
        return RuntimePods(
            self._runtime,
            workers=self.workers,
            clock=self._clock,
            timers=self._shared.timers,
            spawn=self._spawn,
            metrics=self.metrics,
        )

    def _make_prerequisites(self) -> PodPrerequisites:
        return PodPrerequisites(
            self._clients.api,
            clock=self._clock,
            config=self._config,
            platform=self._platform,
            runtime=self._runtime,
            rng=self._rng,
            metrics=self.pod_metrics,
            node=self._node,
            changed=self._on_reference_change,
        )

    def _make_reports(self) -> PodReports:
        return PodReports(
            statuses=self._shared.statuses,
            recorder=self._shared.recorder,
            workers=self.workers,
            stored=self._stored,
            with_device_health=self._with_device_health,
            metrics=self.pod_metrics,
        )

    def _make_containers(self) -> ContainerManager:
        config, platform = self._config, self._platform
        tools = ManagerTools(
            reserved=node_object.reserved(config, node_object.capacity(config, platform.facts)),
            active_pods=self._known_active_pods,
            runtime=self._runtime,
            spawn=self._spawn,
            clock=self._clock,
            metrics=self.metrics,
        )
        news = DeviceNews(changed=self._on_devices, health_changed=self.reports.device_health_changed)
        return ContainerManager(config, platform.topology, tools, sockets=platform.sockets, news=news)

    def _make_operations(self) -> PodOperations:
        return PodOperations(
            runtime=self._runtime,
            network=self.network,
            volumes=self.prerequisites.volumes,
            images=self.prerequisites.images,
            image_mounter=self._platform.image_mounter,
            handlers=self._platform.handlers,
            cgroups=MeasuredCgroups(self._platform.cgroups, clock=self._clock, metrics=self.metrics),
            paths=self._platform.paths,
            user_namespaces=self.prerequisites.user_namespaces,
            source=self.prerequisites.references,
            services=self._service_variables,
            node=self._current_settings,
            owners=self.containers,
            clock=self._clock,
            observe=self.pod_metrics,
            sandboxes_at_once=self._platform.sandboxes_at_once,
        )

    def _make_agent(self) -> NodeAgent:
        return NodeAgent(
            client=self._clients.heartbeats,
            clock=self._clock,
            config=self._config,
            facts=self._platform.facts,
            addresses=self._platform.addresses,
            runtime=self._runtime,
            network=self.network,
            timers=self._shared.timers,
            signs=NodeSigns(
                pleg_error=lambda: self.runtime_pods.problem,
                pressures=self._pressures,
                shutting_down=lambda: self.shutdown is not None and self.shutdown.is_shutting_down,
                devices=self.containers.device_resources,
                is_new_node=self.containers.is_new_node,
            ),
            registered=self._on_node,
            announce=self._announce_node,
        )

    def _make_refresh(self) -> VolumeRefresh:
        return VolumeRefresh(
            volumes=self.prerequisites.volumes,
            workers=self.workers,
            timers=self._shared.timers,
            spawn=self._spawn,
            announce=self.reports.announced,
        )

    def _make_upkeep(self) -> NodeUpkeep:
        pulled = self.prerequisites.pulled
        return NodeUpkeep(
            config=self._config,
            runtime=self._runtime,
            platform=self._platform,
            clock=self._clock,
            workers=self.workers,
            volumes=self.prerequisites.volumes,
            ends=self.ends,
            sources_ready=lambda: self.sources.all_ready,
            announce=self._announce_node,
            changed=self.agent.report_soon,
            metrics=self.metrics,
            images_left=pulled.prune if pulled is not None else None,
        )

    def _make_shutdown(self) -> ShutdownManager | None:
        if self._platform.shutdown_bus is None:
            return None
        return ShutdownManager(
            periods=self._config.shutdown,
            connect=self._platform.shutdown_bus,
            ender=self.ends,
            clock=self._clock,
            history=ShutdownHistory(Path(self._config.root_dir)),
            announce=self._announce_node,
            changed=self.agent.report_soon,
            metrics=self.metrics,
        )

    def _make_admission(self) -> NodeAdmission:
        return NodeAdmission(
            workers=self.workers,
            node=self._node,
            settings=self._current_settings,
            upkeep=self.upkeep,
            containers=self.containers,
            ends=self.ends,
            metrics=self.metrics,
            after=(
                *((self.shutdown.admit,) if self.shutdown is not None else ()),
                partial(apparmor.refused, enabled=self._platform.has_apparmor),
            ),
        )

    def _make_pod_workers(self) -> PodWorkers:
        return PodWorkers(
            self.workers,
            clock=self._clock,
            shared=self._shared,
            spawn=self._spawn,
            checkpoints=ResourceCheckpoints(self._platform.paths),
            prerequisites=self.prerequisites,
            operations=self.operations,
            runtime_pods=self.runtime_pods,
            admission=self.admission,
            ends=self.ends,
            reports=self.reports,
            metrics=PodWorkerMetrics(kubelet=self.metrics, pods=self.pod_metrics, probes=self.probe_metrics),
            find_static=self._find_static,
        )

    def _make_housekeeping(self) -> Housekeeping:
        return Housekeeping(
            clock=self._clock,
            pleg=self.runtime_pods.pleg,
            operations=self.operations,
            platform=self._platform,
            refresh=self.refresh,
            workers=self.workers,
            adopt=self.pods.adopt,
        )

    def tell_of_machine(self) -> None:
        """What the node has to say of the machine it is on, when it starts."""
        for warning in self._platform.warnings:
            self._announce_node("Warning", warning.reason, warning.message)

    # -- asked when the parts run

    def _node(self) -> Object | None:
        return self.agent.node

    def _current_settings(self) -> NodeSettings:
        return self.settings

    def _pressures(self) -> frozenset[str]:
        return self.upkeep.pressures()

    def _on_node(self, node: Object) -> None:
        self.registered.set()

    def _on_devices(self) -> None:
        self.agent.report_soon()

    def _on_reference_change(self, uid: str) -> None:
        self.refresh.reference_changed(uid)

    def _with_device_health(self, uid: str, status: Object) -> Object:
        return self.containers.with_device_health(uid, status)

    def _stored(self, pod: Object) -> Object | None:
        return self.sources.stored(pod)

    def _find_static(self, uid: str) -> Object | None:
        return self.sources.find_static(uid)

    def _announce_node(self, kind: str, reason: str, message: str) -> None:
        """An event about the node. A fleet's nodes keep quiet: thousands that start at once would crowd out their pods'."""
        if not self._is_alone:
            return
        self._shared.recorder.regarding(
            self.agent.reference, "Warning" if kind == "Warning" else "Normal", reason, message
        )

    def _known_active_pods(self) -> dict[str, Object] | None:
        """By uid; None as long as some source of pods has not been read."""
        return {objects.uid(pod): pod for pod in self.ends.active_pods()} if self.sources.all_ready else None

    def _service_variables(self, namespace: str, links: bool) -> Mapping[str, str]:
        services = self._shared.feeds.services
        if not services.synced:
            raise EnvironmentFailed("services have not yet been read at least once, cannot construct envvars")
        return service_variables(services.list(), namespace, links=links)
