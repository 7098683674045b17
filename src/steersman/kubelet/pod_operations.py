"""Carries out a pod machine's instructions against the runtime, the file system and the cgroups."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Literal, Protocol

from steersman.aio.clock import Clock
from steersman.client.transport import Unreachable
from steersman.kubelet import podspec
from steersman.kubelet.cgroups import Cgroups
from steersman.kubelet.container_builder import CONFIG_ERRORS, ContainerBuilder, NodeSettings
from steersman.kubelet.handlers import Handlers, HookFailed, Target
from steersman.kubelet.image_volumes import ImageVolumes, PullContext
from steersman.kubelet.images import CannotStart, ImageManager
from steersman.kubelet.instructions import Record, RunPreStop, StartContainer, pre_stop_hook
from steersman.kubelet.linux_resources import ResourcePolicy
from steersman.kubelet.network_state import NetworkState
from steersman.kubelet.object_source import ObjectSource
from steersman.kubelet.own_resources import Owners, policy_for
from steersman.kubelet.pod_dns import pod_dns
from steersman.kubelet.pod_hostname import pod_hostname
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.pod_resizer import PodResizer
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.records import PodRecord
from steersman.kubelet.runtimes.api import Runtime, RuntimeServiceError
from steersman.kubelet.runtimes.image_mounts import ImageMounter
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, UserNamespace
from steersman.kubelet.sandbox_config import sandbox_config
from steersman.kubelet.security_context import SecurityContextError
from steersman.kubelet.start_turns import StartTurns
from steersman.kubelet.user_namespaces import UserNamespaces
from steersman.kubelet.volume_manager import MountFailed, PodVolumes
from steersman.kubelet.volumes.trees import remove_tree
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import RUNTIMECLASSES, SECRETS

HOOK_FAILED_GRACE_S = float(podspec.MINIMUM_GRACE_S)
SANDBOX_COUNTS_S = 5.0
log = logging.getLogger(__name__)

Announce = Callable[[Record], None]


class OperationsObserver(Protocol):
    """Counts."""

    def sandbox_made(self, handler: str, seconds: float, failed: bool) -> None: ...

    def image_volume_prepared(self, failed: bool) -> None: ...


class PodOperations:
    """One for all pods of a kubelet; keeps nothing about any of them."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        network: NetworkState,
        volumes: PodVolumes,
        images: ImageManager,
        image_mounter: ImageMounter | None,
        handlers: Handlers,
        cgroups: Cgroups,
        paths: PodPaths | None,
        user_namespaces: UserNamespaces,
        source: ObjectSource,
        services: Callable[[str, bool], Mapping[str, str]],
        node: Callable[[], NodeSettings],
        owners: Owners,
        clock: Clock,
        observe: OperationsObserver,
        sandboxes_at_once: int = sys.maxsize,
    ) -> None:
        """``paths``: None where the runtime has no files. ``services(namespace, links)`` gives service variables."""
        self._runtime = runtime
        self._network = network
        self._volumes = volumes
        self._images = images
        self._image_volumes = ImageVolumes(
            images,
            paths=paths,
            mounter=image_mounter,
            runtime_mounts=lambda: node().runtime_mounts_images,
            prepared=observe.image_volume_prepared,
        )
        self._handlers = handlers
        self._cgroups = cgroups
        self._user_namespaces = user_namespaces
        self._paths = paths or PodPaths(root=Path("/nonexistent"))
        self._has_files = paths is not None
        self._source = source
        self._node = node
        self._builder = ContainerBuilder(
            volumes=volumes,
            paths=self._paths,
            has_files=self._has_files,
            source=source,
            services=services,
            node=node,
            owners=owners,
        )
        self._owners = owners
        self._clock = clock
        self._observe = observe
        self._turns = StartTurns(sandboxes_at_once, counts_s=SANDBOX_COUNTS_S, clock=clock)
        self.resizer = PodResizer(runtime, cgroups, self._policy, has_files=self._has_files)

    async def mount_volumes(self, pod: Object, record: PodRecord, announce: Announce) -> None:
        """Raises ``CannotStart``."""
        await self._wait_for_network(pod, announce)
        if self._has_files:
            await asyncio.to_thread(self._make_folders, pod)
        try:
            await self._volumes.mount(pod, record.ips)
        except MountFailed as error:
            for message in error.messages:
                announce(Record(type="Warning", reason="FailedMount", message=message))
            raise CannotStart("FailedMount", str(error)) from error

    async def _wait_for_network(self, pod: Object, announce: Announce) -> None:
        if not podspec.is_host_network(pod):
            await self._network.wait(announce)

    def _make_folders(self, pod: Object) -> None:
        uid = objects.uid(pod)
        for folder in (self._paths.pod(uid), self._paths.volumes(uid), self._paths.containers(uid)):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._paths.pod_logs(pod).mkdir(mode=0o755, parents=True, exist_ok=True)

    async def create_sandbox(self, pod: Object, attempt: int, announce: Announce) -> str:
        """Its id. Raises ``CannotStart``."""
        await self._wait_for_network(pod, announce)
        try:
            handler = await self._runtime_handler(pod)
            await self._make_cgroup(pod, announce)
            config = self._sandbox_config(pod, attempt, self._users(pod, handler), announce)
            async with self._turns.turn():
                return await self._run_sandbox(config, handler)
        except (RuntimeServiceError, SecurityContextError, APIError, Unreachable, ValueError, OSError) as error:
            text = error.with_code if isinstance(error, RuntimeServiceError) else error
            message = f"Failed to create pod sandbox: {text}"
            announce(Record(type="Warning", reason="FailedCreatePodSandBox", message=message))
            raise CannotStart("FailedCreatePodSandBox", message) from error

    async def _make_cgroup(self, pod: Object, announce: Announce) -> None:
        """Raises ``CannotStart``."""
        if not self._has_files:
            return
        try:
            await asyncio.to_thread(self._cgroups.create, pod, self._policy(pod))
        except OSError as error:
            message = f"unable to ensure pod container exists: {error}"
            announce(Record(type="Warning", reason="FailedCreatePodContainer", message=message))
            raise CannotStart("FailedCreatePodContainer", message) from error

    async def _run_sandbox(self, config: PodSandboxConfig, handler: str) -> str:
        began_s, failed = self._clock.monotonic(), True
        try:
            sandbox_id = await self._runtime.run_pod_sandbox(config, runtime_handler=handler)
            failed = False
            return sandbox_id
        finally:
            self._observe.sandbox_made(handler, self._clock.monotonic() - began_s, failed)

    def _policy(self, pod: Object, container: PodContainer | None = None) -> ResourcePolicy:
        return policy_for(self._node().policy, self._owners, pod, container)

    def _users(self, pod: Object, handler: str) -> UserNamespace:
        return self._user_namespaces.of(pod, handler, self._node().handlers)

    def _sandbox_config(
        self, pod: Object, attempt: int, users: UserNamespace, announce: Announce | None = None
    ) -> PodSandboxConfig:
        node = self._node()
        dns = pod_dns(pod, node=node.resolv_conf, cluster_servers=node.cluster_dns, cluster_domain=node.cluster_domain)
        if announce is not None:
            for reason, message in dns.warnings:
                announce(Record(type="Warning", reason=reason, message=message))
        return sandbox_config(
            pod,
            attempt=attempt,
            hostname=pod_hostname(pod, node.cluster_domain),
            dns=dns.config,
            cgroup_parent=self._cgroups.path(pod),
            paths=self._paths,
            policy=self._policy(pod),
            users=users,
        )

    async def _runtime_handler(self, pod: Object) -> str:
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        return str((await self._source.get(RUNTIMECLASSES, "", name))["handler"])

    async def start_container(self, pod: Object, record: PodRecord, work: StartContainer, announce: Announce) -> str:
        """Its id. Raises ``CannotStart`` with the Waiting state that upstream shows for what went wrong."""
        container = work.container

        def say(type: Literal["Normal", "Warning"], reason: str, message: str) -> None:
            announce(Record(type=type, reason=reason, message=message, container=container.name))

        sandbox = record.sandbox
        assert sandbox is not None
        try:
            handler = await self._runtime_handler(pod)
            users = self._users(pod, handler)
            sandbox_settings = self._sandbox_config(pod, sandbox.metadata.attempt, users)
            secrets = await self._pull_secrets(pod, announce)
            pull = PullContext(secrets=secrets, sandbox=sandbox_settings, runtime_handler=handler)
            image_volumes = await self._image_volumes.prepare(pod, container, pull, say)
            image = await self._images.ensure(
                pod, container, secrets=secrets, sandbox=sandbox_settings, runtime_handler=handler, announce=say
            )
        except CannotStart as error:
            say("Warning", "Failed", f"Error: {error.failure.reason}")
            raise
        except (APIError, Unreachable, ValueError, OSError, SecurityContextError) as error:
            raise self._refused(say, "CreateContainerConfigError", error) from error
        try:
            config = await self._builder.build(pod, record, work, image, image_volumes, handler=handler, users=users)
        except CONFIG_ERRORS as error:
            raise self._refused(say, "CreateContainerConfigError", error) from error
        try:
            container_id = await self._runtime.create_container(sandbox.id, config, sandbox_settings)
        except RuntimeServiceError as error:
            raise self._refused(say, "CreateContainerError", error) from error
        say("Normal", "Created", "Container created")
        try:
            await self._runtime.start_container(container_id)
        except RuntimeServiceError as error:
            raise self._refused(say, "RunContainerError", error) from error
        say("Normal", "Started", "Container started")
        if self._has_files:
            await asyncio.to_thread(self._link_log, pod, container.name, container_id, config.log_path)
        await self._post_start(pod, record, container, container_id, say)
        return container_id

    def _refused(
        self, say: Callable[[Literal["Normal", "Warning"], str, str], None], reason: str, error: Exception
    ) -> CannotStart:
        say("Warning", "Failed", f"Error: {error}")
        return CannotStart(reason, str(error))

    async def _pull_secrets(self, pod: Object, announce: Announce) -> list[Object]:
        """Those that exist: a missing pull secret is not an error, the pull without it may be."""
        secrets, failed = [], []
        for entry in pod["spec"].get("imagePullSecrets") or ():
            name = entry.get("name")
            if not name:
                continue
            try:
                secrets.append(await self._source.get(SECRETS, objects.namespace(pod), name))
            except (APIError, Unreachable) as error:
                log.warning("pull secret of %s: %s", podspec.full_name(pod), error)
                failed.append(name)
        if failed:
            message = (
                f"Unable to retrieve some image pull secrets ({', '.join(failed)}); attempting to pull the image may"
                " not succeed."
            )
            announce(Record(type="Warning", reason="FailedToRetrieveImagePullSecret", message=message))
        return secrets

    def _link_log(self, pod: Object, container: str, container_id: str, log_path: str) -> None:
        """For log collectors that look in one folder for the logs of all containers."""
        link = self._paths.log_link(pod, container, container_id)
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(self._paths.pod_logs(pod) / log_path)
        except OSError as error:
            log.warning("cannot link the log of %s: %s", container, error)

    async def _post_start(
        self,
        pod: Object,
        record: PodRecord,
        container: PodContainer,
        container_id: str,
        say: Callable[[Literal["Normal", "Warning"], str, str], None],
    ) -> None:
        hook = (container.spec.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        target = self.target(pod, record, container, container_id)
        try:
            await self._handlers.run_hook(target, hook, lambda reason, message: say("Warning", reason, message))
        except HookFailed as error:
            say("Warning", "FailedPostStartHook", "PostStartHook failed")
            say("Normal", "Killing", "FailedPostStartHook")
            grace_s = podspec.grace_period_s(pod, container.spec)
            await self._runtime.stop_container(container_id, timeout_s=max(grace_s, HOOK_FAILED_GRACE_S))
            raise CannotStart("PostStartHookError", str(error)) from error

    async def run_pre_stop(self, pod: Object, record: PodRecord, work: RunPreStop, announce: Announce) -> None:
        """Within the time that is left; a hook that fails or takes longer does not keep the container."""
        container = podspec.find_container(pod, work.record.name)
        hook = pre_stop_hook(container)
        if container is None or hook is None:
            return
        target = self.target(pod, record, container, work.record.id)

        def warn(reason: str, message: str) -> None:
            announce(Record(type="Warning", reason=reason, message=message, container=work.record.name))

        try:
            await self._clock.wait_for(self._handlers.run_hook(target, hook, warn), work.timeout_s)
        except TimeoutError:
            log.info("preStop hook of %s in %s outlived the grace period", container.name, podspec.full_name(pod))
        except HookFailed as error:
            log.info("preStop hook in %s: %s", podspec.full_name(pod), error)
            warn("FailedPreStopHook", "PreStopHook failed")

    def target(self, pod: Object, record: PodRecord, container: PodContainer, container_id: str) -> Target:
        ips = self._node().host_ips if podspec.is_host_network(pod) else record.ips
        return Target(pod=pod, container=container, container_id=container_id, pod_ip=ips[0] if ips else "")

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        await self._runtime.stop_container(container_id, timeout_s=grace_s)

    async def remove_container(self, container_id: str) -> None:
        await self._runtime.remove_container(container_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._runtime.stop_pod_sandbox(sandbox_id)

    async def tear_down(self, uid: str) -> None:
        """Volumes and cgroup. Raises ``OSError``; repeat it then."""
        await self._image_volumes.release(uid)
        await self._volumes.unmount(uid)
        if self._has_files:
            await asyncio.to_thread(self._cgroups.remove, uid)
        self._user_namespaces.release(uid)

    async def remove_folders(self, uid: str) -> None:
        """Everything of a pod that is gone but its logs. Raises ``OSError``; repeat it then."""
        await self.tear_down(uid)
        await self._volumes.remove(uid)

    async def remove(self, pod: Object, record: PodRecord, *, stopped: Set[str] = frozenset()) -> None:
        """The last of a pod that is gone from the API: its sandboxes, its containers, its folder and its logs.
        ``stopped``: sandboxes that need not be stopped again, which also takes their network down."""
        for item in record.containers:
            await self._runtime.remove_container(item.id)
        for box in record.sandboxes:
            if box.id not in stopped:
                await self._runtime.stop_pod_sandbox(box.id)
            await self._runtime.remove_pod_sandbox(box.id)
        await self._volumes.remove(objects.uid(pod))
        if self._has_files:
            await asyncio.to_thread(self._remove_logs, pod, record)

    def _remove_logs(self, pod: Object, record: PodRecord) -> None:
        for item in record.containers:
            self._paths.log_link(pod, item.name, item.id).unlink(missing_ok=True)
        remove_tree(self._paths.pod_logs(pod))
