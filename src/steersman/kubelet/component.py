"""The kubelet: runs the pods that are bound to its node and reports what becomes of them.

One ``PodWorker`` per pod does the work; this class brings pods to workers (from the API and from manifests), news from
the runtime to workers (``Pleg``), and what workers say to the API (``StatusManager``, events). Started anew it takes
over what runs: nothing is stopped because the kubelet was.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.informer import Change
from steersman.kubelet import admission, apparmor, node_object, orphans, podspec, swap
from steersman.kubelet.allocations import Allocations
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.container_manager import ContainerManager, DeviceNews, ManagerTools
from steersman.kubelet.crash_backoff import CrashBackoff
from steersman.kubelet.environment import EnvironmentFailed, service_variables
from steersman.kubelet.feeds import Feeds
from steersman.kubelet.housekeeping import Housekeeping
from steersman.kubelet.image_access import image_access
from steersman.kubelet.inspector import Fingerprint, Inspector, PodBrief
from steersman.kubelet.instructions import PodUpdated, Record, Remember, Terminate
from steersman.kubelet.log_rotation import LogLimits, LogRotator
from steersman.kubelet.metrics import KubeletMetrics, PodCounts
from steersman.kubelet.node import NodeAgent, NodeSigns
from steersman.kubelet.node_upkeep import NodeUpkeep
from steersman.kubelet.platform import Platform
from steersman.kubelet.pleg import Pleg
from steersman.kubelet.pod_admission import PodAdmission
from steersman.kubelet.pod_echo import is_echo
from steersman.kubelet.pod_ends import PodEnds
from steersman.kubelet.pod_lookup import PodLookupTable
from steersman.kubelet.pod_metrics import PodMetrics, pod_states
from steersman.kubelet.pod_operations import PodOperations
from steersman.kubelet.pod_worker import PodWorker, WorkerTools
from steersman.kubelet.probe_metrics import ProbeMetrics
from steersman.kubelet.records import PodRecord
from steersman.kubelet.references import References
from steersman.kubelet.resource_checkpoint import ResourceCheckpoints
from steersman.kubelet.runtimes.api import Runtime, RuntimeServiceError
from steersman.kubelet.runtimes.image_mounts import mounts_images
from steersman.kubelet.shared import Shared
from steersman.kubelet.shutdown.history import ShutdownHistory
from steersman.kubelet.shutdown.manager import ShutdownManager
from steersman.kubelet.static_pods import StaticPods
from steersman.kubelet.static_pods_url import StaticPodURL
from steersman.kubelet.static_source import StaticSource
from steersman.kubelet.status import TERMINAL, NodeFacts, Verdict
from steersman.kubelet.user_namespaces import UserNamespaces
from steersman.kubelet.volume_refresh import VolumeRefresh
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS

if TYPE_CHECKING:
    from steersman.kubelet.pod_resources.server import PodResourcesServer

INSPECT_AFTER_S = 0.05
"""How long news of a pod wait for more before the pod is inspected."""
INSPECT_STARTING_AFTER_S = 0.5
"""The same while something of the pod is being started, which ends with a look at all of it."""
RUNTIME_RETRY_S = 0.5
REMOVE_RETRY_S = 5.0
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
        self._client = client
        self._clock = clock
        self._config = config
        self._runtime = runtime
        self._platform = platform
        self._rng = rng
        self._owns_shared = shared is None
        self._shared = shared or Shared(
            client,
            clock=clock,
            feeds=Feeds(client, clock=clock, node_name=config.node_name),
            host=config.node_name,
            metrics=metrics,
        )
        self._group = TaskGroup(f"kubelet/{config.node_name}")
        self._workers: dict[str, PodWorker] = {}
        self._inspector = Inspector(runtime, clock=clock)
        self.metrics = self._shared.metrics
        self._pod_metrics = PodMetrics(self.metrics, clock=clock)
        self.probe_metrics = ProbeMetrics()
        self._pleg = Pleg(
            runtime, self._inspector, clock=clock, changed=self._on_runtime_change, observe=self._on_relist
        )
        self._references = References(client, clock=clock, changed=self._on_reference_change)
        self._volumes, self._tokens = platform.volumes(
            client, self._references, config, node=lambda: self._agent.node, clock=clock, rng=rng
        )
        access = image_access(
            config,
            platform,
            runtime,
            source=self._references,
            tokens=self._tokens,
            clock=clock,
            metrics=self.metrics,
        )
        self._images, self._pulled = access.manager, access.pulled
        self._settings = platform.settings(config, handlers=())
        self._user_namespaces = UserNamespaces(
            platform.paths, ids_per_pod=config.user_namespace_ids, subordinate=platform.subordinate_ids
        )
        self._ends = PodEnds(self._workers, clock=clock, announce=self._warn)
        self.containers = self._make_containers()
        self._operations = self._make_operations()
        self._agent = self._make_agent()
        self._tools: WorkerTools | None = None
        self._refresh = VolumeRefresh(
            volumes=self._volumes,
            workers=self._workers,
            timers=self._shared.timers,
            spawn=self._group.spawn,
            announce=self.announced,
        )
        self.upkeep = NodeUpkeep(
            config=config,
            runtime=runtime,
            platform=platform,
            clock=clock,
            workers=self._workers,
            volumes=self._volumes,
            ends=self._ends,
            sources_ready=lambda: self._sources_ready,
            announce=self._announce_node,
            changed=self._agent.report_soon,
            metrics=self.metrics,
            images_left=self._pulled.prune if self._pulled is not None else None,
        )
        if self._owns_shared:
            self.metrics.node_name.labels(config.node_name).set(1)
            self.metrics.registry.register(
                PodCounts(lambda: pod_states(self._workers.values(), self.upkeep.volume_stats.of))
            )
        self._shutdown = self._make_shutdown()
        self._admission = self._make_admission()
        self._housekeeping = Housekeeping(
            clock=clock,
            pleg=self._pleg,
            operations=self._operations,
            platform=platform,
            refresh=self._refresh,
            workers=self._workers,
            adopt=self._adopt,
        )
        self._in_runtime: set[str] = set()
        self._checkpoints = ResourceCheckpoints(platform.paths)
        self._allocations = Allocations(
            self._checkpoints,
            clock=clock,
            timers=self._shared.timers,
            admit=self._admit_resize,
            tell=self._tell,
            announce=self.announced,
            refuse=self._refuse_resize,
        )
        self._static = StaticSource(
            client,
            appeared=self._on_static_appeared,
            vanished=self._on_static_vanished,
            mirrored=self._shared.statuses.look_again,
            node=lambda: self._agent.node,
        )
        self._registered = asyncio.Event()
        self._follows_pods = False
        self.lookup = PodLookupTable(node_name=config.node_name, workers=self._workers, inspector=self._inspector)

    def _make_containers(self) -> ContainerManager:
        config, platform = self._config, self._platform
        tools = ManagerTools(
            reserved=node_object.reserved(config, node_object.capacity(config, platform.facts)),
            active_pods=self._known_active_pods,
            runtime=self._runtime,
            spawn=self._group.spawn,
            clock=self._clock,
            metrics=self.metrics,
        )
        news = DeviceNews(changed=self._on_devices, health_changed=self._on_device_health)
        return ContainerManager(config, platform.topology, tools, sockets=platform.sockets, news=news)

    def _make_operations(self) -> PodOperations:
        return PodOperations(
            runtime=self._runtime,
            volumes=self._volumes,
            images=self._images,
            image_mounter=self._platform.image_mounter,
            handlers=self._platform.handlers,
            cgroups=self._platform.cgroups,
            paths=self._platform.paths,
            user_namespaces=self._user_namespaces,
            source=self._references,
            services=self._service_variables,
            node=lambda: self._settings,
            owners=self.containers,
            clock=self._clock,
            sandboxes_at_once=self._platform.sandboxes_at_once,
        )

    def _make_agent(self) -> NodeAgent:
        return NodeAgent(
            client=self._client,
            clock=self._clock,
            config=self._config,
            facts=self._platform.facts,
            addresses=self._platform.addresses,
            runtime=self._runtime,
            timers=self._shared.timers,
            signs=NodeSigns(
                pleg_error=lambda: "" if self._pleg.healthy else self._pleg.error or "no listing yet",
                pressures=self._pressures,
                shutting_down=lambda: self._shutdown is not None and self._shutdown.is_shutting_down,
                devices=self.containers.device_resources,
                is_new_node=self.containers.is_new_node,
            ),
            registered=self._on_node,
            announce=self._announce_node,
        )

    def _make_shutdown(self) -> ShutdownManager | None:
        if self._platform.shutdown_bus is None:
            return None
        return ShutdownManager(
            periods=self._config.shutdown,
            connect=self._platform.shutdown_bus,
            ender=self._ends,
            clock=self._clock,
            history=ShutdownHistory(Path(self._config.root_dir)),
            announce=self._announce_node,
            changed=self._agent.report_soon,
            metrics=self.metrics,
        )

    def _make_pod_resources(self, sockets: Path) -> PodResourcesServer:
        from steersman.kubelet.pod_resources import server  # and with it gRPC, which simulated nodes do without

        return server.PodResourcesServer(
            sockets / server.FOLDER,
            self.containers,
            active_pods=self._ends.active_pods,
            clock=self._clock,
            metrics=self.metrics,
        )

    def _announce_node(self, kind: str, reason: str, message: str) -> None:
        """An event about the node. A fleet's nodes keep quiet: thousands that start at once would crowd out their pods'."""
        if not self._owns_shared:
            return
        self._shared.recorder.regarding(
            self._agent.reference, "Warning" if kind == "Warning" else "Normal", reason, message
        )

    def _make_admission(self) -> PodAdmission:
        return PodAdmission(
            before=(
                self.upkeep.admit,
                lambda pod: admission.refused(pod, self._agent.node, self._settings.allowed_unsafe_sysctls),
            ),
            allocator=self.containers.allocator,
            fits=lambda pod: admission.findings(
                pod,
                others=self._others(pod),
                node=self._agent.node,
                allocatable=self.containers.raised(pod, self._allocatable()),
            ),
            after=(
                *((self._shutdown.admit,) if self._shutdown is not None else ()),
                partial(apparmor.refused, enabled=self._platform.has_apparmor),
            ),
            active_pods=self._ends.active_pods,
            preempt=self._ends.preempt,
            preempted=lambda resource: self.metrics.preemptions.labels(resource).inc(),
        )

    def _known_active_pods(self) -> dict[str, Object] | None:
        """By uid; None as long as some source of pods has not been read."""
        return {objects.uid(pod): pod for pod in self._ends.active_pods()} if self._sources_ready else None

    def _pressures(self) -> frozenset[str]:
        return self.upkeep.pressures()

    def _others(self, pod: Mapping[str, Any]) -> list[Object]:
        uid = objects.uid(pod)
        return [self._with_status(worker) for worker in self._workers.values() if worker.uid != uid]

    def _allocatable(self) -> Mapping[str, Any]:
        """The node's, with what others or device plugins have put there."""
        status = (self._agent.node or {}).get("status") or {}
        return {**(status.get("allocatable") or {}), **self._settings.allocatable}

    @property
    def _sources_ready(self) -> bool:
        """Every source of pods has been read: a pod that nobody knows is gone."""
        return self._follows_pods and all(self._static.has_read(name) for name in self._static_sources())

    def _static_sources(self) -> list[str]:
        config = self._config
        return [*(["file"] if config.static_pod_path is not None else []), *(["http"] if config.static_pod_url else [])]

    @property
    def node(self) -> Object | None:
        """The Node as last read or written."""
        return self._agent.node

    @property
    def workers(self) -> Mapping[str, PodWorker]:
        """By pod uid."""
        return self._workers

    def ready(self) -> bool:
        """Registered, the runtime answers, and the pods of this node are known."""
        return self._registered.is_set() and self._pleg.healthy and self._shared.feeds.pods.synced

    def alive(self) -> bool:
        """The sync loop turns: health, as opposed to readiness, does not depend on the API server."""
        return self._tools is None or self._pleg.healthy

    async def run(self) -> None:
        """Until cancelled. Containers keep running afterwards."""
        async with self._group as group:
            if self._owns_shared:
                group.supervise(self._shared.run, name="shared", clock=self._clock)
            self._shared.feeds.attach_node(self._config.node_name, self._agent.observed)
            group.supervise(self._agent.run, name="node", clock=self._clock)
            await self._connect()
            group.supervise(self._pleg.relist, name="relist", clock=self._clock)
            group.supervise(self._pleg.follow, name="events", clock=self._clock)
            if self._platform.paths is not None:
                limits = LogLimits(
                    max_bytes=self._config.log_max_bytes,
                    max_files=self._config.log_max_files,
                    check_s=self._config.log_check_s,
                )
                rotator = LogRotator(self._runtime, clock=self._clock, limits=limits)
                group.supervise(rotator.run, name="log rotation", clock=self._clock)
            if self._config.static_pod_path is not None:
                static = StaticPods(
                    self._config.static_pod_path,
                    node_name=self._config.node_name,
                    clock=self._clock,
                    check_s=self._config.static_pod_check_s,
                    changed=partial(self._static.set_pods, "file"),
                )
                group.supervise(static.run, name="static pods", clock=self._clock)
            if self._config.static_pod_url:
                remote = StaticPodURL(
                    self._config.static_pod_url,
                    headers=self._config.static_pod_url_headers,
                    node_name=self._config.node_name,
                    clock=self._clock,
                    check_s=self._config.static_pod_url_check_s,
                    changed=partial(self._static.set_pods, "http"),
                )
                group.supervise(remote.run, name="static pods from a URL", clock=self._clock)
            if self._static_sources():
                group.supervise(self._keep_mirrors, name="mirror pods", clock=self._clock)
            group.supervise(self._follow_api, name="pods", clock=self._clock)
            self.upkeep.supervise(group)
            self.containers.supervise(group)
            if self._platform.sockets is not None:
                group.supervise(
                    self._make_pod_resources(self._platform.sockets).run, name="pod resources", clock=self._clock
                )
            if self._shutdown is not None:
                group.supervise(self._shutdown.run, name="shutdown", clock=self._clock)
            try:
                await group.wait()
            finally:
                self._shared.feeds.detach(self._config.node_name)
                for worker in self._workers.values():
                    await worker.close()
                await self._references.close()

    async def _connect(self) -> None:
        """Wait for the runtime, and learn what it runs already."""
        while True:
            try:
                version = await self._runtime.version()
                status = await self._runtime.status()
                self._in_runtime = set(await self._pleg.list_once())
                if self._pulled is not None:
                    await self._pulled.adopt(await self._runtime.list_images())
                break
            except RuntimeServiceError as error:
                log.warning("the container runtime does not answer: %s", error)
                await self._clock.sleep(RUNTIME_RETRY_S)
        recursive = any(item.recursive_read_only_mounts for item in status.handlers if not item.name)
        self._settings = replace(
            self._platform.settings(self._config, handlers=status.handlers),
            runtime_mounts_images=mounts_images(version),
        )
        if self._platform.paths is not None:
            await asyncio.to_thread(self._platform.cgroups.prepare)
            self._user_namespaces.load()
            await asyncio.to_thread(self.upkeep.enforce_reservations)
        self._tools = WorkerTools(
            operations=self._operations,
            inspector=self._inspector,
            handlers=self._platform.handlers,
            clock=self._clock,
            timers=self._shared.timers,
            rng=self._rng,
            spawn=self._group.spawn,
            listener=self,
            node=NodeFacts(
                host_ips=self._platform.addresses,
                runtime_name=self._config.runtime_name or version.runtime_name,
                recursive_read_only=recursive,
            ),
            crash_backoff=lambda: CrashBackoff(cap_s=self._config.max_container_restart_s),
            observe_probe=self.probe_metrics.observe if self._owns_shared else None,
            observe_work=self._pod_metrics.worked,
        )

    # -- pods from the API

    async def _follow_api(self) -> None:
        await self._shared.feeds.pods.wait_synced()
        if self._config.register_node:
            await self._registered.wait()
        self._shared.feeds.attach(self._config.node_name, self._on_api_pod)
        self._follows_pods = True
        await self._housekeeping.run()

    def _on_api_pod(self, change: Change) -> None:
        pod = change.object
        if podspec.is_mirror(pod):
            self._static.on_mirror(change)
            return
        uid = objects.uid(pod)
        worker = self._workers.get(uid)
        if change.type == "deleted":
            if worker is not None:
                self._let_go(worker)
        elif worker is None:
            self._add(pod)
        elif change.old is not None and is_echo(change.old, pod):
            worker.refresh(pod)
            self._shared.statuses.look_again(uid)
        else:
            if self._tokens is not None:
                self._references.hold(pod)
            self._allocations.update(pod)
            self._shared.statuses.look_again(uid)

    def _add(self, pod: Object) -> None:
        assert self._tools is not None
        uid = objects.uid(pod)
        desired, pod = pod, self._allocations.first(pod)
        worker = self._workers[uid] = PodWorker(pod, self._tools, actuated=self._checkpoints.get(uid).actuated)
        self._pod_metrics.added(uid)
        if (pod.get("status") or {}).get("phase") not in TERMINAL:
            if self._platform.paths is not None:
                self._references.hold(pod)
            verdict = None
            if uid not in self._in_runtime and not objects.is_deleting(pod):
                answer = self._admission.ask(pod)
                if isinstance(answer, Awaitable):
                    self._group.spawn(self._begin_when_admitted(worker, desired, answer), name=f"admit/{uid}")
                    return
                verdict = answer
            self._conclude_admission(worker, desired, verdict)
        self._begin(worker)

    async def _begin_when_admitted(self, worker: PodWorker, desired: Object, answer: Awaitable[Verdict | None]) -> None:
        verdict = await answer
        if self._workers.get(worker.uid) is worker:
            self._conclude_admission(worker, desired, verdict)
            self._begin(worker)

    def _conclude_admission(self, worker: PodWorker, desired: Object, verdict: Verdict | None) -> None:
        if verdict is not None:
            self.metrics.admission_rejections.labels(verdict.reason).inc()
            self.announced(worker.pod, Record(type="Warning", reason=verdict.reason, message=verdict.message))
            rejected = replace(verdict, message=f"Pod was rejected: {verdict.message}")
            worker.terminate(Terminate(verdict=rejected))
        else:
            self._allocations.grant(worker.pod)
            self._allocations.adopt(desired)

    def _refuse_resize(self, desired: Object, granted: Object) -> str:
        """Why this node never can without a restart; empty where it can."""
        return self.containers.refuse_resize(desired, granted) or swap.refuse_resize(
            desired, granted, self._settings.policy.swap
        )

    def _admit_resize(self, pod: Object) -> Verdict | None:
        """None where the pod, resized, could start on this node now."""
        return (
            self.upkeep.admit(pod)
            or admission.refused(pod, self._agent.node, self._settings.allowed_unsafe_sysctls)
            or admission.findings(
                pod, others=self._others(pod), node=self._agent.node, allocatable=self._allocatable()
            ).verdict
        )

    def _tell(self, uid: str, event: PodUpdated) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(event)

    def _begin(self, worker: PodWorker) -> None:
        """Give the worker its first record: an empty one where the runtime has nothing of the pod."""
        if worker.uid in self._in_runtime:
            self._inspect_soon(worker.uid, 0.0)
        else:
            pod = worker.pod
            worker.reported(
                PodRecord(
                    uid=worker.uid,
                    name=objects.name(pod),
                    namespace=objects.namespace(pod),
                    taken_at_s=self._clock.monotonic(),
                )
            )

    def _let_go(self, worker: PodWorker) -> None:
        worker.terminate(Terminate())
        if worker.is_finished:
            self._remove(worker)

    @staticmethod
    def _with_status(worker: PodWorker) -> Object:
        return {**worker.pod, "status": worker.machine.status}

    # -- static pods

    def _on_static_appeared(self, pod: Object) -> None:
        if objects.uid(pod) not in self._workers:
            self._add(pod)

    def _on_static_vanished(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            self._let_go(worker)

    async def _keep_mirrors(self) -> None:
        await self._shared.feeds.pods.wait_synced()
        await self._registered.wait()
        await self._static.keep_mirrors()

    # -- news from the runtime

    def _on_relist(self, took_s: float, since_s: float | None) -> None:
        self.metrics.relist.observe(took_s)
        self.metrics.pleg_last_seen.set(self._clock.now())
        if since_s is not None:
            self.metrics.relist_interval.observe(since_s)

    def _on_runtime_change(self, uid: str, fingerprint: Fingerprint | None) -> None:
        worker = self._workers.get(uid)
        if worker is None:
            self._in_runtime.add(uid)
        elif fingerprint is None or fingerprint != worker.machine.record.fingerprint:
            self._inspect_soon(uid, INSPECT_STARTING_AFTER_S if worker.is_starting else INSPECT_AFTER_S)

    def _inspect_soon(self, uid: str, delay_s: float) -> None:
        asked_s = self._clock.monotonic()

        def inspect() -> None:
            worker = self._workers.get(uid)
            if worker is not None and (delay_s == 0 or worker.machine.record.taken_at_s <= asked_s):
                self._group.spawn(self._inspect(uid), name=f"inspect/{uid}")

        self._shared.timers.after(("inspect", uid), delay_s, inspect)

    async def _inspect(self, uid: str) -> None:
        try:
            worker = self._workers.get(uid)
            record = await self._inspector.inspect(uid, worker.known if worker is not None else None)
        except RuntimeServiceError as error:
            log.warning("cannot inspect pod %s: %s", uid, error)
            self._inspect_soon(uid, RUNTIME_RETRY_S)
            return
        worker = self._workers.get(uid)
        if worker is not None:
            worker.reported(record)

    # -- what workers say (Listener)

    def status_changed(self, pod: Object, status: Object) -> None:
        self._pod_metrics.status_changed(pod, status)
        uid = objects.uid(pod)
        self._shared.statuses.set(uid, self.containers.with_device_health(uid, status), self)

    def announced(self, pod: Object, record: Record) -> None:
        path = ""
        if record.container:
            container = podspec.find_container(pod, record.container)
            kind = container.kind if container is not None else "app"
            field = {"app": "containers", "ephemeral": "ephemeralContainers"}.get(kind, "initContainers")
            path = f"spec.{field}{{{record.container}}}"
        self._shared.recorder.event(
            pod, PODS, type=record.type, reason=record.reason, message=record.message, field_path=path
        )

    def _on_devices(self) -> None:
        self._agent.report_soon()

    def _on_device_health(self, uids: frozenset[str]) -> None:
        for uid in uids & self._workers.keys():
            worker = self._workers[uid]
            if worker.machine.status:
                self.status_changed(worker.pod, worker.machine.status)

    def _warn(self, pod: Object, reason: str, message: str, annotations: Mapping[str, str]) -> None:
        self._shared.recorder.event(pod, PODS, type="Warning", reason=reason, message=message, annotations=annotations)

    def resources_set(self, uid: str, said: Remember) -> None:
        try:
            self._checkpoints.set_actuated(uid, said.actuated, as_granted=said.as_granted)
        except OSError as error:
            log.warning("cannot write down the resources of pod %s: %s", uid, error)
        self._allocations.retry()

    def finished(self, uid: str) -> None:
        worker = self._workers[uid]
        self._ends.ended(uid)
        self._allocations.retry()
        self._references.release(uid)
        self._images.forget(uid)
        if self._tokens is not None:
            self._tokens.forget(uid)
        if worker.machine.is_gone:
            self._remove(worker)
        else:
            self._shared.statuses.look_again(uid)

    def _remove(self, worker: PodWorker) -> None:
        self._group.spawn(self._remove_until_gone(worker), name=f"remove/{objects.key_of(worker.pod)}")

    async def _remove_until_gone(self, worker: PodWorker) -> None:
        while True:
            try:
                await self._operations.remove(worker.pod, await self._inspector.inspect(worker.uid))
                break
            except (RuntimeServiceError, OSError) as error:
                log.warning("cannot remove what is left of %s: %s", podspec.full_name(worker.pod), error)
                await self._clock.sleep(REMOVE_RETRY_S)
        uid = worker.uid
        await worker.close()
        self._workers.pop(uid, None)
        self._allocations.forget(uid)
        self._pod_metrics.forget(uid)
        self.probe_metrics.forget(uid)
        self._in_runtime.discard(uid)
        self._shared.statuses.forget(uid)
        static = self._static.find(uid)
        if static is not None:
            self._add(static)

    # -- for the status manager (PodOwner)

    def stored(self, uid: str) -> Object | None:
        worker = self._workers.get(uid)
        if worker is None:
            return None
        pod = worker.pod
        if podspec.is_static(pod):
            return self._static.mirror_of(pod)
        return self._shared.feeds.pod(objects.namespace(pod), objects.name(pod), uid)

    def is_over(self, uid: str) -> bool:
        worker = self._workers.get(uid)
        return worker is None or worker.is_finished

    # -- the rest

    def _on_node(self, node: Object) -> None:
        self._registered.set()

    def _service_variables(self, namespace: str, links: bool) -> Mapping[str, str]:
        services = self._shared.feeds.services
        if not services.synced:
            raise EnvironmentFailed("services have not yet been read at least once, cannot construct envvars")
        return service_variables(services.list(), namespace, links=links)

    def _on_reference_change(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is None or worker.machine.state != "syncing":
            return
        worker.reference_changed()
        self._refresh.soon(uid)

    def _adopt(self, brief: PodBrief) -> None:
        assert self._tools is not None
        self.metrics.orphaned_pods.inc()
        worker = self._workers[brief.uid] = PodWorker(orphans.restored_pod(brief), self._tools)
        worker.terminate(Terminate())
        self._in_runtime.add(brief.uid)
        self._begin(worker)

    def pods(self) -> Sequence[Object]:
        return self.lookup.pods()
