"""A container runtime over CRI v1: containerd 1.6 and later, CRI-O.

What a runtime may not have is found by asking once: container events, ``RuntimeConfig``, sandbox stats and resizing
raise or return as ``api`` says. A runtime that has just started answers "not initialized yet" for a moment; that is
waited for here. When it does not answer at all, calls raise ``Unavailable`` at once and the channel reconnects within
a second of its return.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

# grpc installs fork handlers that block every fork of this process while calls are in flight unless told not to,
# and reads the setting when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio
from google.protobuf.message import Message

from steersman.aio.clock import Clock, SystemClock
from steersman.kubelet.runtimes import cri_reports as reports
from steersman.kubelet.runtimes import cri_requests as requests
from steersman.kubelet.runtimes.api import (
    ALL_STATS,
    EVERY_CONTAINER,
    EVERY_SANDBOX,
    AlreadyExists,
    AttachRequest,
    CgroupDriver,
    ExecRequest,
    ExecTimeout,
    FailedPrecondition,
    ImagePullError,
    InvalidArgument,
    NotFound,
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
from steersman.kubelet.runtimes.cri_rows import Rows
from steersman.kubelet.runtimes.cri_streaming import open_session
from steersman.kubelet.runtimes.criv1 import cri_pb2 as pb
from steersman.kubelet.runtimes.images import AuthConfig, Image, ImageFsInfo, ImageSpec
from steersman.kubelet.runtimes.pod_ports import connect_to_pod, network_namespace
from steersman.kubelet.runtimes.sandboxes import (
    LinuxResources,
    PodSandbox,
    PodSandboxConfig,
    PodSandboxFilter,
    PodSandboxStatus,
)
from steersman.kubelet.runtimes.stats import ContainerStats, PodSandboxStats, StatsFilter

M = TypeVar("M", bound=Message)

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
NOT_INITIALIZED: Final = "not initialized yet"
NOT_IMPLEMENTED: Final = "not implemented"
INITIALIZATION_S: Final = 10.0
"""How long a runtime that says ``NOT_INITIALIZED`` is asked again, every ``POLL_S``."""
POLL_S: Final = 0.1
SANDBOX_TIMEOUT_FACTOR: Final = 2
"""Making and removing a sandbox may take this many request timeouts: network plugins are slow. As upstream."""

_RUNTIME: Final = "/runtime.v1.RuntimeService/"
_IMAGES: Final = "/runtime.v1.ImageService/"
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.default_authority", "localhost"),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)
_ERRORS: Final[Mapping[grpc.StatusCode, type[RuntimeServiceError]]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
}
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
    ) -> None:
        """``endpoint`` is ``unix:///path`` or a bare path; images are asked for there too unless told otherwise.
        ``observe`` is told of every call: its name as upstream's metrics have it, how long it took, whether it failed."""
        self.endpoint = endpoint
        self._clock = clock or SystemClock()
        self._timeout_s = request_timeout_s
        self._observe = observe
        self._channel = grpc.aio.insecure_channel(_target(endpoint), options=_CHANNEL_OPTIONS)
        self._image_channel = self._channel
        self._sandbox_rows: Rows[pb.PodSandbox, PodSandbox] = Rows(reports.sandbox)
        self._container_rows: Rows[pb.Container, Container] = Rows(reports.container)
        self._methods: dict[str, Any] = {}
        if image_endpoint and image_endpoint != endpoint:
            self._image_channel = grpc.aio.insecure_channel(_target(image_endpoint), options=_CHANNEL_OPTIONS)

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
        await self._channel.close()
        if self._image_channel is not self._channel:
            await self._image_channel.close()

    # ---- the runtime -------------------------------------------------------------------------------------------

    async def version(self) -> Version:
        answer = await self._call("Version", pb.VersionRequest(version="v1"), pb.VersionResponse)
        return Version(
            runtime_name=answer.runtime_name,
            runtime_version=answer.runtime_version,
            api_version=answer.runtime_api_version,
        )

    async def status(self, *, verbose: bool = False) -> RuntimeStatus:
        return reports.runtime_status(await self._call("Status", pb.StatusRequest(verbose=verbose), pb.StatusResponse))

    async def runtime_config(self) -> CgroupDriver | None:
        try:
            answer = await self._call("RuntimeConfig", pb.RuntimeConfigRequest(), pb.RuntimeConfigResponse)
        except Unimplemented:
            return None
        if not answer.HasField("linux"):
            return None
        return "systemd" if answer.linux.cgroup_driver == pb.SYSTEMD else "cgroupfs"

    async def update_runtime_config(self, *, pod_cidr: str) -> None:
        config = pb.RuntimeConfig(network_config=pb.NetworkConfig(pod_cidr=pod_cidr))
        await self._call("UpdateRuntimeConfig", pb.UpdateRuntimeConfigRequest(runtime_config=config), pb.Empty)

    # ---- sandboxes ---------------------------------------------------------------------------------------------

    async def run_pod_sandbox(self, config: PodSandboxConfig, *, runtime_handler: str = "") -> str:
        request = pb.RunPodSandboxRequest(config=requests.sandbox_config(config), runtime_handler=runtime_handler)
        timeout_s = self._timeout_s * SANDBOX_TIMEOUT_FACTOR
        return (await self._call("RunPodSandbox", request, pb.SandboxID, timeout_s=timeout_s)).id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        timeout_s = self._timeout_s * SANDBOX_TIMEOUT_FACTOR
        await self._forgiving("StopPodSandbox", pb.SandboxID(id=sandbox_id), timeout_s)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        timeout_s = self._timeout_s * SANDBOX_TIMEOUT_FACTOR
        await self._forgiving("RemovePodSandbox", pb.SandboxID(id=sandbox_id), timeout_s)

    async def pod_sandbox_status(self, sandbox_id: str, *, verbose: bool = False) -> PodSandboxStatus:
        request = pb.SandboxStatusRequest(pod_sandbox_id=sandbox_id, verbose=verbose)
        answer = await self._call("PodSandboxStatus", request, pb.SandboxStatusResponse)
        return reports.sandbox_status(answer.status, answer.info)

    async def list_pod_sandboxes(self, filter: PodSandboxFilter = EVERY_SANDBOX) -> Sequence[PodSandbox]:
        request = pb.ListSandboxesRequest(filter=requests.sandbox_filter(filter))
        answer = await self._call("ListPodSandbox", request, pb.ListSandboxesResponse)
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
            await self._call("UpdatePodSandboxResources", request, pb.Empty)
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
        return (await self._call("CreateContainer", request, pb.ContainerID)).id

    async def start_container(self, container_id: str) -> None:
        await self._call("StartContainer", pb.ContainerID(id=container_id), pb.Empty)

    async def stop_container(self, container_id: str, *, timeout_s: float) -> None:
        request = pb.StopContainerRequest(container_id=container_id, timeout=max(0, round(timeout_s)))
        await self._forgiving("StopContainer", request, timeout_s + self._timeout_s)

    async def remove_container(self, container_id: str) -> None:
        await self._forgiving("RemoveContainer", pb.ContainerID(id=container_id), self._timeout_s)

    async def container_status(self, container_id: str, *, verbose: bool = False) -> ContainerStatus:
        request = pb.ContainerStatusRequest(container_id=container_id, verbose=verbose)
        answer = await self._call("ContainerStatus", request, pb.ContainerStatusResponse)
        return reports.container_status(answer.status, answer.info)

    async def list_containers(self, filter: ContainerFilter = EVERY_CONTAINER) -> Sequence[Container]:
        request = pb.ListContainersRequest(filter=requests.container_filter(filter))
        answer = await self._call("ListContainers", request, pb.ListContainersResponse)
        return self._container_rows.of(answer.containers, is_everything=filter == EVERY_CONTAINER)

    async def update_container_resources(
        self, container_id: str, resources: LinuxResources, *, annotations: Mapping[str, str] | None = None
    ) -> None:
        request = pb.UpdateContainerResourcesRequest(
            container_id=container_id, linux=requests.resources(resources), annotations=annotations or {}
        )
        await self._call("UpdateContainerResources", request, pb.Empty)

    async def reopen_container_log(self, container_id: str) -> None:
        await self._call("ReopenContainerLog", pb.ContainerID(id=container_id), pb.Empty)

    async def checkpoint_container(self, container_id: str, *, location: str, timeout_s: float) -> None:
        request = pb.CheckpointContainerRequest(
            container_id=container_id, location=location, timeout=max(0, round(timeout_s))
        )
        try:
            await self._call("CheckpointContainer", request, pb.Empty, timeout_s=timeout_s)
        except RuntimeServiceError as error:
            raise type(error)(_as_go_says(error)) from error

    # ---- streams -----------------------------------------------------------------------------------------------

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_s: float = 0) -> ExecResult:
        request = pb.ExecSyncRequest(container_id=container_id, cmd=command, timeout=_whole_seconds(timeout_s))
        limit_s = timeout_s + self._timeout_s if timeout_s else None
        try:
            answer = await self._call("ExecSync", request, pb.ExecSyncResponse, timeout_s=limit_s)
        except RuntimeServiceError as error:
            if timeout_s and _says_timeout(error):
                raise ExecTimeout(f"command {list(command)!r} timed out") from error
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
        answer = await self._call("Exec", message, pb.StreamingURL)
        return await open_session(answer.url, request, clock=self._clock)

    async def attach(self, request: AttachRequest) -> Session:
        message = pb.AttachRequest(
            container_id=request.container_id,
            stdin=request.stdin,
            tty=request.tty,
            stdout=request.stdout,
            stderr=request.stderr and not request.tty,
        )
        answer = await self._call("Attach", message, pb.StreamingURL)
        return await open_session(answer.url, request, clock=self._clock)

    async def port_forward(self, sandbox_id: str, port: int) -> PortConnection:
        status = await self.pod_sandbox_status(sandbox_id, verbose=True)
        if status.state != "READY":
            raise FailedPrecondition(f"sandbox container {sandbox_id} is not running")
        return await connect_to_pod(network_namespace(status), port)

    # ---- stats and events --------------------------------------------------------------------------------------

    async def container_stats(self, container_id: str) -> ContainerStats:
        answer = await self._call("ContainerStats", pb.ContainerID(id=container_id), pb.ContainerStatsResponse)
        return reports.container_stats(answer.stats)

    async def list_container_stats(self, filter: StatsFilter = ALL_STATS) -> Sequence[ContainerStats]:
        request = pb.ListContainerStatsRequest(filter=requests.container_stats_filter(filter))
        answer = await self._call("ListContainerStats", request, pb.ListContainerStatsResponse)
        return [reports.container_stats(stats) for stats in answer.stats]

    async def pod_sandbox_stats(self, sandbox_id: str) -> PodSandboxStats:
        answer = await self._call("PodSandboxStats", pb.SandboxID(id=sandbox_id), pb.SandboxStatsResponse)
        return reports.sandbox_stats(answer.stats)

    async def list_pod_sandbox_stats(self, filter: StatsFilter = ALL_STATS) -> Sequence[PodSandboxStats]:
        request = pb.ListSandboxStatsRequest(filter=requests.sandbox_stats_filter(filter))
        answer = await self._call("ListPodSandboxStats", request, pb.ListSandboxStatsResponse)
        return [reports.sandbox_stats(stats) for stats in answer.stats]

    async def container_events(self) -> AsyncIterator[ContainerEvent]:
        method = self._channel.unary_stream(
            _RUNTIME + "GetContainerEvents",
            request_serializer=pb.Empty.SerializeToString,
            response_deserializer=pb.ContainerEvent.FromString,
        )
        call = method(pb.Empty())
        try:
            async for event in call:
                yield reports.container_event(event)
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error
        finally:
            call.cancel()

    # ---- images ------------------------------------------------------------------------------------------------

    async def list_images(self, image: str = "") -> Sequence[Image]:
        request = pb.ListImagesRequest(filter=pb.ImageFilter(image=pb.ImageSpec(image=image)) if image else None)
        answer = await self._call("ListImages", request, pb.ListImagesResponse)
        return [reports.image(row) for row in answer.images]

    async def image_status(self, image: ImageSpec) -> Image | None:
        request = pb.ImageStatusRequest(image=requests.image_spec(image))
        answer = await self._call("ImageStatus", request, pb.ImageStatusResponse)
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
            ref = (await self._call("PullImage", request, pb.PullImageResponse, timeout_s=None)).image_ref
        except RuntimeServiceError as error:
            text = _as_go_says(error)
            reason = next((reason for reason in _PULL_REASONS if text.startswith(reason)), "ErrImagePull")
            raise ImagePullError(text, reason=reason) from error
        if not ref:
            raise ImagePullError(f'imageRef of image "{image.image}" is not set')
        return ref

    async def remove_image(self, image: ImageSpec) -> None:
        await self._forgiving("RemoveImage", pb.RemoveImageRequest(image=requests.image_spec(image)), self._timeout_s)

    async def image_fs_info(self) -> ImageFsInfo:
        return reports.image_fs_info(await self._call("ImageFsInfo", pb.Empty(), pb.ImageFsInfoResponse))

    # ---- calls -------------------------------------------------------------------------------------------------

    async def _forgiving(self, method: str, request: Message, timeout_s: float) -> None:
        """A call for which "it is not there" is success."""
        try:
            await self._call(method, request, pb.Empty, timeout_s=timeout_s)
        except NotFound:
            return

    async def _call(self, method: str, request: Message, answer: type[M], *, timeout_s: float | None = -1) -> M:
        """One call, counted. ``timeout_s``: None for no limit, -1 the default."""
        began_s = self._clock.monotonic()
        failed = True
        try:
            result = await self._call_patiently(method, request, answer, timeout_s)
            failed = False
            return result
        finally:
            self._observe(operation_name(method), self._clock.monotonic() - began_s, failed)

    async def _call_patiently(self, method: str, request: Message, answer: type[M], timeout_s: float | None) -> M:
        """Repeated while the runtime is still starting."""
        call = self._methods.get(method)
        if call is None:
            images = method in _IMAGE_METHODS
            call = self._methods[method] = (self._image_channel if images else self._channel).unary_unary(
                (_IMAGES if images else _RUNTIME) + method,
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
        limit_s = self._timeout_s if timeout_s == -1 else timeout_s
        deadline_s = self._clock.monotonic() + INITIALIZATION_S
        while True:
            try:
                result: M = await call(request, timeout=limit_s)
                return result
            except grpc.aio.AioRpcError as error:
                if NOT_INITIALIZED not in (error.details() or "") or self._clock.monotonic() >= deadline_s:
                    raise _translated(error) from error
            except asyncio.InvalidStateError as error:
                raise Unavailable("connection to the runtime is closed") from error
            await self._clock.sleep(POLL_S)


_IMAGE_METHODS: Final = frozenset(method.name for method in pb.DESCRIPTOR.services_by_name["ImageService"].methods)


@lru_cache(maxsize=64)
def operation_name(method: str) -> str:
    """``RunPodSandbox`` -> ``run_podsandbox``, as upstream counts it."""
    if method == "UpdateContainerResources":
        return "update_container"
    words = method.replace("PodSandbox", "Podsandbox")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in words).lstrip("_")


