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
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import web
from msgspec import Struct, field
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from steersman.aio.clock import Clock
from steersman.kubelet.runtimes.api import (
    AttachRequest,
    ExecRequest,
    ExecTimeout,
    Runtime,
    RuntimeServiceError,
    Session,
)
from steersman.kubelet.server import containerlogs, portforward, spdy_streams, websocket
from steersman.kubelet.server.authentication import Authenticator, Credentials
from steersman.kubelet.server.authorization import Authorizer, subresources_of, verb_of
from steersman.kubelet.server.certificates import ServerCertificate
from steersman.kubelet.server.checkpoints import Checkpoints
from steersman.kubelet.server.documents import About, Documents, as_json, set_verbosity
from steersman.kubelet.server.remotecommand import RemoteStreams, StreamOptions, failure_status, serve
from steersman.kubelet.server.system_logs import SystemLogs
from steersman.kubelet.server_api import PodLookup
from steersman.kubelet.stats import StatsProvider
from steersman.meta.errors import APIError, BadRequest

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_HEADER_BYTES: Final = 1024 * 1024
"""Exec's command travels in the URL: arguments may be long."""
_METHODS: Final = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
_LONG_RUNNING: Final = frozenset(("exec", "attach", "portForward", "containerLogs"))

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ServerConfig(Struct, frozen=True, kw_only=True):
    """Where it listens and with what."""

    address: str = "0.0.0.0"
    port: int = 10250
    """0: any free one, told by ``KubeletServer.port``."""
    healthz_address: str = "127.0.0.1"
    healthz_port: int = 10248
    """Plain HTTP for a process manager; 0: none."""
    checkpoint_dir: Path = field(default_factory=lambda: Path("/var/lib/kubelet/checkpoints"))
    read_only_port: int = 0
    """Plain HTTP without authentication: pods, statistics, metrics; 0: none."""
    debugging_handlers: bool = True
    """exec, attach, port-forward, logs and the like."""
    system_logs: Path | None = field(default_factory=lambda: Path("/var/log"))
    """What ``/logs/`` shows; None: nothing."""
    journalctl: str = ""
    """The program by which ``/logs/`` answers queries of what services have logged; empty: it answers none."""
    debug_flags: bool = True


class KubeletServer:
    """Serves one node's pods. ``registry`` is what ``/metrics`` shows, ``probes`` what ``/metrics/probes`` does."""

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
        probes: CollectorRegistry | None = None,
        about: About | None = None,
    ) -> None:
        self._pods = pods
        self._runtime = runtime
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._certificate = certificate
        self._clock = clock
        self._config = config
        self._documents = Documents(
            pods=pods, runtime=runtime, stats=stats, clock=clock, registry=registry, probes=probes,
            about=about or About(),
        )  # fmt: skip
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
            health.router.add_get("/healthz", self._documents.healthz)
            health.router.add_get("/healthz/{check}", self._documents.healthz)
            await self._listen(health, config.healthz_address, config.healthz_port, None)
        if config.read_only_port:
            unguarded = web.Application(middlewares=[self._count_read_only])
            self._documents.add_read_only(unguarded.router)
            await self._listen(unguarded, config.address, config.read_only_port, None)

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
        router, config = app.router, self._config
        self._documents.add_read_only(router)
        if config.debugging_handlers:
            self._add_streams(router)
            router.add_post("/checkpoint/{namespace}/{pod}/{container}", self._checkpoint)
            self._add_system_logs(router)
            if config.debug_flags:
                router.add_put("/debug/flags/v", set_verbosity)
            else:
                router.add_route("*", "/debug/flags/v", _disabled("flags endpoint is disabled."))
            router.add_route("*", "/debug/pprof/{rest:.*}", _disabled("profiling endpoint is disabled."))
            self._documents.add_debugging(router)
        else:
            disabled = _disabled("Debug endpoints are disabled.")
            for path in ("run", "exec", "attach", "portForward", "containerLogs", "runningpods", "debug/pprof", "logs"):
                router.add_route("*", f"/{path}/{{rest:.*}}", disabled)
        return app

    def _add_streams(self, router: web.UrlDispatcher) -> None:
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

    def _add_system_logs(self, router: web.UrlDispatcher) -> None:
        if self._config.system_logs is None:
            router.add_route("*", "/logs/{rest:.*}", _disabled("logs endpoint is disabled."))
            return
        logs = SystemLogs(self._config.system_logs, journalctl=self._config.journalctl)
        router.add_get("/logs", logs.get)
        router.add_get("/logs/{path:.*}", logs.get)

    # ---- every request -----------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return await self._counted(request, "readwrite", self._answer(request, handler))

    @web.middleware
    async def _count_read_only(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return await self._counted(request, "readonly", self._unguarded(request, handler))

    async def _counted(
        self, request: web.Request, kind: str, answer: Coroutine[Any, Any, web.StreamResponse]
    ) -> web.StreamResponse:
        bucket = request.path.split("/", 2)[1]
        if request.match_info.http_exception is not None:
            bucket = "other"
        method = request.method if request.method in _METHODS else "other"
        labels = (method, bucket, kind, str(bucket in _LONG_RUNNING).lower())
        self._requests.labels(*labels).inc()
        began_s = self._clock.monotonic()
        with self._inflight.labels(*labels).track_inprogress():
            try:
                return await answer
            finally:
                self._durations.labels(*labels).observe(self._clock.monotonic() - began_s)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = await self._refusal(request)
        return refusal or await self._unguarded(request, handler)

    async def _unguarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
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
        shown = " ".join(subresources)
        return web.Response(
            status=403, text=f"Forbidden (user={caller.name}, verb={verb}, resource=nodes, subresource(s)=[{shown}])\n"
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
        checkpoints = Checkpoints(
            pods=self._pods, runtime=self._runtime, directory=self._config.checkpoint_dir, clock=self._clock
        )
        return as_json(await checkpoints.make(request.match_info, request.query.getall("timeout", [])))

    async def _running_container(self, request: web.Request) -> str:
        info = request.match_info
        location = await self._pods.find_container(
            info["namespace"], info["pod"], info["container"], uid=info.get("uid", "")
        )
        if location.state != "RUNNING":
            raise BadRequest(f"container {info['container']} in pod {info['pod']} is not running")
        return location.container_id


def _disabled(message: str) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=405, text=f"{message}\n")

    return refuse


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
