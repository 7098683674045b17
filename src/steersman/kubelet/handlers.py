"""What probes and lifecycle hooks do to a container: run a command in it, send it a request, connect to it, wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet.expansion import expand
from steersman.kubelet.grpc_health import check
from steersman.kubelet.http_action import HTTPAnswer, Request, connect, get, request_of
from steersman.kubelet.podspec import PodContainer, full_name
from steersman.kubelet.runtimes.api import ExecTimeout, RuntimeService, RuntimeServiceError
from steersman.meta.objects import Object

OUTPUT_LIMIT_BYTES = 10 * 1024
HOOK_TIMEOUT_S = 120.0
"""For requests of hooks; a hook's command may run as long as it likes."""


Note = Callable[[str, str], None]
"""Takes a Warning about the container: reason, message."""


class Target(Struct, frozen=True, kw_only=True):
    """One running container."""

    pod: Object
    container: PodContainer
    container_id: str
    pod_ip: str


class Outcome(Struct, frozen=True, kw_only=True):
    """What a probe found. ``error``: it could not be carried out, which says nothing about the container."""

    result: Literal["success", "warning", "failure", "error"]
    output: str = ""


class HookFailed(Exception):
    """A lifecycle hook failed; the message is what the container's status shows."""


class Handlers(Protocol):
    """Carries out probes and hooks."""

    async def probe(self, target: Target, probe: Mapping[str, Any]) -> Outcome:
        """Once, within the probe's ``timeoutSeconds``."""

    async def run_hook(self, target: Target, handler: Mapping[str, Any], note: Note) -> None:
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
                return await self._probe_http(_request(target, probe["httpGet"], "probe"), timeout_s)
            if "tcpSocket" in probe:
                return await self._probe_tcp(target, probe["tcpSocket"], timeout_s)
            if "grpc" in probe:
                return await self._probe_grpc(target, probe["grpc"], timeout_s)
        except ValueError as error:
            return Outcome(result="error", output=str(error))
        except RuntimeServiceError as error:
            return Outcome(result="error", output=error.with_code)
        where = f"{full_name(target.pod)}:{target.container.name}"
        return Outcome(result="error", output=f"missing probe handler for {where}")

    async def run_hook(self, target: Target, handler: Mapping[str, Any], note: Note) -> None:
        subject = f'Container "{target.container.name}" in Pod "{full_name(target.pod)}"'
        if "exec" in handler:
            await self._hook_exec(target, handler["exec"].get("command") or [], subject)
        elif "httpGet" in handler:
            await self._hook_http(target, handler["httpGet"], subject, note)
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
        output = (result.stdout + result.stderr)[:OUTPUT_LIMIT_BYTES].decode(errors="replace")
        return Outcome(result="success" if result.exit_code == 0 else "failure", output=output)

    async def _hook_exec(self, target: Target, command: list[str], subject: str) -> None:
        try:
            result = await self._runtime.exec_sync(target.container_id, command)
        except RuntimeServiceError as error:
            raise HookFailed(
                f'Exec lifecycle hook ({_words(command)}) for {subject} failed - error: {error.with_code}, message: ""'
            ) from error
        if result.exit_code:
            output = (result.stdout + result.stderr)[:OUTPUT_LIMIT_BYTES].decode(errors="replace")
            why = f"command '{' '.join(command)}' exited with {result.exit_code}: {output}"
            raise HookFailed(
                f'Exec lifecycle hook ({_words(command)}) for {subject} failed - error: {why}, message: "{output}"'
            )

    async def _probe_http(self, request: Request, timeout_s: float) -> Outcome:
        try:
            response = await self._clock.wait_for(get(request), timeout_s)
        except TimeoutError:
            why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return Outcome(result="failure", output=f'Get "{request.url}": {why}')
        except OSError as error:
            return Outcome(result="failure", output=f'Get "{request.url}": {error}')
        if 200 <= response.status < 300:
            return Outcome(result="success", output=response.body)
        if 300 <= response.status < 400:
            return Outcome(result="warning", output=f"Probe terminated redirects, Response body: {response.body}")
        return Outcome(result="failure", output=f"HTTP probe failed with statuscode: {response.status}")

    async def _hook_http(self, target: Target, action: Mapping[str, Any], subject: str, note: Note) -> None:
        """A server that turns out to speak plain HTTP is asked again without TLS."""
        try:
            request = _request(target, action, "lifecycle")
            try:
                await self._clock.wait_for(get(request), HOOK_TIMEOUT_S)
            except HTTPAnswer:
                await self._clock.wait_for(get(request.in_plain()), HOOK_TIMEOUT_S)
                what = f"request to HTTPS lifecycle hook {request.address} got HTTP response"
                note("LifecycleHTTPFallback", f"{what}, retry with HTTP succeeded")
        except (OSError, TimeoutError, ValueError) as error:
            path = action.get("path") or ""
            raise HookFailed(f"HTTP lifecycle hook ({path}) for {subject} failed - error: {error}") from error

    async def _probe_tcp(self, target: Target, action: Mapping[str, Any], timeout_s: float) -> Outcome:
        host, port = action.get("host") or target.pod_ip, container_port(target.container, action["port"])
        try:
            _, writer = await self._clock.wait_for(connect(host, port), timeout_s)
        except TimeoutError:
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            return Outcome(result="failure", output=f"dial tcp {address}: i/o timeout")
        except OSError as error:
            return Outcome(result="failure", output=str(error))
        writer.close()
        return Outcome(result="success")

    async def _probe_grpc(self, target: Target, action: Mapping[str, Any], timeout_s: float) -> Outcome:
        service = action.get("service") or ""
        problem = await check(target.pod_ip, int(action["port"]), service, timeout_s=timeout_s, clock=self._clock)
        if problem:
            return Outcome(result="failure", output=problem)
        return Outcome(result="success", output="service healthy")


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


def _request(target: Target, action: Mapping[str, Any], purpose: str) -> Request:
    port = container_port(target.container, action["port"])
    return request_of(action, host=target.pod_ip, port=port, agent=f"kube-{purpose}/1.36")


def _conforms(runtime: RuntimeService, clock: Clock) -> Handlers:
    return RuntimeHandlers(runtime, clock=clock)
