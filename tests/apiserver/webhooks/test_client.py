"""The webhook client by itself: Services, this server's own Service, certificates, timeouts."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from steersman.aio.clock import FakeClock
from steersman.apiserver.services.addresses import ServiceAddresses
from steersman.apiserver.webhooks.api import (
    Address,
    CallFailed,
    Endpoint,
    InvalidEndpoint,
    ServiceReference,
    Unresolvable,
    endpoint_of,
)
from steersman.apiserver.webhooks.client import WebhookClient
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTSLICES, SERVICES
from steersman.meta.wire import Request, Response
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.readers import ListedObjects
from tests.apiserver.webhookserver import WebhookServer

SERVICE = ServiceReference(namespace="team", name="hook", port=443)


class Directory:
    """Where Services are, as a test says."""

    def __init__(self) -> None:
        self.addresses: dict[ServiceReference, Address] = {}

    def resolve(self, service: ServiceReference) -> Address:
        if service not in self.addresses:
            raise Unresolvable(f'service "{service.name}" not found')
        return self.addresses[service]


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[WebhookServer]:
    server = WebhookServer(authority=TestAuthority(tmp_path))
    await server.start(server.authority.server("hook", "hook.team.svc"))
    yield server
    await server.stop()


@pytest.fixture
async def client(directory: Directory) -> AsyncIterator[WebhookClient]:
    async def loopback(request: Request) -> Response:
        said = {"path": request.path, "user": request.peer.user, "timeout": request.query_value("timeout")}
        return Response(status=200, body=msgspec.json.encode(said))

    client = WebhookClient(directory, clock=FakeClock(), loopback=loopback, loopback_user="system:apiserver")
    yield client
    await client.close()


def of_service(hooks: WebhookServer, **service: object) -> Endpoint:
    reference = {"name": "hook", "namespace": "team", "path": "check", **service}
    return endpoint_of({"service": reference, "caBundle": base64.b64encode(hooks.authority.pem).decode()})


async def test_a_service_is_reached_at_its_endpoint_under_its_own_name(
    client: WebhookClient, directory: Directory, hooks: WebhookServer
) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"host": request.host, "type": request.headers["Content-Type"]})

    hooks.raw["check"] = echo
    directory.addresses[SERVICE] = Address("127.0.0.1", hooks.port)
    answer = msgspec.json.decode(await client.post(of_service(hooks), b"{}", timeout_s=4.2))
    assert answer == {"host": "hook.team.svc", "type": "application/json"}
    assert hooks.paths == ["/check?timeout=5s"]


async def test_the_certificate_has_to_be_the_service_s(
    client: WebhookClient, directory: Directory, hooks: WebhookServer
) -> None:
    directory.addresses[ServiceReference(namespace="team", name="other")] = Address("127.0.0.1", hooks.port)
    with pytest.raises(CallFailed, match="failed to verify certificate"):
        await client.post(of_service(hooks, name="other"), b"{}")


async def test_a_service_is_looked_up_for_each_new_connection(
    client: WebhookClient, directory: Directory, hooks: WebhookServer
) -> None:
    with pytest.raises(CallFailed, match='service "hook" not found'):
        await client.post(of_service(hooks), b"{}")
    directory.addresses[SERVICE] = Address("localhost", hooks.port)

    async def ok(request: web.Request) -> web.Response:
        return web.json_response({})

    hooks.raw["check"] = ok
    assert await client.post(of_service(hooks), b"{}") == b"{}"


async def test_the_kubernetes_service_is_this_server(client: WebhookClient) -> None:
    endpoint = endpoint_of({"service": {"name": "kubernetes", "namespace": "default", "path": "/apis/a.b/v1/hooks"}})
    answer = msgspec.json.decode(await client.post(endpoint, b"{}", timeout_s=1))
    assert answer == {"path": "/apis/a.b/v1/hooks", "user": "system:apiserver", "timeout": "1s"}


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(
    client: WebhookClient, directory: Directory, hooks: WebhookServer
) -> None:
    async def once(request: web.Request) -> web.Response:
        return web.json_response({})

    hooks.raw["check"] = once
    directory.addresses[SERVICE] = Address("127.0.0.1", hooks.port)
    await client.post(of_service(hooks), b"{}")
    port = hooks.port
    await hooks.stop()
    await hooks.start(hooks.authority.server("hook", "hook.team.svc"))
    directory.addresses[SERVICE] = Address("127.0.0.1", hooks.port)
    assert port != hooks.port
    assert await client.post(of_service(hooks), b"{}") == b"{}"


@pytest.mark.parametrize(
    ("client_config", "url"),
    [
        ({"url": "https://a.example.com/x"}, "https://a.example.com/x"),
        ({"service": {"name": "a", "namespace": "b"}}, "https://a.b.svc:443"),
        ({"service": {"name": "a", "namespace": "b", "path": "/x/y", "port": 8443}}, "https://a.b.svc:8443/x/y"),
    ],
)
def test_a_client_configuration_is_a_url_or_a_service(client_config: Object, url: str) -> None:
    assert endpoint_of(client_config).url == url


def test_a_client_configuration_without_either_is_none() -> None:
    with pytest.raises(InvalidEndpoint, match="must have either service or URL"):
        endpoint_of({})


class TestServiceAddresses:
    def service(self, **spec: object) -> Object:
        ports = [{"name": "https", "port": 443}]
        return {
            "metadata": {"name": "hook", "namespace": "team"},
            "spec": {"type": "ClusterIP", "ports": ports, **spec},
        }

    def slice(self, name: str, family: str, *addresses: str, ready: bool | None = None, port: int = 8443) -> Object:
        conditions = {} if ready is None else {"ready": ready}
        return {
            "metadata": {"name": name, "namespace": "team", "labels": {"kubernetes.io/service-name": "hook"}},
            "addressType": family,
            "ports": [{"name": "https", "port": port}],
            "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
        }

    def resolve(self, service: Object | None, *slices: Object) -> Address:
        rows = [(ENDPOINTSLICES, entry) for entry in slices]
        reader = ListedObjects([(SERVICES, service), *rows] if service is not None else rows)
        return ServiceAddresses(reader, rng=random.Random(1)).resolve(SERVICE)

    def test_a_ready_endpoint_is_chosen(self) -> None:
        slices = [self.slice("a", "IPv4", "10.0.0.1", ready=False), self.slice("b", "IPv4", "10.0.0.2")]
        assert self.resolve(self.service(), *slices) == Address("10.0.0.2", 8443)

    def test_the_first_family_of_the_service_comes_first(self) -> None:
        slices = [self.slice("a", "IPv4", "10.0.0.1"), self.slice("b", "IPv6", "fd00::1")]
        assert self.resolve(self.service(ipFamilies=["IPv6", "IPv4"]), *slices).host == "fd00::1"

    def test_an_external_name_is_itself(self) -> None:
        found = self.resolve(self.service(type="ExternalName", externalName="a.example.com"))
        assert found == Address("a.example.com", 443)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (None, 'service "hook" not found'),
            ({"ports": [{"port": 80}]}, 'no service port 443 found for service "hook"'),
            ({}, 'no endpoints available for service "hook"'),
            ({"type": "Odd"}, 'unsupported service type "Odd"'),
        ],
    )
    def test_what_cannot_be_resolved_says_why(self, spec: Object | None, message: str) -> None:
        with pytest.raises(Unresolvable, match=message):
            self.resolve(None if spec is None else self.service(**spec))
