"""What probes and lifecycle hooks do to a container: run a command in it, send it a request, connect to it, wait."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urljoin, urlsplit

from steersman.aio.clock import Clock
from steersman.kubelet.expansion import expand
from steersman.kubelet.podspec import PodContainer, full_name
from steersman.kubelet.runtimes.api import ExecTimeout, RuntimeService, RuntimeServiceError
from steersman.meta.objects import Object

BODY_LIMIT_BYTES = 10 * 1024
HEAD_LIMIT_BYTES = 256 * 1024
REDIRECT_LIMIT = 10
HOOK_TIMEOUT_S = 120.0
"""For requests of hooks; a hook's command may run as long as it likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One running container."""

    pod: Object
    container: PodContainer
    container_id: str
    pod_ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a probe found. ``error``: it could not be carried out, which says nothing about the container."""

    result: Literal["success", "warning", "failure", "error"]
    output: str = ""


class HookFailed(Exception):
    """A lifecycle hook failed; the message is what the container's status shows."""


class Handlers(Protocol):
    """Carries out probes and hooks."""

    async def probe(self, target: Target, probe: Mapping[str, Any]) -> Outcome:
        """Once, within the probe's ``timeoutSeconds``."""

    async def run_hook(self, target: Target, handler: Mapping[str, Any]) -> None:
        """To its end. Raises ``HookFailed``."""


class RuntimeHandlers:
    """Probes and hooks on real containers."""

    def __init__(self, runtime: RuntimeService, *, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock

    async def probe(self, target: Target, probe: Mapping[str, Any]) -> Outcome:
        timeout_s = float(probe.get("timeoutSeconds") or 1)
        try:
            if "exec" in probe:
                return await self._probe_exec(target, probe["exec"].get("command") or [], timeout_s)
            if "httpGet" in probe:
                return await self._clock.wait_for(self._probe_http(target, probe["httpGet"]), timeout_s)
            if "tcpSocket" in probe:
                return await self._clock.wait_for(self._probe_tcp(target, probe["tcpSocket"]), timeout_s)
            if "grpc" in probe:
                return await _probe_grpc(target, probe["grpc"], timeout_s)
        except TimeoutError:
            return Outcome(result="failure", output=f"{_describe(target, probe)}: context deadline exceeded")
        except OSError as error:
            return Outcome(result="failure", output=f"{_describe(target, probe)}: {error}")
        except (ValueError, RuntimeServiceError) as error:
            return Outcome(result="error", output=str(error))
        where = f"{full_name(target.pod)}:{target.container.name}"
        return Outcome(result="error", output=f"missing probe handler for {where}")

    async def run_hook(self, target: Target, handler: Mapping[str, Any]) -> None:
        subject = f'Container "{target.container.name}" in Pod "{full_name(target.pod)}"'
        if "exec" in handler:
            await self._hook_exec(target, handler["exec"].get("command") or [], subject)
        elif "httpGet" in handler:
            await self._hook_http(target, handler["httpGet"], subject)
        elif "sleep" in handler:
            await self._clock.sleep(float(handler["sleep"]["seconds"]))
        else:
            kinds = ", ".join(sorted(handler)) or "none"
            raise HookFailed(f"Cannot run handler: invalid handler: {kinds}")

    async def _probe_exec(self, target: Target, command: list[str], timeout_s: float) -> Outcome:
        static = {
            entry["name"]: entry["value"] for entry in target.container.spec.get("env") or () if entry.get("value")
        }
        words = [expand(word, static) for word in command]
        try:
            result = await self._runtime.exec_sync(target.container_id, words, timeout_s=timeout_s)
        except ExecTimeout as error:
            return Outcome(result="failure", output=str(error))
        output = (result.stdout + result.stderr)[:BODY_LIMIT_BYTES].decode(errors="replace")
        return Outcome(result="success" if result.exit_code == 0 else "failure", output=output)

    async def _hook_exec(self, target: Target, command: list[str], subject: str) -> None:
        try:
            result = await self._runtime.exec_sync(target.container_id, command)
        except RuntimeServiceError as error:
            raise HookFailed(
                f'Exec lifecycle hook ({_words(command)}) for {subject} failed - error: {error}, message: ""'
            ) from error
        if result.exit_code:
            output = (result.stdout + result.stderr)[:BODY_LIMIT_BYTES].decode(errors="replace")
            why = f"command '{' '.join(command)}' exited with {result.exit_code}: {output}"
            raise HookFailed(
                f'Exec lifecycle hook ({_words(command)}) for {subject} failed - error: {why}, message: "{output}"'
            )

    async def _probe_http(self, target: Target, action: Mapping[str, Any]) -> Outcome:
        status, body = await _http_get(target, action, "kube-probe/1.36")
        if 200 <= status < 300:
            return Outcome(result="success", output=body)
        if 300 <= status < 400:
            return Outcome(result="warning", output=f"Probe terminated redirects, Response body: {body}")
        return Outcome(result="failure", output=f"HTTP probe failed with statuscode: {status}")

    async def _hook_http(self, target: Target, action: Mapping[str, Any], subject: str) -> None:
        try:
            await self._clock.wait_for(_http_get(target, action, "kube-lifecycle/1.36"), HOOK_TIMEOUT_S)
        except (OSError, TimeoutError, ValueError) as error:
            path = action.get("path") or ""
            raise HookFailed(f"HTTP lifecycle hook ({path}) for {subject} failed - error: {error}") from error

    async def _probe_tcp(self, target: Target, action: Mapping[str, Any]) -> Outcome:
        host = action.get("host") or target.pod_ip
        _, writer = await asyncio.open_connection(host, container_port(target.container, action["port"]))
        writer.close()
        return Outcome(result="success")


def container_port(container: PodContainer, port: Any) -> int:
    """A port by number or by its name in the container. Raises ``ValueError``."""
    if isinstance(port, int):
        number = port
    else:
        named = {entry.get("name"): entry["containerPort"] for entry in container.spec.get("ports") or ()}
        if port in named:
            number = int(named[port])
        elif str(port).isdigit():
            number = int(port)
        else:
            raise ValueError(f"couldn't find port: {port} not found")
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number


def _words(command: list[str]) -> str:
    return f"[{' '.join(command)}]"


def _describe(target: Target, probe: Mapping[str, Any]) -> str:
    if "httpGet" in probe:
        return f'Get "{_url(target, probe["httpGet"])}"'
    if "tcpSocket" in probe:
        host = probe["tcpSocket"].get("host") or target.pod_ip
        return f"dial tcp {host}:{probe['tcpSocket']['port']}"
    return "probe"


def _url(target: Target, action: Mapping[str, Any]) -> str:
    host = action.get("host") or target.pod_ip
    path = action.get("path") or "/"
    scheme = (action.get("scheme") or "HTTP").lower()
    authority = f"[{host}]" if ":" in host else host
    slash = "" if path.startswith("/") else "/"
    return f"{scheme}://{authority}:{container_port(target.container, action['port'])}{slash}{path}"


async def _http_get(target: Target, action: Mapping[str, Any], agent: str) -> tuple[int, str]:
    """Status and the beginning of the body, redirects followed as long as they stay on the host. Raises ``OSError``."""
    url = _url(target, action)
    headers = {"User-Agent": agent, "Accept": "*/*", "Connection": "close"}
    for header in action.get("httpHeaders") or ():
        name = next((known for known in headers if known.lower() == header["name"].lower()), header["name"])
        headers[name] = header["value"]
    headers = {name: value for name, value in headers.items() if value != "" or name.lower() != "accept"}
    first_host = urlsplit(url).hostname
    for _ in range(REDIRECT_LIMIT):
        status, location, body = await _request(url, headers)
        if not (300 <= status < 400 and location):
            break
        next_url = urljoin(url, location)
        if urlsplit(next_url).hostname != first_host:
            break
        url = next_url
    return status, body


async def _request(url: str, headers: Mapping[str, str]) -> tuple[int, str, str]:
    """One GET: (status, location, body). Certificates are not checked, as upstream's probes do not."""
    parts = urlsplit(url)
    context: ssl.SSLContext | None = None
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    port = parts.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context, limit=256 * 1024)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"GET {target} HTTP/1.1"]
        if not any(name.lower() == "host" for name in headers):
            lines.append(f"Host: {parts.netloc}")
        lines.extend(f"{name}: {value}" for name, value in headers.items())
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8"))
        await writer.drain()
        try:
            head = await _head(reader)
        except ValueError as error:
            raise OSError("malformed HTTP response") from error
        words = head[0].split(" ", 2) if head else [""]
        if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
            raise OSError(f'malformed HTTP response "{" ".join(words)}"')
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await _body(reader, fields)
        return int(words[1]), fields.get("location", ""), body.decode(errors="replace")
    finally:
        writer.close()


