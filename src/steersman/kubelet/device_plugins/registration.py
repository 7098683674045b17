"""Where device plugins register: the kubelet's side of the Registration service, on ``kubelet.sock`` in their folder.

Plugins watch for that socket to be made anew, and register again when it is.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from steersman.aio.rpc import grpc
from steersman.kubelet.device_plugins.device_plugins import VERSION, DevicePlugins
from steersman.kubelet.device_plugins.devices import is_extended_resource
from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.plugin_watcher.handlers import PluginRefused
from steersman.kubelet.socket_folder import SocketFolder
from steersman.kubelet.socket_service import serve

FOLDER: Final = "device-plugins"
SOCKET: Final = "kubelet.sock"
log = logging.getLogger(__name__)


class RegistrationServer:
    """``run`` it."""

    def __init__(self, folder: Path, plugins: DevicePlugins, *, metrics: KubeletMetrics) -> None:
        self._folder = SocketFolder(folder)
        self._plugins = plugins
        self._metrics = metrics

    async def run(self) -> None:
        """Until cancelled. Raises ``OSError`` and ``RuntimeError`` where the socket cannot be made."""
        await serve(self._folder, SOCKET, {"v1beta1.Registration": {"Register": (self._register, pb.RegisterRequest)}})

    async def _register(self, request: pb.RegisterRequest, context: Any) -> pb.Empty:
        log.info("device plugin registers for %s", request.resource_name)
        self._metrics.device_registrations.labels(request.resource_name).inc()
        problem = _problem(request)
        if problem:
            await context.abort(grpc.StatusCode.UNKNOWN, problem)
        try:
            await self._plugins.connect(request.resource_name, self._folder.address(request.endpoint))
        except PluginRefused as error:
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return pb.Empty()


def _problem(request: pb.RegisterRequest) -> str:
    """Why it cannot register; empty where it can."""
    if request.version != VERSION:
        return (
            f'requested API version "{request.version}" is not supported by kubelet. Supported version is ["{VERSION}"]'
        )
    if not is_extended_resource(request.resource_name):
        return f'the ResourceName "{request.resource_name}" is invalid'
    return ""
