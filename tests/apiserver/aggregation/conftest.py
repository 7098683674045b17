"""An API server with a port, and an extension API server behind a Service that names loopback."""

from __future__ import annotations

import base64
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, Listener, RequestHeaders
from steersman.apiserver.tls import server_context
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.objects import Object, condition
from steersman.meta.resources import APISERVICES, SERVICES
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.waiting import eventually
from tests.apiserver.aggregation.extension import GROUP, VERSION, Extension
from tests.apiserver.authorities import TestAuthority

NAME = f"{VERSION}.{GROUP}"


@dataclass
class Aggregation:
    server: APIServer
    client: Client
    port: int
    admin: ssl.SSLContext
    extension: Extension
    authority: TestAuthority
    clock: SystemClock

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.admin))

    async def expose(self, **spec: object) -> None:
        """Service and APIService of the extension server."""
        service = {
            "metadata": {"name": "api", "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
        await self.client.create(SERVICES, service)
        await self.client.create(APISERVICES, self.api_service(**spec))

    def api_service(self, **spec: object) -> Object:
        return {
            "metadata": {"name": NAME},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "service": {"namespace": "default", "name": "api", "port": self.extension.port},
                "caBundle": base64.b64encode(self.authority.pem).decode(),
                "groupPriorityMinimum": 2000,
                "versionPriority": 200,
                **spec,
            },
        }

    async def available(self, reason: str = "Passed") -> Object:
        """The APIService, once its condition has that reason."""

        async def has_reason() -> Object | None:
            found = await self.client.get(APISERVICES, NAME)
            return found if (condition(found, "Available") or {}).get("reason") == reason else None

        found: Object = await eventually(has_reason, clock=self.clock, timeout_s=20)
        return found


@pytest.fixture
async def aggregation(tmp_path: Path) -> AsyncIterator[Aggregation]:
    authority = TestAuthority(tmp_path)
    serving = authority.server("api.default.svc", "api.default.svc")
    extension = Extension()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.load_cert_chain(serving.certificate, serving.key)
    runner = await extension.start(tls)
    own = authority.server()
    proxy = authority.client("front-proxy-client")
    config = APIServerConfig(
        client_ca=authority.pem,
        request_header=RequestHeaders(allowed_names=("front-proxy-client",)),
        request_header_client_ca=authority.pem,
        authorization_modes=("RBAC",),
        disabled_admission_plugins=("ServiceAccount",),
        front_proxy_certificate_file=str(proxy.certificate),
        front_proxy_key_file=str(proxy.key),
        listener=Listener(certificate_file=str(own.certificate), key_file=str(own.key)),
    )
    clock = SystemClock()
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    assert config.listener is not None
    port = await server.serve("127.0.0.1", 0, tls=server_context(config.listener, config))
    admin = authority.client_context(authority.client("admin", "system:masters", "a, group"))
    yield Aggregation(server, Client(InProcessTransport(server.handle)), port, admin, extension, authority, clock)
    await server.close()
    await runner.cleanup()
