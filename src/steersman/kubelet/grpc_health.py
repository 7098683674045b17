"""The gRPC health protocol (``grpc.health.v1.Health/Check``): one string field in, one enumeration out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from steersman.aio.clock import Clock
from steersman.kubelet.rpc_text import code_name, rpc_text

if TYPE_CHECKING:
    from grpc.aio import AioRpcError

SERVING: Final = 1
NAMES: Final = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
OPTIONS: Final = (("grpc.primary_user_agent", "kube-probe/1.36"), ("grpc.use_local_subchannel_pool", 1))
"""A pool shared with the probes before would have this one wait for their delays between connections."""


async def check(host: str, port: int, service: str, *, timeout_s: float, clock: Clock) -> str:
    """Empty where the service is healthy, else what is wrong in upstream's words."""
    from steersman.aio.rpc import grpc

    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    began_s = clock.monotonic()
    async with grpc.aio.insecure_channel(address, options=list(OPTIONS)) as channel:
        try:
            await clock.wait_for(channel.channel_ready(), timeout_s)
        except TimeoutError:
            why = f'failed to connect service "{address}" within {timeout_s:g}s: context deadline exceeded'
            return f"timeout: {why}"
        call = channel.unary_unary("/grpc.health.v1.Health/Check")
        left_s = max(timeout_s - (clock.monotonic() - began_s), 0.0)
        try:
            answer: bytes = await call(_request(service), timeout=left_s)
        except grpc.aio.AioRpcError as error:
            return _refusal(error, timeout_s)
    status = answer[1] if len(answer) >= 2 and answer[0] == 8 else 0
    return "" if status == SERVING else f'service unhealthy (responded with "{NAMES.get(status, status)}")'


def _refusal(error: AioRpcError, timeout_s: float) -> str:
    from steersman.aio.rpc import grpc

    match error.code():
        case grpc.StatusCode.UNIMPLEMENTED:
            what = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
            return f"error: {what}: {error.details()}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"timeout: health rpc did not complete within {timeout_s:g}s"
    return f"error: health rpc probe failed: {rpc_text(code_name(error.code().name), str(error.details()))}"


def _request(service: str) -> bytes:
    """``HealthCheckRequest``: field 1, of length-delimited type."""
    name = service.encode()
    if not name:
        return b""
    length, left = bytearray(), len(name)
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    length.append(left)
    return b"\n" + bytes(length) + name