def _target(endpoint: str) -> str:
    if endpoint.startswith("unix://"):
        return endpoint
    if endpoint.startswith("/"):
        return f"unix://{endpoint}"
    raise ValueError(f'container runtime endpoint {endpoint!r} is not supported: use "unix:///path/to.sock"')


def _translated(error: grpc.aio.AioRpcError) -> RuntimeServiceError:
    details = error.details() or error.code().name
    return _ERRORS.get(error.code(), RuntimeServiceError)(details)


def _as_go_says(error: RuntimeServiceError) -> str:
    """With its code, as users know the messages of failed pulls; an unclassified error is its message alone."""
    cause = error.__cause__
    if not isinstance(cause, grpc.aio.AioRpcError) or cause.code() is grpc.StatusCode.UNKNOWN:
        return str(error)
    code = cause.code().name.title().replace("_", "").replace("Cancelled", "Canceled")
    return f"rpc error: code = {code} desc = {error}"


def _says_timeout(error: RuntimeServiceError) -> bool:
    """containerd answers a command's timeout with DeadlineExceeded or, before 1.7, an unclassified error."""
    text = str(error)
    return isinstance(error, Unavailable) or ("timeout" in text and "exceeded" in text)


def _whole_seconds(timeout_s: float) -> int:
    """CRI counts whole seconds and 0 means no limit: a fraction is rounded up."""
    return -int(-timeout_s // 1)


def _conforms(runtime: CRIRuntime) -> Runtime:
    return runtime
