"""Paths that name no resource: discovery, health, metrics, version, OpenAPI."""

from __future__ import annotations

import hashlib
import random
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.store.drivers.memory import MemoryStore
from tests.schema.gnostic import decoded


async def _get(client: Client, path: str, accept: str = "application/json", **query: str) -> Any:
    answer = await client.request("GET", path, headers={"accept": accept}, query=query)
    assert answer.status == 200, answer
    return answer


async def test_legacy_discovery(client: Client) -> None:
    assert (await _get(client, "/api")).content["versions"] == ["v1"]
    groups = (await _get(client, "/apis")).content["groups"]
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= {group["name"] for group in groups}
    resources = (await _get(client, "/api/v1")).content["resources"]
    pods = next(entry for entry in resources if entry["name"] == "pods")
    assert (pods["kind"], pods["shortNames"], pods["namespaced"]) == ("Pod", ["po"], True)
    assert {"pods/log", "pods/exec", "pods/status"} <= {entry["name"] for entry in resources}
    assert (await _get(client, "/apis/apps")).content["preferredVersion"]["groupVersion"] == "apps/v1"
    assert (await client.request("GET", "/apis/nothing.example")).status == 404


async def test_aggregated_discovery(client: Client) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    answer = await _get(client, "/apis", accept)
    assert answer.headers["content-type"].startswith("application/json;g=apidiscovery.k8s.io;v=v2")
    again = await client.request("GET", "/apis", headers={"accept": accept, "if-none-match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


async def test_every_listed_resource_can_be_listed(client: Client) -> None:
    """Discovery promises nothing that is not served."""
    paths = [path for path in (await _get(client, "/")).content["paths"] if path.count("/") in (2, 3)]
    for path in paths:
        if not (path == "/api/v1" or (path.startswith("/apis/") and path.count("/") == 3)):
            continue
        for resource in (await _get(client, path)).content["resources"]:
            if "/" not in resource["name"] and "list" in resource["verbs"]:
                listed = (await _get(client, f"{path}/{resource['name']}")).content
                assert listed["kind"] == f"{resource['kind']}List"


async def test_version(client: Client) -> None:
    version = (await _get(client, "/version")).content
    assert (version["major"], version["minor"], version["gitVersion"]) == ("1", "36", "v1.36.0")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/readyz/ping", "/readyz/etcd"])
async def test_health(client: Client, path: str) -> None:
    assert (await _get(client, path)).body == b"ok"


async def test_health_in_detail(client: Client) -> None:
    text = (await _get(client, "/readyz", verbose="", exclude="etcd")).body.decode()
    assert "[+]ping ok\n" in text
    assert "[+]etcd excluded: ok\n" in text
    for part in ("config-consumer", "config-producer", "filter"):
        assert f"[+]poststarthook/priority-and-fairness-{part} ok\n" in text
    assert text.endswith("readyz check passed\n")
    assert (await client.request("GET", "/readyz/unknown")).status == 404


async def test_a_server_that_stops_is_not_ready(client: Client, server: APIServer) -> None:
    assert server.ready()
    server._stopping = True
    answer = await client.request("GET", "/readyz")
    assert answer.status == 500
    assert b"[-]shutdown failed: reason withheld" in answer.body
    assert (await client.request("GET", "/livez")).status == 200
    assert not server.ready()
    server._stopping = False


async def test_metrics(client: Client) -> None:
    await client.request("GET", "/api/v1/pods")
    text = (await _get(client, "/metrics")).body.decode()
    assert 'apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods"' in text
    assert "apiserver_request_duration_seconds_bucket" in text


async def test_openapi(client: Client, clock: FakeClock) -> None:
    import msgspec

    index = msgspec.json.decode((await _get(client, "/openapi/v3")).body)["paths"]
    link = index["apis/apps/v1"]["serverRelativeURL"]
    path, _, hashed = link.partition("?hash=")
    document = await _get(client, path, hash=hashed)
    assert document.headers["cache-control"] == "public, immutable"
    expires = parsedate_to_datetime(document.headers["expires"]).timestamp()
    assert expires - clock.now() == pytest.approx(365 * 86400, abs=60)
    assert document.headers["etag"] == f'"{hashed}"' == f'"{hashlib.sha512(document.body).hexdigest().upper()}"'
    assert "expires" not in (await _get(client, path)).headers
    stale = await client.request("GET", path, query={"hash": "0"})
    assert (stale.status, stale.headers["location"]) == (301, link)
    assert (await client.request("GET", "/openapi/v3/apis/none/v1")).status == 404
    known = await client.request("GET", path, headers={"if-none-match": f'"{hashed}"'})
    assert (known.status, known.body) == (304, b"")


V3_PROTOBUF = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
V3_PROTOBUF_OLD = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        (V3_PROTOBUF, V3_PROTOBUF),
        (V3_PROTOBUF_OLD, V3_PROTOBUF),
        (f"text/html, application/json;q=0.5, {V3_PROTOBUF_OLD};q=0.9", V3_PROTOBUF),
        (f"application/json, {V3_PROTOBUF}", "application/json"),
        ("text/html", None),
    ],
)
async def test_openapi_v3_is_in_the_form_that_the_client_prefers(
    client: Client, accept: str, answered: str | None
) -> None:
    answer = await client.request("GET", "/openapi/v3/apis/apps/v1", headers={"accept": accept})
    assert (answer.status, answer.headers.get("content-type")) == (406 if answered is None else 200, answered)
    assert "Accept" in answer.headers["vary"]


