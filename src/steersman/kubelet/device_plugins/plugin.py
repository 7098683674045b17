"""One device plugin behind its socket: the client's side of the DevicePlugin service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, Protocol

from google.protobuf.message import Message

from steersman.aio.rpc import grpc
from steersman.kubelet.device_plugins.devices import Device
from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb
from steersman.kubelet.rpc_text import code_name, rpc_text

CONNECT_S: Final = 10.0
PRE_START_S: Final = 30.0
UNREADABLE: Final = "cannot read the answer"
"""gRPC gives None for what it cannot decode."""
_OPTIONS: Final = (("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0))


class PluginError(Exception):
    """The plugin cannot be reached or says no."""


class Plugin(Protocol):
    """Serves the devices of one resource."""

    @property
    def resource(self) -> str: ...

    @property
    def needs_pre_start(self) -> bool:
        """It wants to hear of every start of a container with its devices."""

    @property
    def has_preferences(self) -> bool: ...

    async def allocate(self, ids: Iterable[str]) -> pb.ContainerAllocateResponse:
        """Raises ``PluginError``."""

    async def prefer(self, free: Iterable[str], included: Iterable[str], count: int) -> frozenset[str]:
        """Which ``count`` of ``free``, ``included`` among them, it would give. Raises ``PluginError``."""

    async def pre_start(self, ids: Iterable[str]) -> None:
        """Raises ``PluginError``."""


class DevicePlugin:
    """Make it, use it and close it on one event loop."""

    def __init__(self, resource: str, address: str) -> None:
        """``address``: as gRPC has it."""
        self.resource = resource
        self.needs_pre_start = False
        self.has_preferences = False
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)

    async def connect(self) -> None:
        """Raises ``PluginError``."""
        try:
            options = await self._call(
                "GetDevicePluginOptions", pb.Empty(), pb.DevicePluginOptions, timeout_s=CONNECT_S
            )
        except PluginError as error:
            raise PluginError(f"failed to get device plugin options: {error}") from error
        self.needs_pre_start = options.pre_start_required
        self.has_preferences = options.get_preferred_allocation_available

    async def close(self) -> None:
        await self._channel.close()

    async def watch(self) -> AsyncIterator[list[Device]]:
        """All devices, each time one of them changes. Raises ``PluginError`` when the plugin is gone."""
        method = self._channel.unary_stream(
            "/v1beta1.DevicePlugin/ListAndWatch",
            request_serializer=pb.Empty.SerializeToString,
            response_deserializer=pb.ListAndWatchResponse.FromString,
        )
        call = method(pb.Empty())
        try:
            async for answer in call:
                if answer is None:
                    raise PluginError(f"{UNREADABLE} of ListAndWatch")
                yield [_device(device) for device in answer.devices]
        except grpc.aio.AioRpcError as error:
            raise PluginError(_text(error)) from error
        finally:
            call.cancel()

    async def allocate(self, ids: Iterable[str]) -> pb.ContainerAllocateResponse:
        request = pb.AllocateRequest(container_requests=[pb.ContainerAllocateRequest(devices_ids=sorted(ids))])
        answer = await self._call("Allocate", request, pb.AllocateResponse)
        if not answer.container_responses:
            raise PluginError("no containers return in allocation response &AllocateResponse{}")
        response: pb.ContainerAllocateResponse = answer.container_responses[0]
        return response

    async def prefer(self, free: Iterable[str], included: Iterable[str], count: int) -> frozenset[str]:
        wanted = pb.ContainerPreferredAllocationRequest(
            available_deviceIDs=sorted(free), must_include_deviceIDs=sorted(included), allocation_size=count
        )
        request = pb.PreferredAllocationRequest(container_requests=[wanted])
        try:
            answer = await self._call("GetPreferredAllocation", request, pb.PreferredAllocationResponse)
        except PluginError as error:
            raise PluginError(f"device plugin GetPreferredAllocation rpc failed with err: {error}") from error
        return frozenset(one for response in answer.container_responses[:1] for one in response.deviceIDs)

    async def pre_start(self, ids: Iterable[str]) -> None:
        request = pb.PreStartContainerRequest(devices_ids=sorted(ids))
        try:
            await self._call("PreStartContainer", request, pb.PreStartContainerResponse, timeout_s=PRE_START_S)
        except PluginError as error:
            raise PluginError(f"device plugin PreStartContainer rpc failed with err: {error}") from error

    async def _call(self, method: str, request: Message, answer: Any, *, timeout_s: float | None = None) -> Any:
        call = self._channel.unary_unary(
            f"/v1beta1.DevicePlugin/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            found = await call(request, timeout=timeout_s, wait_for_ready=method == "GetDevicePluginOptions")
        except grpc.aio.AioRpcError as error:
            raise PluginError(_text(error)) from error
        if found is None:
            raise PluginError(f"{UNREADABLE} of {method}")
        return found


def _device(sent: pb.Device) -> Device:
    return Device(id=sent.ID, health=sent.health, nodes=tuple(sorted({node.ID for node in sent.topology.nodes})))


def _text(error: grpc.aio.AioRpcError) -> str:
    """As clients in Go print it."""
    return rpc_text(code_name(error.code().name), str(error.details()))


def _conforms(plugin: DevicePlugin) -> Plugin:
    return plugin
