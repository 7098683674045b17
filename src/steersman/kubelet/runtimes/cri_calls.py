"""Calls of a CRI runtime over gRPC: sent to the right service, repeated while it starts, counted, errors as our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from steersman.aio.clock import Clock
from steersman.aio.rpc import grpc
from steersman.kubelet.rpc_text import code_name
from steersman.kubelet.runtimes.api import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    RuntimeServiceError,
    Unavailable,
    Unimplemented,
)
from steersman.kubelet.runtimes.criv1 import cri_pb2 as pb

M = TypeVar("M", bound=Message)

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
NOT_INITIALIZED: Final = "not initialized yet"
INITIALIZATION_S: Final = 10.0
"""How long a runtime that says ``NOT_INITIALIZED`` is asked again, every ``POLL_S``."""
POLL_S: Final = 0.1

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
_IMAGE_METHODS: Final = frozenset(method.name for method in pb.DESCRIPTOR.services_by_name["ImageService"].methods)


class CRICalls:
    """Make it, use it and close it on one event loop."""

    def __init__(
        self,
        endpoint: str,
        *,
        image_endpoint: str,
        clock: Clock,
        request_timeout_s: float,
        observe: Callable[[str, float, bool], None],
    ) -> None:
        """As for ``CRIRuntime``."""
        self.timeout_s = request_timeout_s
        """The limit of a call that is given no other."""
        self._clock = clock
        self._observe = observe
        self._methods: dict[str, Any] = {}
        self._channel = grpc.aio.insecure_channel(_target(endpoint), options=_CHANNEL_OPTIONS)
        self._image_channel = self._channel
        if image_endpoint and image_endpoint != endpoint:
            self._image_channel = grpc.aio.insecure_channel(_target(image_endpoint), options=_CHANNEL_OPTIONS)

    async def close(self) -> None:
        await self._channel.close()
        if self._image_channel is not self._channel:
            await self._image_channel.close()

    async def forgiving(self, method: str, request: Message, timeout_s: float) -> None:
        """A call for which "it is not there" is success."""
        try:
            await self.call(method, request, pb.Empty, timeout_s=timeout_s)
        except NotFound:
            return

    async def call(self, method: str, request: Message, answer: type[M], *, timeout_s: float | None = -1) -> M:
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
        limit_s = self.timeout_s if timeout_s == -1 else timeout_s
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

    async def stream(self, method: str, request: Message, answer: type[M]) -> AsyncGenerator[M, None]:
        """The runtime's answers until it ends them. Raises ``RuntimeServiceError``."""
        start = self._channel.unary_stream(
            _RUNTIME + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        call = start(request)
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error
        finally:
            call.cancel()


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
    found = _ERRORS.get(error.code(), RuntimeServiceError)(details)
    found.code = code_name(error.code().name)
    return found
