"""A device plugin in Python, as a vendor would write it: it serves its devices, registers, and does so again when the
kubelet's socket is made anew.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio

from steersman.kubelet.device_plugins.device_plugins import VERSION
from steersman.kubelet.device_plugins.registration import FOLDER, SOCKET
from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb

RESOURCE = "example.com/widget"
PATIENCE_S = 20.0
GARBAGE = b"\xff\xff\xff"
"""No message. What is sent for a list without devices."""


def device(name: str, *, healthy: bool = True, nodes: Iterable[int] = ()) -> pb.Device:
    topology = pb.TopologyInfo(nodes=[pb.NUMANode(ID=node) for node in nodes])
    return pb.Device(ID=name, health="Healthy" if healthy else "Unhealthy", topology=topology)


def widgets(count: int) -> list[pb.Device]:
    return [device(f"widget-{number}") for number in range(count)]


def named_in_environment(ids: list[str]) -> pb.ContainerAllocateResponse:
    return pb.ContainerAllocateResponse(envs={"WIDGETS": ",".join(ids)})


class SamplePlugin:
    """One resource's. Tests look at what it was asked and change what it answers."""

    def __init__(self, folder: Path, devices: Iterable[pb.Device], *, resource: str = RESOURCE, name: str = "") -> None:
        """``folder``: of the kubelet's sockets."""
        self.resource = resource
        self.options = pb.DevicePluginOptions()
        self.response: Callable[[list[str]], pb.ContainerAllocateResponse] = named_in_environment
        self.preferred: Callable[[list[str]], list[str]] = lambda free: free
        self.refusal = ""
        """Why Allocate and PreStartContainer fail."""
        self.allocated: list[list[str]] = []
        self.started: list[list[str]] = []
        self.asked: list[tuple[list[str], list[str], int]] = []
        self._folder = folder / FOLDER
        self._endpoint = name or resource.replace("/", "_") + ".sock"
        self._devices = list(devices)
        self._change = asyncio.Condition()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Serve, once there is a kubelet, which removes the sockets that it finds. Removes the socket of an earlier run."""
        async with asyncio.timeout(PATIENCE_S):
            while not (self._folder / SOCKET).is_socket():  # noqa: ASYNC110 - a socket says nothing when it is made
                await asyncio.sleep(0.01)
        (self._folder / self._endpoint).unlink(missing_ok=True)
        self._server = server = grpc.aio.server()
        handlers = {
            "GetDevicePluginOptions": _unary(self._get_options, pb.Empty),
            "Allocate": _unary(self._allocate, pb.AllocateRequest),
            "GetPreferredAllocation": _unary(self._prefer, pb.PreferredAllocationRequest),
            "PreStartContainer": _unary(self._pre_start, pb.PreStartContainerRequest),
            "ListAndWatch": grpc.unary_stream_rpc_method_handler(
                self._list_and_watch,
                request_deserializer=pb.Empty.FromString,
                response_serializer=lambda answer: answer.SerializeToString() if answer.devices else GARBAGE,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", handlers),))
        server.add_insecure_port(f"unix:{self._folder / self._endpoint}")
        await server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def register(self, *, version: str = VERSION, resource: str = "") -> None:
        """Raises ``grpc.aio.AioRpcError``."""
        async with grpc.aio.insecure_channel(
            f"unix:{self._folder / SOCKET}", options=(("grpc.default_authority", "localhost"),)
        ) as channel:
            call = channel.unary_unary(
                "/v1beta1.Registration/Register",
                request_serializer=pb.RegisterRequest.SerializeToString,
                response_deserializer=pb.Empty.FromString,
            )
            await call(
                pb.RegisterRequest(
                    version=version,
                    endpoint=self._endpoint,
                    resource_name=resource or self.resource,
                    options=self.options,
                ),
                timeout=10,
                wait_for_ready=True,
            )

    async def show(self, *devices: pb.Device) -> None:
        """From now on there are these."""
        async with self._change:
            self._devices = list(devices)
            self._change.notify_all()

    async def show_garbage(self) -> None:
        await self.show()

    @property
    def path(self) -> str:
        """Of its socket."""
        return str(self._folder / self._endpoint)

    async def _get_options(self, request: pb.Empty, context: Any) -> pb.DevicePluginOptions:
        return self.options

    async def _list_and_watch(self, request: pb.Empty, context: Any) -> AsyncIterator[pb.ListAndWatchResponse]:
        while True:
            shown = self._devices
            yield pb.ListAndWatchResponse(devices=shown)
            async with self._change:
                while self._devices is shown:
                    await self._change.wait()

    async def _allocate(self, request: pb.AllocateRequest, context: Any) -> pb.AllocateResponse:
        if self.refusal:
            await context.abort(grpc.StatusCode.UNAVAILABLE, self.refusal)
        wanted = [list(each.devices_ids) for each in request.container_requests]
        self.allocated += wanted
        return pb.AllocateResponse(container_responses=[self.response(ids) for ids in wanted])

    async def _prefer(self, request: pb.PreferredAllocationRequest, context: Any) -> pb.PreferredAllocationResponse:
        [wanted] = request.container_requests
        free, included = list(wanted.available_deviceIDs), list(wanted.must_include_deviceIDs)
        self.asked.append((free, included, wanted.allocation_size))
        chosen = pb.ContainerPreferredAllocationResponse(deviceIDs=self.preferred(free)[: wanted.allocation_size])
        return pb.PreferredAllocationResponse(container_responses=[chosen])

    async def _pre_start(self, request: pb.PreStartContainerRequest, context: Any) -> pb.PreStartContainerResponse:
        if self.refusal:
            await context.abort(grpc.StatusCode.UNAVAILABLE, self.refusal)
        self.started.append(list(request.devices_ids))
        return pb.PreStartContainerResponse()


def _unary(method: Any, request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        method, request_deserializer=request.FromString, response_serializer=lambda answer: answer.SerializeToString()
    )


@asynccontextmanager
async def sample_plugin(folder: Path, devices: Iterable[pb.Device], **fields: Any) -> AsyncIterator[SamplePlugin]:
    """``fields`` set attributes before it starts."""
    plugin = SamplePlugin(folder, devices, **{key: fields.pop(key) for key in ("resource", "name") if key in fields})
    for name, value in fields.items():
        setattr(plugin, name, value)
    await plugin.start()
    try:
        await plugin.register()
        yield plugin
    finally:
        await plugin.stop()
