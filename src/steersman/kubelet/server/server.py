"""The server: TLS, who may do what, and the routes.

Every request is authenticated and authorized before its route is looked at, so that a path that does not exist tells a
stranger nothing. Failures are plain text, as upstream's kubelet sends them and its API server passes them on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from steersman.aio.clock import Clock
from steersman.kubelet.resource_metrics import CONTENT_TYPE, cadvisor_metrics, resource_metrics
from steersman.kubelet.runtimes.api import (
    AttachRequest,
    ExecRequest,
    ExecTimeout,
    Runtime,
    RuntimeServiceError,
    Session,
    Unimplemented,
)
from steersman.kubelet.runtimes.containers import ContainerFilter
from steersman.kubelet.server import containerlogs, portforward, spdy_streams, websocket
from steersman.kubelet.server.authentication import Authenticator, Credentials
from steersman.kubelet.server.authorization import Authorizer, subresources_of, verb_of
from steersman.kubelet.server.certificates import ServerCertificate
from steersman.kubelet.server.remotecommand import RemoteStreams, StreamOptions, failure_status, serve
from steersman.kubelet.server_api import PodLookup
from steersman.kubelet.stats import StatsProvider
from steersman.kubelet.summary import summary
from steersman.meta.errors import APIError, BadRequest, NotFound

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_HEADER_BYTES: Final = 1024 * 1024
"""Exec's command travels in the URL: arguments may be long."""
CHECKPOINT_TIMEOUT_S: Final = 120.0
_LONG_RUNNING: Final = frozenset(("exec", "attach", "portForward", "containerLogs"))

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where it listens and with what."""

    address: str = "0.0.0.0"
    port: int = 10250
    """0: any free one, told by ``KubeletServer.port``."""
    healthz_address: str = "127.0.0.1"
    healthz_port: int = 10248
    """Plain HTTP for a process manager; 0: none."""
    checkpoint_dir: Path = field(default_factory=lambda: Path("/var/lib/kubelet/checkpoints"))


class KubeletServer:
    """Serves one node's pods. ``configz`` gives the configuration as ``GET /configz`` shows it, ``healthy`` whether
    the kubelet's sync loop still turns."""

    def __init__(
        self,
        *,
        pods: PodLookup,
        runtime: Runtime,
        stats: StatsProvider,
        authenticator: Authenticator,
        authorizer: Authorizer,
        certificate: ServerCertificate,
        clock: Clock,
        config: ServerConfig,
        registry: CollectorRegistry,
        configz: Callable[[], Mapping[str, Any]] = dict,
        healthy: Callable[[], bool] = lambda: True,
    ) -> None:
        self._pods = pods
        self._runtime = runtime
        self._stats = stats
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._certificate = certificate
        self._clock = clock
        self._config = config
        self._registry = registry
        self._configz = configz
        self._healthy = healthy
        self._runners: list[web.AppRunner] = []
        self._refresher: asyncio.Task[None] | None = None
        self._streams: set[asyncio.Task[Any]] = set()
        self.port = config.port
        labels = ("method", "path", "server_type", "long_running")
        self._requests = Counter(
            "kubelet_http_requests", "Number of the http requests received", labels, registry=registry
        )
        self._inflight = Gauge(
            "kubelet_http_inflight_requests", "Number of the inflight http requests", labels, registry=registry
        )
        self._durations = Histogram(
            "kubelet_http_requests_duration_seconds",
            "Duration in seconds to serve http requests",
            labels,
            registry=registry,
        )

    async def start(self) -> None:
        """Listen. Raises ``OSError`` where the port is taken and ``ssl.SSLError`` for an unusable certificate."""
        config = self._config
        fresh = self._certificate.keep_fresh(self._clock)
        self._refresher = asyncio.create_task(fresh, name="kubelet-server/certificate")
        self.port = await self._listen(self._application(), config.address, config.port, self._certificate.context)
        if config.healthz_port:
            health = web.Application()
            health.router.add_get("/healthz", self._get_healthz)
            await self._listen(health, config.healthz_address, config.healthz_port, None)

    async def close(self) -> None:
        """Stop listening and cut what is being served."""
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        for task in self._streams:
            task.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    async def _listen(self, app: web.Application, address: str, port: int, tls: ssl.SSLContext | None) -> int:
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1.0,
            max_line_size=MAX_HEADER_BYTES, max_field_size=MAX_HEADER_BYTES, auto_decompress=False,
            handler_cancellation=True,
        )  # fmt: skip
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, address, port, ssl_context=tls, backlog=1024)
        await site.start()
        bound: int = runner.addresses[0][1]
        return bound

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        router = app.router
        container = "{namespace}/{pod}/{container}"
        with_uid = "{namespace}/{pod}/{uid}/{container}"
        for path in (container, with_uid):
            for verb, handler in (("exec", self._exec), ("attach", self._attach)):
                router.add_get(f"/{verb}/{path}", handler)
                router.add_post(f"/{verb}/{path}", handler)
            router.add_post(f"/run/{path}", self._run)
        for path in ("{namespace}/{pod}", "{namespace}/{pod}/{uid}"):
            router.add_get(f"/portForward/{path}", self._port_forward)
            router.add_post(f"/portForward/{path}", self._port_forward)
        router.add_get(f"/containerLogs/{container}", self._container_logs)
        router.add_post(f"/checkpoint/{container}", self._checkpoint)
        router.add_get("/pods", self._get_pods)
        router.add_get("/runningpods/", self._get_running_pods)
        router.add_get("/healthz", self._get_healthz)
        router.add_get("/healthz/{check}", self._get_healthz)
        router.add_get("/stats/summary", self._get_summary)
        router.add_get("/metrics", self._get_metrics)
        router.add_get("/metrics/resource", self._get_resource_metrics)
        router.add_get("/metrics/cadvisor", self._get_cadvisor_metrics)
        router.add_get("/configz", self._get_configz)
        return app

    # ---- every request -----------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        bucket = request.path.split("/", 2)[1]
        if request.match_info.http_exception is not None:
            bucket = "other"
        labels = (request.method, bucket, "readwrite", str(bucket in _LONG_RUNNING).lower())
        self._requests.labels(*labels).inc()
        began_s = self._clock.monotonic()
        with self._inflight.labels(*labels).track_inprogress():
            try:
                return await self._answer(request, handler)
            finally:
                self._durations.labels(*labels).observe(self._clock.monotonic() - began_s)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refusal = await self._refusal(request)
            return refusal or await handler(request)
        except APIError as error:
            return web.Response(status=error.http_code, text=error.message)
        except RuntimeServiceError as error:
            return web.Response(status=500, text=str(error))
        except ConnectionError:
            return _gone(request)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """The answer to who may not do that; None for who may."""
        tls = request.get_extra_info("ssl_object")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        credentials = Credentials(
            certificate_der=tls.getpeercert(binary_form=True) if tls is not None else None,
            token=token.strip() if scheme.lower() == "bearer" else "",
        )
        try:
            caller = await self._authenticator.authenticate(credentials)
        except APIError as error:
            log.warning("cannot authenticate a request: %s", error)
            caller = None
        if caller is None:
            return web.Response(status=401, text="Unauthorized")
        verb, subresources = verb_of(request.method), subresources_of(request.path)
        try:
            for subresource in subresources:
                if await self._authorizer.authorize(caller, verb, subresource):
                    return None
        except APIError as error:
            message = (
                f"Authorization error (user={caller.name}, verb={verb}, resource=nodes, subresource={subresources})"
            )
            log.warning("%s: %s", message, error)
            return web.Response(status=500, text=message)
        shown = ",".join(subresources)
        return web.Response(
            status=403, text=f"Forbidden (user={caller.name}, verb={verb}, resource=nodes, subresource(s)=[{shown}])"
        )

    # ---- streams -----------------------------------------------------------------------------------------------

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        options = StreamOptions.of(request.query)
        command = tuple(request.query.getall("command", ()))
        if not command:
            raise BadRequest("you must specify a command")
        container_id = await self._running_container(request)

        async def start() -> Session:
            return await self._runtime.exec(
                ExecRequest(
                    container_id=container_id, command=command, stdin=options.stdin, stdout=options.stdout,
                    stderr=options.stderr, tty=options.tty,
                )
            )  # fmt: skip

        return await self._serve_streams(request, options, start, command)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        options = StreamOptions.of(request.query)
        container_id = await self._running_container(request)

        async def start() -> Session:
            return await self._runtime.attach(
                AttachRequest(
                    container_id=container_id, stdin=options.stdin, stdout=options.stdout, stderr=options.stderr,
                    tty=options.tty,
                )
            )  # fmt: skip

        return await self._serve_streams(request, options, start, ())

    async def _serve_streams(
        self,
        request: web.Request,
        options: StreamOptions,
        start: Callable[[], Awaitable[Session]],
        command: tuple[str, ...],
    ) -> web.StreamResponse:
        """The process starts once the client's streams are open, so that no output comes before there is a reader."""
        open_streams = websocket.open_streams if websocket.wants_websocket(request) else spdy_streams.open_streams
        streams, response = await open_streams(request, options)
        try:
            session = await start()
        except RuntimeServiceError as error:
            await _tell_failure(streams, str(error))
            return response
        await self._to_its_end(serve(session, streams, options, command))
        return response

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        namespace, name, uid = info["namespace"], info["pod"], info.get("uid", "")
        sandbox_id = await self._pods.find_sandbox(namespace, name, uid=uid)

        async def connect(port: int) -> Any:
            return await self._runtime.port_forward(sandbox_id, port)

        return await self._to_its_end(portforward.serve(request, connect, pod=f"{name}_{namespace}"))

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """``work`` sees by itself when its client goes, and then has things to put away: the cancellation by which
        aiohttp tells a handler the same must not interrupt that."""
        task = asyncio.create_task(work, name="kubelet-server/stream")
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        return await asyncio.shield(task)

    async def _container_logs(self, request: web.Request) -> web.StreamResponse:
        options = containerlogs.log_options(request.query, now_s=self._clock.now())
        previous = containerlogs.wants_previous(request.query)
        info = request.match_info
        location = await self._pods.find_container(info["namespace"], info["pod"], info["container"], previous=previous)
        return await containerlogs.serve(request, location, options, self._runtime, self._clock)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        command = request.query.get("cmd", "").split()
        if not command:
            raise BadRequest("you must specify a command")
        try:
            result = await self._runtime.exec_sync(await self._running_container(request), command)
        except ExecTimeout as error:
            raise BadRequest(str(error)) from error
        return web.Response(body=result.stdout + result.stderr, content_type="text/plain")

    async def _checkpoint(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        namespace, pod, container = info["namespace"], info["pod"], info["container"]
        container_id = await self._running_container(request)
        stamp = int(self._clock.now())
        location = self._config.checkpoint_dir / f"checkpoint-{pod}_{namespace}-{container}-{stamp}.tar"
        timeout_s = float(request.query.get("timeout", CHECKPOINT_TIMEOUT_S))
        try:
            await self._runtime.checkpoint_container(container_id, location=str(location), timeout_s=timeout_s)
        except Unimplemented as error:
            raise NotFound(f"the container runtime has no CheckpointContainer: {error}") from error
        return _json({"items": [str(location)]})

    async def _running_container(self, request: web.Request) -> str:
        info = request.match_info
        location = await self._pods.find_container(
            info["namespace"], info["pod"], info["container"], uid=info.get("uid", "")
        )
        if location.state != "RUNNING":
            raise BadRequest(f"container {info['container']} in pod {info['pod']} is not running")
        return location.container_id

    # ---- what is known -----------------------------------------------------------------------------------------

    async def _get_pods(self, request: web.Request) -> web.StreamResponse:
        return _json(_pod_list([dict(pod) for pod in self._pods.pods()]))

    async def _get_running_pods(self, request: web.Request) -> web.StreamResponse:
        """As the runtime has them, whatever the API server says."""
        sandboxes = {sandbox.id: sandbox for sandbox in await self._runtime.list_pod_sandboxes()}
        pods: dict[str, dict[str, Any]] = {}
        for container in await self._runtime.list_containers(ContainerFilter(state="RUNNING")):
            sandbox = sandboxes.get(container.sandbox_id)
            if sandbox is None:
                continue
            metadata = sandbox.metadata
            pod = pods.setdefault(
                metadata.uid,
                {
                    "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
                    "spec": {"containers": []},
                    "status": {},
                },
            )
            pod["spec"]["containers"].append(
                {"name": container.metadata.name, "image": container.image_ref, "resources": {}}
            )
        return _json(_pod_list(list(pods.values())))

    async def _get_healthz(self, request: web.Request) -> web.StreamResponse:
        check = request.match_info.get("check", "")
        if check not in ("", "ping", "log", "syncloop"):
            raise NotFound("404 page not found")
        if check not in ("ping", "log") and not self._healthy():
            return web.Response(status=500, text="[-]syncloop failed: reason withheld\nhealthz check failed\n")
        return web.Response(text="ok")

    async def _get_summary(self, request: web.Request) -> web.StreamResponse:
        only = request.query.get("only_cpu_and_memory", "").lower() == "true"
        return _json(await summary(self._stats, only_cpu_and_memory=only))

    async def _get_metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE})

    async def _get_resource_metrics(self, request: web.Request) -> web.StreamResponse:
        text = await resource_metrics(self._stats, now_s=self._clock.now())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _get_cadvisor_metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=(await cadvisor_metrics(self._stats)).encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _get_configz(self, request: web.Request) -> web.StreamResponse:
        return _json({"kubeletconfig": dict(self._configz())})


async def _tell_failure(streams: RemoteStreams, message: str) -> None:
    with contextlib.suppress(ConnectionError):
        status = failure_status(f"error executing command in container: {message}")
        text = json.dumps(status) if streams.writes_status else status["message"]
        await streams.write("error", text.encode())
        await streams.close()


def _gone(request: web.Request) -> web.StreamResponse:
    """The client left before it was answered; what is returned here reaches nobody."""
    response = web.Response(status=499)
    response.force_close()
    if request.transport is not None:
        request.transport.abort()
    return response


def _pod_list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


def _json(document: Mapping[str, Any]) -> web.Response:
    return web.Response(body=json.dumps(document).encode(), content_type="application/json")
