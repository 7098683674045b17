"""Where device plugins register: the kubelet's side of the Registration service, on ``kubelet.sock`` in their folder.

Plugins watch for that socket to be made anew, and register again when it is.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from steersman.aio.tasks import TaskGroup
from steersman.kubelet.device_plugins.device_manager import DeviceManager
from steersman.kubelet.device_plugins.plugin import DevicePlugin, PluginError
from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.socket_folder import SocketFolder
from steersman.meta.names import label_key_errors

FOLDER: Final = "device-plugins"
SOCKET: Final = "kubelet.sock"
VERSION: Final = "v1beta1"
log = logging.getLogger(__name__)


class RegistrationServer:
    """``run`` it. Follows each plugin until that is gone or another registers for its resource."""

    def __init__(self, folder: Path, manager: DeviceManager, *, metrics: KubeletMetrics) -> None:
        self._folder = SocketFolder(folder)
        self._manager = manager
        self._metrics = metrics
        self._group = TaskGroup("device plugins")
        self._following: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled. Raises ``OSError`` and ``RuntimeError`` where the socket cannot be made."""
        with self._folder:
            await self._serve()

    async def _serve(self) -> None:
        server = grpc.aio.server()
        register = grpc.unary_unary_rpc_method_handler(
            self._register,
            request_deserializer=pb.RegisterRequest.FromString,
            response_serializer=pb.Empty.SerializeToString,
        )
        handler = grpc.method_handlers_generic_handler("v1beta1.Registration", {"Register": register})
        server.add_generic_rpc_handlers((handler,))
        server.add_insecure_port(self._folder.address(SOCKET))
        self._group = TaskGroup("device plugins")
        async with self._group as group:
            await server.start()
            try:
                group.spawn(server.wait_for_termination(), name="registration")
                await group.wait()
            finally:
                await server.stop(None)

    async def _register(self, request: pb.RegisterRequest, context: Any) -> pb.Empty:
        resource = request.resource_name
        log.info("device plugin registers for %s", resource)
        self._metrics.device_registrations.labels(resource).inc()
        problem = _problem(request)
        if problem:
            await context.abort(grpc.StatusCode.UNKNOWN, problem)
        plugin = DevicePlugin(resource, self._folder.address(request.endpoint))
        try:
            await plugin.connect()
        except PluginError as error:
            await plugin.close()
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        before = self._following.get(resource)
        self._manager.connected(plugin)
        self._following[resource] = self._group.spawn(self._follow(plugin), name=resource)
        if before is not None:
            before.cancel()
        return pb.Empty()

    async def _follow(self, plugin: DevicePlugin) -> None:
        try:
            async for devices in plugin.watch():
                self._manager.listed(plugin, devices)
            log.info("device plugin for %s is done", plugin.resource)
        except PluginError as error:
            log.warning("device plugin for %s is gone: %s", plugin.resource, error)
        finally:
            self._manager.disconnected(plugin)
            await plugin.close()


def _problem(request: pb.RegisterRequest) -> str:
    """Why it cannot register; empty where it can."""
    if request.version != VERSION:
        return (
            f'requested API version "{request.version}" is not supported by kubelet. Supported version is ["{VERSION}"]'
        )
    if not is_extended_resource(request.resource_name):
        return f'the ResourceName "{request.resource_name}" is invalid'
    return ""


def is_extended_resource(name: str) -> bool:
    """It has a domain, which is not Kubernetes' own."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return not label_key_errors(f"requests.{name}")
