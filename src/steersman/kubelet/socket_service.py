"""gRPC services of the kubelet on a Unix socket in a folder of its own: registration of device plugins, pod resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from steersman.aio.rpc import grpc
from steersman.kubelet.socket_folder import SocketFolder

Method = Callable[[Any, Any], Awaitable[Message]]
"""Takes a request and gRPC's context."""
Service = Mapping[str, tuple[Method, type[Message]]]
"""By method name: what answers, and the type of its requests."""


async def serve(folder: SocketFolder, socket: str, services: Mapping[str, Service]) -> None:
    """``services`` by their full names, until cancelled. Raises ``OSError`` and ``RuntimeError`` where the socket cannot be
    made."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(
                name, {method: _unary(answer, request) for method, (answer, request) in service.items()}
            )
            for name, service in services.items()
        )
    )
    with folder:
        server.add_insecure_port(folder.address(socket))
        await server.start()
        try:
            await server.wait_for_termination()
        finally:
            await server.stop(None)


def _unary(answer: Method, request: type[Message]) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request.FromString, response_serializer=lambda said: said.SerializeToString()
    )
