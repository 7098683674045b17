"""A container runtime over CRI v1: containerd 1.6 and later, CRI-O.

What a runtime may not have is found by asking once: container events, ``RuntimeConfig``, sandbox stats and resizing
raise or return as ``api`` says. A runtime that has just started answers "not initialized yet" for a moment; that is
waited for here. When it does not answer at all, calls raise ``Unavailable`` at once and the channel reconnects within
a second of its return.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from google.protobuf.message import Message

from steersman.aio.clock import Clock, SystemClock
from steersman.kubelet.freezers import StuckFreezers, pods_freezer
from steersman.kubelet.runtimes import cri_reports as reports
from steersman.kubelet.runtimes import cri_requests as requests
from steersman.kubelet.runtimes.api import (
    ALL_STATS,
    EVERY_CONTAINER,
    EVERY_SANDBOX,
    AttachRequest,
    CgroupDriver,
    ExecRequest,
    ExecTimeout,
    FailedPrecondition,
    ImagePullError,
    PortConnection,
    Runtime,
    RuntimeServiceError,
    RuntimeStatus,
    Session,
    Unavailable,
    Unimplemented,
    Version,
)
from steersman.kubelet.runtimes.containers import (
    Container,
    ContainerConfig,
    ContainerEvent,
    ContainerFilter,
    ContainerStatus,
    ExecResult,
)
from steersman.kubelet.runtimes.cri_calls import POLL_S, CRICalls
from steersman.kubelet.runtimes.cri_rows import Rows
from steersman.kubelet.runtimes.cri_streaming import open_session
from steersman.kubelet.runtimes.criv1 import cri_pb2 as pb
from steersman.kubelet.runtimes.hang_watch import HangWatch
from steersman.kubelet.runtimes.images import AuthConfig, Image, ImageFsInfo, ImageSpec
from steersman.kubelet.runtimes.pod_ports import connect_to_pod, network_namespace
from steersman.kubelet.runtimes.sandboxes import (
    LinuxResources,
    PodSandbox,
    PodSandboxConfig,
    PodSandboxFilter,
    PodSandboxStatus,
)
from steersman.kubelet.runtimes.shims import release_removed
from steersman.kubelet.runtimes.stats import ContainerStats, PodSandboxStats, StatsFilter

NOT_IMPLEMENTED: Final = "not implemented"
SANDBOX_TIMEOUT_FACTOR: Final = 2
"""Making and removing a sandbox may take this many request timeouts: network plugins are slow. As upstream."""

_PULL_REASONS: Final = ("RegistryUnavailable", "SignatureValidationFailed")


class CRIRuntime:
    """CRI over gRPC. Make it, use it and close it on one event loop."""

    def __init__(
        self,
        endpoint: str,
        *,
        image_endpoint: str = "",
        clock: Clock | None = None,
        request_timeout_s: float = 120.0,
        observe: Callable[[str, float, bool], None] = lambda operation, took_s, failed: None,
        cgroup_root: str | None = None,
    ) -> None:
        """``endpoint`` is ``unix:///path`` or a bare path; images are asked for there too unless told otherwise.
        ``observe`` is told of every call: its name as upstream's metrics have it, how long it took, whether it failed.
        ``cgroup_root``: as the kubelet's; with it, cgroups that keep the runtime from ending pods are thawed."""
        self.endpoint = endpoint
        self._clock = clock or SystemClock()
        self._hangs = HangWatch(_look_for_hangs(endpoint, cgroup_root), clock=self._clock)
        self._calls = CRICalls(
            endpoint,
            image_endpoint=image_endpoint,
            clock=self._clock,
            request_timeout_s=request_timeout_s,
            observe=observe,
        )
        self._sandbox_rows: Rows[pb.PodSandbox, PodSandbox] = Rows(reports.sandbox)
        self._container_rows: Rows[pb.Container, Container] = Rows(reports.container)

    async def wait_ready(self, timeout_s: float) -> Version:
        """Until the runtime answers. Raises ``Unavailable`` after ``timeout_s``."""
        deadline_s = self._clock.monotonic() + timeout_s
        while True:
            try:
                return await self.version()
            except RuntimeServiceError as error:
                if self._clock.monotonic() >= deadline_s:
                    raise Unavailable(f"{self.endpoint} does not answer CRI v1: {error}") from error
            await self._clock.sleep(POLL_S)

    async def close(self) -> None:
        self._hangs.close()
        await self._calls.close()

    # ---- the runtime -------------------------------------------------------------------------------------------

    async def version(self) -> Version:
        answer = await self._calls.call("Version", pb.VersionRequest(version="v1"), pb.VersionResponse)
        return Version(
            runtime_name=answer.runtime_name,
            runtime_version=answer.runtime_version,
            api_version=answer.runtime_api_version,
        )

    async def status(self, *, verbose: bool = False) -> RuntimeStatus:
        return reports.runtime_status(
            await self._calls.call("Status", pb.StatusRequest(verbose=verbose), pb.StatusResponse)
        )

    async def runtime_config(self) -> CgroupDriver | None:
        try:
            answer = await self._calls.call("RuntimeConfig", pb.RuntimeConfigRequest(), pb.RuntimeConfigResponse)
        except Unimplemented:
            return None
        if not answer.HasField("linux"):
            return None
        return "systemd" if answer.linux.cgroup_driver == pb.SYSTEMD else "cgroupfs"

    async def update_runtime_config(self, *, pod_cidr: str) -> None:
        config = pb.RuntimeConfig(network_config=pb.NetworkConfig(pod_cidr=pod_cidr))
        await self._calls.call("UpdateRuntimeConfig", pb.UpdateRuntimeConfigRequest(runtime_config=config), pb.Empty)

    # ---- sandboxes ---------------------------------------------------------------------------------------------

    async def run_pod_sandbox(self, config: PodSandboxConfig, *, runtime_handler: str = "") -> str:
        request = pb.RunPodSandboxRequest(config=requests.sandbox_config(config), runtime_handler=runtime_handler)
        timeout_s = self._calls.timeout_s * SANDBOX_TIMEOUT_FACTOR
        return (await self._calls.call("RunPodSandbox", request, pb.SandboxID, timeout_s=timeout_s)).id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        timeout_s = self._calls.timeout_s * SANDBOX_TIMEOUT_FACTOR
        await self._end("StopPodSandbox", pb.SandboxID(id=sandbox_id), timeout_s)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        timeout_s = self._calls.timeout_s * SANDBOX_TIMEOUT_FACTOR
        await self._end("RemovePodSandbox", pb.SandboxID(id=sandbox_id), timeout_s)

    async def pod_sandbox_status(self, sandbox_id: str, *, verbose: bool = False) -> PodSandboxStatus:
        request = pb.SandboxStatusRequest(pod_sandbox_id=sandbox_id, verbose=verbose)
        answer = await self._calls.call("PodSandboxStatus", request, pb.SandboxStatusResponse)
        return reports.sandbox_status(answer.status, answer.info)

    async def list_pod_sandboxes(self, filter: PodSandboxFilter = EVERY_SANDBOX) -> Sequence[PodSandbox]:
        request = pb.ListSandboxesRequest(filter=requests.sandbox_filter(filter))
        answer = await self._calls.call("ListPodSandbox", request, pb.ListSandboxesResponse)
        return self._sandbox_rows.of(answer.items, is_everything=filter == EVERY_SANDBOX)

    async def update_pod_sandbox_resources(
        self, sandbox_id: str, *, overhead: LinuxResources | None = None, resources: LinuxResources | None = None
    ) -> None:
        request = pb.UpdateSandboxResourcesRequest(
            pod_sandbox_id=sandbox_id,
            overhead=requests.resources(overhead) if overhead else None,
            resources=requests.resources(resources) if resources else None,
        )
        try:
            await self._calls.call("UpdatePodSandboxResources", request, pb.Empty)
        except RuntimeServiceError as error:
            if NOT_IMPLEMENTED in str(error):  # containerd 2.2 says so without the code
                raise Unimplemented(str(error)) from error
            raise

    # ---- containers --------------------------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox_config: PodSandboxConfig) -> str:
        request = pb.CreateContainerRequest(
            pod_sandbox_id=sandbox_id,
            config=requests.container_config(config),
            sandbox_config=requests.sandbox_config(sandbox_config),
        )
        return (await self._calls.call("CreateContainer", request, pb.ContainerID)).id

    async def start_container(self, container_id: str) -> None:
        await self._calls.call("StartContainer", pb.ContainerID(id=container_id), pb.Empty)

    async def stop_container(self, container_id: str, *, timeout_s: float) -> None:
        request = pb.StopContainerRequest(container_id=container_id, timeout=max(0, round(timeout_s)))
        await self._end("StopContainer", request, timeout_s + self._calls.timeout_s)

    async def remove_container(self, container_id: str) -> None:
        await self._end("RemoveContainer", pb.ContainerID(id=container_id), self._calls.timeout_s)

    async def _end(self, method: str, request: Message, timeout_s: float) -> None:
        with self._hangs.watching():
            await self._calls.forgiving(method, request, timeout_s)

    async def container_status(self, container_id: str, *, verbose: bool = False) -> ContainerStatus:
        request = pb.ContainerStatusRequest(container_id=container_id, verbose=verbose)
        answer = await self._calls.call("ContainerStatus", request, pb.ContainerStatusResponse)
        return reports.container_status(answer.status, answer.info)

    async def list_containers(self, filter: ContainerFilter = EVERY_CONTAINER) -> Sequence[Container]:
        request = pb.ListContainersRequest(filter=requests.container_filter(filter))
        answer = await self._calls.call("ListContainers", request, pb.ListContainersResponse)
        return self._container_rows.of(answer.containers, is_everything=filter == EVERY_CONTAINER)

    async def update_container_resources(
        self, container_id: str, resources: LinuxResources, *, annotations: Mapping[str, str] | None = None
    ) -> None:
        request = pb.UpdateContainerResourcesRequest(
            container_id=container_id, linux=requests.resources(resources), annotations=annotations or {}
        )
        await self._calls.call("UpdateContainerResources", request, pb.Empty)

    async def reopen_container_log(self, container_id: str) -> None:
        await self._calls.call("ReopenContainerLog", pb.ContainerID(id=container_id), pb.Empty)

    async def checkpoint_container(self, container_id: str, *, location: str, timeout_s: float) -> None:
        request = pb.CheckpointContainerRequest(
            container_id=container_id, location=location, timeout=max(0, round(timeout_s))
        )
        try:
            await self._calls.call("CheckpointContainer", request, pb.Empty, timeout_s=timeout_s)
        except RuntimeServiceError as error:
            raise type(error)(_as_go_says(error)) from error

    # ---- streams -----------------------------------------------------------------------------------------------

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_s: float = 0) -> ExecResult:
        request = pb.ExecSyncRequest(container_id=container_id, cmd=command, timeout=_whole_seconds(timeout_s))
        limit_s = timeout_s + self._calls.timeout_s if timeout_s else None
        try:
            with self._hangs.watching():
                answer = await self._calls.call("ExecSync", request, pb.ExecSyncResponse, timeout_s=limit_s)
        except RuntimeServiceError as error:
            if timeout_s and _says_timeout(error):
                text = f'command timed out: "{" ".join(command)}" timed out after {timeout_s:g}s'
                raise ExecTimeout(text) from error
            raise
        return ExecResult(stdout=answer.stdout, stderr=answer.stderr, exit_code=answer.exit_code)

    async def exec(self, request: ExecRequest) -> Session:
        message = pb.ExecRequest(
            container_id=request.container_id,
            cmd=request.command,
            tty=request.tty,
            stdin=request.stdin,
            stdout=request.stdout,
            stderr=request.stderr and not request.tty,
        )
        answer = await self._calls.call("Exec", message, pb.StreamingURL)
        return await open_session(answer.url, request, clock=self._clock)

    async def attach(self, request: AttachRequest) -> Session:
        message = pb.AttachRequest(
            container_id=request.container_id,
            stdin=request.stdin,
            tty=request.tty,
            stdout=request.stdout,
            stderr=request.stderr and not request.tty,
        )
        answer = await self._calls.call("Attach", message, pb.StreamingURL)
        return await open_session(answer.url, request, clock=self._clock)

    async def port_forward(self, sandbox_id: str, port: int) -> PortConnection:
        status = await self.pod_sandbox_status(sandbox_id, verbose=True)
        if status.state != "READY":
            raise FailedPrecondition(f"sandbox container {sandbox_id} is not running")
        return await connect_to_pod(network_namespace(status), port)

    # ---- stats and events --------------------------------------------------------------------------------------

    async def container_stats(self, container_id: str) -> ContainerStats:
        answer = await self._calls.call("ContainerStats", pb.ContainerID(id=container_id), pb.ContainerStatsResponse)
        return reports.container_stats(answer.stats)

    async def list_container_stats(self, filter: StatsFilter = ALL_STATS) -> Sequence[ContainerStats]:
        request = pb.ListContainerStatsRequest(filter=requests.container_stats_filter(filter))
        answer = await self._calls.call("ListContainerStats", request, pb.ListContainerStatsResponse)
        return [reports.container_stats(stats) for stats in answer.stats]

    async def pod_sandbox_stats(self, sandbox_id: str) -> PodSandboxStats:
        answer = await self._calls.call("PodSandboxStats", pb.SandboxID(id=sandbox_id), pb.SandboxStatsResponse)
        return reports.sandbox_stats(answer.stats)

    async def list_pod_sandbox_stats(self, filter: StatsFilter = ALL_STATS) -> Sequence[PodSandboxStats]:
        request = pb.ListSandboxStatsRequest(filter=requests.sandbox_stats_filter(filter))
        answer = await self._calls.call("ListPodSandboxStats", request, pb.ListSandboxStatsResponse)
        return [reports.sandbox_stats(stats) for stats in answer.stats]

    async def container_events(self) -> AsyncIterator[ContainerEvent]:
        async with aclosing(self._calls.stream("GetContainerEvents", pb.Empty(), pb.ContainerEvent)) as events:
            async for event in events:
                yield reports.container_event(event)

    # ---- images ------------------------------------------------------------------------------------------------

    async def list_images(self, image: str = "") -> Sequence[Image]:
        request = pb.ListImagesRequest(filter=pb.ImageFilter(image=pb.ImageSpec(image=image)) if image else None)
        answer = await self._calls.call("ListImages", request, pb.ListImagesResponse)
        return [reports.image(row) for row in answer.images]

    async def image_status(self, image: ImageSpec) -> Image | None:
        request = pb.ImageStatusRequest(image=requests.image_spec(image))
        answer = await self._calls.call("ImageStatus", request, pb.ImageStatusResponse)
        return reports.image(answer.image) if answer.HasField("image") else None

    async def pull_image(
        self, image: ImageSpec, *, auth: AuthConfig | None = None, sandbox_config: PodSandboxConfig | None = None
    ) -> str:
        request = pb.PullImageRequest(
            image=requests.image_spec(image),
            auth=requests.auth_config(auth) if auth else None,
            sandbox_config=requests.sandbox_config(sandbox_config) if sandbox_config else None,
        )
        try:
            ref = (await self._calls.call("PullImage", request, pb.PullImageResponse, timeout_s=None)).image_ref
        except RuntimeServiceError as error:
            text = _as_go_says(error)
            reason = next((reason for reason in _PULL_REASONS if text.startswith(reason)), "ErrImagePull")
            raise ImagePullError(text, reason=reason) from error
        if not ref:
            raise ImagePullError(f'imageRef of image "{image.image}" is not set')
        return ref

    async def remove_image(self, image: ImageSpec) -> None:
        await self._calls.forgiving(
            "RemoveImage", pb.RemoveImageRequest(image=requests.image_spec(image)), self._calls.timeout_s
        )

    async def image_fs_info(self) -> ImageFsInfo:
        return reports.image_fs_info(await self._calls.call("ImageFsInfo", pb.Empty(), pb.ImageFsInfoResponse))


def _look_for_hangs(endpoint: str, cgroup_root: str | None) -> Callable[[], None]:
    """What a call of a runtime that was killed, or whose client was, may wait for."""
    address = endpoint.removeprefix("unix://")
    folder = None if cgroup_root is None else pods_freezer(cgroup_root)
    freezers = None if folder is None else StuckFreezers(folder)

    def look() -> None:
        release_removed(address)
        if freezers is not None:
            freezers.look()

    return look


def _as_go_says(error: RuntimeServiceError) -> str:
    """As users know the messages of failed pulls; an unclassified error is its message alone."""
    return str(error) if error.code == "Unknown" else error.with_code


def _says_timeout(error: RuntimeServiceError) -> bool:
    """containerd answers a command's timeout with DeadlineExceeded or, before 1.7, an unclassified error."""
    text = str(error)
    return isinstance(error, Unavailable) or ("timeout" in text and "exceeded" in text)


def _whole_seconds(timeout_s: float) -> int:
    """CRI counts whole seconds and 0 means no limit: a fraction is rounded up."""
    return -int(-timeout_s // 1)


def _conforms(runtime: CRIRuntime) -> Runtime:
    return runtime
