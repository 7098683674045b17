"""An extension API server on loopback that says what it was asked and answers what a test tells it."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

GROUP = "wardle.example.com"
VERSION = "v1alpha1"
PATH = f"/apis/{GROUP}/{VERSION}"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

FLUNDERS = {
    "resource": "flunders",
    "responseKind": {"group": "", "version": "", "kind": "Flunder"},
    "scope": "Namespaced",
    "singularResource": "flunder",
    "verbs": ["create", "get", "list", "watch"],
}
DISCOVERY = {
    "kind": "APIGroupDiscoveryList",
    "apiVersion": "apidiscovery.k8s.io/v2",
    "items": [{"metadata": {"name": GROUP}, "versions": [{"version": VERSION, "resources": [FLUNDERS]}]}],
}
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": ["get"]},
        {"name": "flunders/status", "singularName": "", "namespaced": True, "kind": "Flunder", "verbs": ["update"]},
    ],
}
OPENAPI_V2 = {
    "swagger": "2.0",
    "info": {"title": "Wardle", "version": "1"},
    "paths": {
        f"{PATH}/flunders": {
            "get": {
                "operationId": "listFlunders",
                "produces": ["application/json"],
                "parameters": [{"name": "limit", "in": "query", "type": "integer"}],
                "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/wardle.Flunder"}}},
            },
            "post": {
                "operationId": "createFlunder",
                "consumes": ["*/*"],
                "parameters": [{"name": "body", "in": "body", "schema": {"$ref": "#/definitions/wardle.Flunder"}}],
                "responses": {"200": {"description": "OK"}},
            },
        },
        "/version/": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/wardle.Version"}}}}},
    },
    "definitions": {
        "wardle.Flunder": {
            "type": "object",
            "properties": {
                "metadata": {
                    "description": "standard",
                    "$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
                },
            },
            "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": "Flunder"}],
        },
        "wardle.Version": {"type": "object"},
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object", "description": "another one"},
    },
}


@dataclass
class Asked:
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    user: str
    """Common name of the client's certificate."""

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class Extension:
    """Answers discovery and OpenAPI like a server of one resource; anything else is in ``answers``, or an echo."""

    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    """Path -> (status, headers, body)."""
    has_aggregated_discovery: bool = True
    has_openapi_v3: bool = True
    is_healthy: bool = True
    release: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def start(self, tls: ssl.SSLContext) -> web.AppRunner:
        runner = web.ServerRunner(web.Server(self.handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=tls).start()
        self.port = runner.addresses[0][1]
        return runner  # type: ignore[return-value]

    def of_clients(self) -> list[Asked]:
        """What was asked other than for the aggregator's own needs."""
        own = ("system:kube-aggregator", "system:aggregator")
        return [entry for entry in self.asked if entry.values("x-remote-user")[:1] not in ([own[0]], [own[1]])]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("upgrade") == "websocket":
            return await self._echo(request)
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        self.asked.append(
            Asked(
                method=request.method,
                path=request.raw_path,
                headers=list(request.headers.items()),
                body=await request.content.read(),
                user=str(certificate["subject"][-1][0][1]) if certificate else "",
            )
        )
        path = request.path
        if not self.is_healthy:
            return web.Response(status=500, text="broken")
        if path in self.answers:
            status, headers, body = self.answers[path]
            return web.Response(status=status, headers=headers, body=body)
        if path.endswith("/slow"):
            return await self._slow(request)
        return self._own(request, path)

    def _own(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        if path == "/apis" and self.has_aggregated_discovery:
            if request.headers.get("if-none-match") == '"1"':
                return web.Response(status=304)
            return web.json_response(DISCOVERY, content_type=AGGREGATED, headers={"etag": '"1"'})
        if path == "/apis":
            return web.Response(status=406)
        if path == PATH:
            return web.json_response(RESOURCES)
        if path == "/openapi/v2":
            return web.json_response(OPENAPI_V2)
        if path == "/openapi/v3" and self.has_openapi_v3:
            paths = {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash=1"} for name in (PATH[1:], "apis/apps/v1")}
            return web.json_response({"paths": paths})
        if path == f"/openapi/v3{PATH}" and self.has_openapi_v3:
            return web.json_response({"openapi": "3.0.0", "paths": {}})
        if path.startswith("/openapi/"):
            return web.Response(status=404)
        return web.Response(text=f"{request.method} {request.raw_path}")

    async def _slow(self, request: web.BaseRequest) -> web.StreamResponse:
        """A watch: one event at once, the next when it is released."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"ADDED"}\n')
        await self.release.wait()
        await response.write(b'{"type":"MODIFIED"}\n')
        return response

    async def _echo(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(
            Asked(method="UPGRADE", path=request.raw_path, headers=list(request.headers.items()), body=b"", user="")
        )
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(b"echo " + message.data)
        return socket