async def _head(reader: asyncio.StreamReader) -> list[str]:
    """Status line and header lines. A bare line feed ends a line too, as in Go's client: CGI scripts write them."""
    lines: list[str] = []
    left_bytes = HEAD_LIMIT_BYTES
    while True:
        line = await reader.readline()
        left_bytes -= len(line)
        if left_bytes < 0:
            raise OSError(f"server response headers exceeded {HEAD_LIMIT_BYTES} bytes; aborted")
        if not line:
            raise OSError("EOF")
        text = line.decode("latin-1").rstrip("\r\n")
        if not text:
            return lines
        lines.append(text)


async def _body(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> bytes:
    limit = BODY_LIMIT_BYTES
    if fields.get("content-length", "").isdigit():
        limit = min(limit, int(fields["content-length"]))
    body = b""
    while len(body) < limit:
        chunk = await reader.read(limit - len(body))
        if not chunk:
            break
        body += chunk
    return body


async def _probe_grpc(target: Target, action: Mapping[str, Any], timeout_s: float) -> Outcome:
    """The gRPC health protocol (``grpc.health.v1.Health/Check``): one string field in, one enumeration out."""
    import grpc.aio

    host = f"[{target.pod_ip}]" if ":" in target.pod_ip else target.pod_ip
    address = f"{host}:{int(action['port'])}"
    service = (action.get("service") or "").encode()
    request = b"\n" + bytes([len(service)]) + service if service else b""
    async with grpc.aio.insecure_channel(address, options=[("grpc.primary_user_agent", "kube-probe/1.36")]) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer: bytes = await check(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.UNIMPLEMENTED:
                    message = f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {error.details()}"
                case grpc.StatusCode.DEADLINE_EXCEEDED | grpc.StatusCode.UNAVAILABLE:
                    message = f'timeout: failed to connect service "{address}" within {timeout_s:g}s: context deadline exceeded'
                case _:
                    message = f"error: health rpc probe failed: {error.details()}"
            return Outcome(result="failure", output=message)
    status = answer[1] if len(answer) >= 2 and answer[0] == 8 else 0
    if status == 1:
        return Outcome(result="success", output="service healthy")
    names = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
    return Outcome(result="failure", output=f'service unhealthy (responded with "{names.get(status, status)}")')


def _conforms(runtime: RuntimeService, clock: Clock) -> Handlers:
    return RuntimeHandlers(runtime, clock=clock)
