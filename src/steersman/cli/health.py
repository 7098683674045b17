"""Health and metrics of a component: /healthz, /livez, /readyz and /metrics, as upstream's components answer them."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from steersman.cli.program import Component, Serving

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)


async def serve_health(serving: Serving, component: Component, registry: CollectorRegistry) -> None:
    """Answer until cancelled. Raises ``OSError`` when the address is taken."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405)
        match request.path:
            case "/healthz" | "/livez":
                return web.Response(text="ok")
            case "/readyz":
                return web.Response(text="ok") if component.ready() else web.Response(status=500, text="not ready")
            case "/metrics":
                return web.Response(body=generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})
        return web.Response(status=404, text="404 page not found")

    context = None
    if serving.tls_cert_file:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(serving.tls_cert_file, serving.tls_private_key_file)
    server = web.Server(handle)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, serving.bind_address, serving.port, ssl=context)
    try:
        await loop.create_future()
    finally:
        listener.close()
        await server.shutdown(1.0)
