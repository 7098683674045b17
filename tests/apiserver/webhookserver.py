"""A real HTTPS server on loopback that answers as webhooks do, well or badly."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from steersman.meta.objects import Object
from tests.apiserver.authorities import Certified, TestAuthority

Reply = Callable[[Object], Object | Awaitable[Object]]
"""The request of a review -> its response, without the uid."""
Raw = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class WebhookServer:
    """Answers ``/<name>`` with the reply of that name; remembers what it was asked."""

    authority: TestAuthority
    replies: dict[str, Reply] = field(default_factory=dict)
    raw: dict[str, Raw] = field(default_factory=dict)
    reviews: list[Object] = field(default_factory=list)
    """Every review, as it came."""
    paths: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something is asked."""

    async def start(self, certificate: Certified | None = None) -> None:
        certified = certificate or self.authority.server("webhook")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certified.certificate, certified.key)
        context.load_verify_locations(self.authority.file)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server = web.Server(self._handle)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    def url(self, name: str) -> str:
        return f"https://127.0.0.1:{self.port}/{name}"

    def client_config(self, name: str) -> Object:
        return {"url": self.url(name), "caBundle": base64.b64encode(self.authority.pem).decode()}

    def requests(self) -> list[Object]:
        """The requests of all reviews."""
        return [review["request"] for review in self.reviews]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.path_qs)
        self.asked.set()
        name = request.path.lstrip("/")
        raw = self.raw.get(name)
        if raw is not None:
            return await raw(request)  # type: ignore[arg-type]
        review: Object = msgspec.json.decode(await request.read())
        self.reviews.append(review)
        reply = self.replies[name](review["request"])
        response = reply if isinstance(reply, dict) else await reply
        answer = {
            "apiVersion": review["apiVersion"],
            "kind": review["kind"],
            "response": {"uid": review["request"]["uid"], **response},
        }
        return web.json_response(answer)


def allow(request: Object) -> Object:
    return {"allowed": True}


def deny(message: str = "", **status: Any) -> Reply:
    said = {"message": message, **status} if message else dict(status)
    return lambda request: {"allowed": False, **({"status": said} if said else {})}


def patch(*operations: Object) -> Reply:
    """Allows, and changes the object."""
    encoded = base64.b64encode(msgspec.json.encode(operations)).decode()
    return lambda request: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def add(path: str, value: Any) -> Object:
    return {"op": "add", "path": path, "value": value}
