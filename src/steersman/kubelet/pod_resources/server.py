"""Serves the pod resources API on ``kubelet.sock`` in its folder, for monitoring agents on the node.

Source: the documentation's "Device Plugins", Monitoring device plugin resources (KEP-606, KEP-2043, KEP-3675).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from steersman.aio.clock import Clock
from steersman.aio.rpc import grpc
from steersman.kubelet.container_manager import ContainerManager
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.pod_resources import lister
from steersman.kubelet.pod_resources.v1 import podresources_pb2 as pb
from steersman.kubelet.socket_folder import SocketFolder
from steersman.kubelet.socket_service import Service, serve
from steersman.meta import objects
from steersman.meta.objects import Object

FOLDER: Final = "pod-resources"
SOCKET: Final = "kubelet.sock"
QPS: Final = 100.0
BURST: Final = 10.0
"""Requests that are answered; those beyond are refused."""

ActivePods = Callable[[], Iterable[Object]]


class PodResourcesServer:
    """``run`` it."""

    def __init__(
        self, folder: Path, manager: ContainerManager, *, active_pods: ActivePods, clock: Clock, metrics: KubeletMetrics
    ) -> None:
        self._folder = SocketFolder(folder)
        self._manager = manager
        self._active_pods = active_pods
        self._clock = clock
        self._metrics = metrics
        self._tokens = BURST
        self._filled_at_s = clock.monotonic()

    async def run(self) -> None:
        """Until cancelled. Raises ``OSError`` and ``RuntimeError`` where the socket cannot be made."""
        current: Service = {
            "List": (self._list, pb.ListPodResourcesRequest),
            "GetAllocatableResources": (self._get_allocatable, pb.AllocatableResourcesRequest),
            "Get": (self._get, pb.GetPodResourcesRequest),
        }
        first: Service = {"List": (self._list_devices, pb.ListPodResourcesRequest)}
        services = {"v1.PodResourcesLister": current, "v1alpha1.PodResourcesLister": first}
        await serve(self._folder, SOCKET, services)

    async def _list(self, request: pb.ListPodResourcesRequest, context: Any) -> pb.ListPodResourcesResponse:
        await self._admit(context, "v1", "List")
        return pb.ListPodResourcesResponse(pod_resources=self._pods(lister.pod_resources))

    async def _list_devices(self, request: pb.ListPodResourcesRequest, context: Any) -> pb.ListPodResourcesResponse:
        await self._admit(context, "v1alpha1", "")
        return pb.ListPodResourcesResponse(pod_resources=self._pods(lister.pod_devices))

    async def _get_allocatable(
        self, request: pb.AllocatableResourcesRequest, context: Any
    ) -> pb.AllocatableResourcesResponse:
        await self._admit(context, "v1", "GetAllocatableResources")
        return lister.allocatable(self._manager)

    async def _get(self, request: pb.GetPodResourcesRequest, context: Any) -> pb.GetPodResourcesResponse:
        await self._admit(context, "v1", "Get")
        for pod in self._active_pods():
            if (objects.name(pod), objects.namespace(pod)) == (request.pod_name, request.pod_namespace):
                return pb.GetPodResourcesResponse(pod_resources=lister.pod_resources(pod, self._manager))
        self._metrics.pod_resources_get_errors.labels("v1").inc()
        message = f"pod {request.pod_name} in namespace {request.pod_namespace} not found"
        await context.abort(grpc.StatusCode.UNKNOWN, message)
        raise AssertionError("unreachable")

    def _pods(self, tell: Callable[[Object, ContainerManager], pb.PodResources]) -> list[pb.PodResources]:
        if self._manager.devices is not None:
            self._manager.devices.take_back_stale()
        return [tell(pod, self._manager) for pod in self._active_pods()]

    async def _admit(self, context: Any, version: str, method: str) -> None:
        """``QPS`` a second, ``BURST`` at once. Those of the first version are not counted by ``method``."""
        now_s = self._clock.monotonic()
        self._tokens = min(self._tokens + (now_s - self._filled_at_s) * QPS, BURST)
        self._filled_at_s = now_s
        if self._tokens < 1:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected by rate limit")
        self._tokens -= 1
        self._metrics.pod_resources_requests.labels(version).inc()
        if method:
            self._metrics.pod_resources_by_method[method].labels(version).inc()
