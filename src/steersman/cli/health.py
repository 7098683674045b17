"""Health and metrics of a component: /healthz, /livez, /readyz and /metrics, as upstream's components answer them, and what
else it documents of itself."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from steersman.cli.program import Component, Documented, Environment, Serving
from steersman.kubelet.exposition import CONTENT_TYPE, registry_text

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from steersman.cli.delegation import Doorkeeper

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


async def serve_health(serving: Serving, component: Component, environment: Environment) -> None:
    """Answer until cancelled. Raises ``OSError`` when the address is taken."""
    keeper = None
    if serving.delegation is not None:
        from steersman.cli.delegation import doorkeeper

        keeper = await doorkeeper(serving.delegation, environment)
    context = None
    if serving.tls_cert_file or keeper is not None:
        context = tls_context(serving, keeper.client_ca if keeper is not None else "", environment.clock.now())
    server = web.Server(handler(component, environment.registry, keeper))
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, serving.bind_address, serving.port, ssl=context)
    try:
        await loop.create_future()
    finally:
        listener.close()
        await server.shutdown(1.0)


def handler(component: Component, registry: CollectorRegistry, keeper: Doorkeeper | None) -> Handler:
    """What answers a request; without a ``keeper`` everybody's."""
    documents = component.documents() if isinstance(component, Documented) else {}

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405)
        if keeper is not None and (refusal := await keeper.refusal(request)) is not None:
            return refusal
        match request.path:
            case "/healthz" | "/livez":
                return web.Response(text="ok")
            case "/readyz":
                return web.Response(text="ok") if component.ready() else web.Response(status=500, text="not ready")
            case "/metrics":
                return web.Response(body=registry_text(registry), headers={"content-type": CONTENT_TYPE})
        if request.path in documents:
            body = documents[request.path]()
            return web.Response(body=body, content_type="application/json" if body[:1] == b"{" else "text/plain")
        return web.Response(status=404, text="404 page not found")

    return handle


def tls_context(serving: Serving, client_ca: str, now_s: float) -> ssl.SSLContext:
    """With the certificate that is named, or one that is made here; clients may show certificates of ``client_ca`` (PEM)."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if client_ca:
        context.load_verify_locations(cadata=client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    if serving.tls_cert_file:
        context.load_cert_chain(serving.tls_cert_file, serving.tls_private_key_file)
        return context
    from steersman.kubelet.server.certificates import ensure_self_signed

    with tempfile.TemporaryDirectory(prefix="steersman-serving-") as made_here:
        directory = Path(serving.cert_dir or made_here)
        host = socket.gethostname()
        context.load_cert_chain(*ensure_self_signed(directory, host, ["127.0.0.1"], now_s=now_s, name="serving"))
    return context