async def test_both_forms_of_a_v3_document_have_one_hash(client: Client) -> None:
    path = "/openapi/v3/apis/apps/v1"
    json = await _get(client, path)
    digest = json.headers["etag"].strip('"')
    protobuf = await _get(client, path, V3_PROTOBUF, hash=digest)
    assert protobuf.headers["etag"] == json.headers["etag"]
    assert protobuf.headers["cache-control"] == "public, immutable"
    assert decoded(protobuf.body)["info"] == {"title": "Kubernetes", "version": "1.36"}


async def test_openapi_v2_is_in_the_form_that_the_client_prefers(client: Client) -> None:
    protobuf = await client.request("GET", "/openapi/v2", headers={"accept": V2_PROTOBUF.replace(".v1.0", "@v1.0")})
    assert protobuf.headers["content-type"] == V2_PROTOBUF
    assert (await client.request("GET", "/openapi/v2", headers={"accept": "text/html"})).status == 406


async def test_unknown_paths_are_plain_text(client: Client) -> None:
    answer = await client.request("GET", "/unknown")
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize("page", ["statusz", "flagz"])
async def test_pages_for_people_are_text_unless_a_version_is_named(client: Client, page: str) -> None:
    kind = page.capitalize()
    for accept in ("", "*/*", "text/plain", f"text/plain,application/json;g=config.k8s.io;v=v1beta1;as={kind};q=0.5"):
        answer = await client.request("GET", f"/{page}", headers={"accept": accept})
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.body.decode().startswith(f"\napiserver {page}\nWarning: This endpoint is not meant to be")
    for version in ("v1beta1", "v1alpha1"):
        found = await _get(client, f"/{page}", f"application/json;g=config.k8s.io;v={version};as={kind}")
        assert found.content["apiVersion"] == f"config.k8s.io/{version}"
        assert (found.content["kind"], found.content["metadata"]) == (kind, {"name": "apiserver"})
        assert ("deprecated" in found.headers.get("warning", "")) == (version == "v1alpha1")
    for accept in ("application/json", f"application/json;g=config.k8s.io;v=v2;as={kind}", "text/html"):
        refused = await client.request("GET", f"/{page}", headers={"accept": accept})
        assert (refused.status, refused.content["message"]) == (
            406,
            "only the following media types are accepted: application/json, application/yaml, text/plain",
        )


async def test_statusz_says_since_when_the_server_runs(client: Client, clock: FakeClock) -> None:
    await clock.advance(3725)
    found = (await _get(client, "/statusz", "application/json;g=config.k8s.io;v=v1beta1;as=Statusz")).content
    assert (found["uptimeSeconds"], found["binaryVersion"], found["emulationVersion"]) == (3725, "1.36", "1.36")
    assert "/readyz" in found["paths"]
    text = (await client.request("GET", "/statusz", headers={"accept": "text/plain"})).body.decode()
    assert "\nUp: 1 hr 02 min 05 sec\n" in text


async def test_flagz_shows_the_command_line(clock: FakeClock) -> None:
    config = APIServerConfig(flags={"secure-port": "6443", "anonymous-auth": "true"})
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    try:
        client = Client(InProcessTransport(server.handle))
        found = (await _get(client, "/flagz", "application/json;g=config.k8s.io;v=v1beta1;as=Flagz")).content
        assert found["flags"] == {"anonymous-auth": "true", "secure-port": "6443"}
        text = (await client.request("GET", "/flagz", headers={"accept": "text/plain"})).body.decode()
        assert text.endswith("\nanonymous-auth: true\nsecure-port: 6443\n")
    finally:
        await server.close()
