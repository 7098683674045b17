"""Webhooks that do not answer as they should: every failure is the failure policy's business, and none is the server's."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta.errors import APIError, InternalError, Timeout
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, ENDPOINTSLICES, SERVICES
from steersman.testing.waiting import eventually
from tests.apiserver.admission.conftest import Configure, rule, webhook
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.builders import config_map
from tests.apiserver.webhookserver import Raw, WebhookServer, allow

CREATES = [rule(operations=["CREATE"])]


async def failure(client: Client) -> str:
    """What the refused creation of a config map says, without what is the same for all of them."""
    with pytest.raises(InternalError) as caught:
        await client.create(CONFIGMAPS, config_map("a"))
    prefix = 'Internal error occurred: failed calling webhook "check.example.com": '
    assert caught.value.message.startswith(prefix)
    assert caught.value.causes()
    return caught.value.message.removeprefix(prefix)


def body(text: str | bytes, status: int = 200, **headers: str) -> Raw:
    """A canned response."""

    async def reply(request: web.Request) -> web.Response:
        await request.read()
        content = text if isinstance(text, bytes) else text.encode()
        return web.Response(status=status, body=content, content_type="application/json", headers=headers)

    return reply


def review(**fields: Any) -> Raw:
    """An AdmissionReview with the uid of the question, and with ``fields`` instead of what is right."""

    async def reply(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read())
        right = {"apiVersion": asked["apiVersion"], "kind": asked["kind"]}
        response = {"uid": asked["request"]["uid"], "allowed": True, **fields.pop("response", {})}
        return web.json_response({**right, "response": response, **fields})

    return reply


ANSWERS: list[tuple[Raw, str]] = [
    (body("garbage"), "failed to call webhook: couldn't get version/kind; json parse error: "),
    (body("[]"), "failed to call webhook: couldn't get version/kind; json parse error: "),
    (body("[" * 100_000), "failed to call webhook: "),
    (body(b"\xff\xfe"), "failed to call webhook: couldn't get version/kind; json parse error: "),
    (body(""), "failed to call webhook: 0-length response with status code: 200"),
    (body("{}"), "received invalid webhook response: webhook response was absent"),
    (body('{"kind":"Pod","apiVersion":"v1"}'), "failed to call webhook: "),
    (body('{"response":{"uid":7}}'), "failed to call webhook: couldn't get version/kind; json parse error: json: "),
    (review(response={"uid": "other"}), 'received invalid webhook response: expected response.uid="'),
    (
        review(apiVersion="", kind=""),
        "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, "
        "Kind=",
    ),
    (review(response={"patch": "W10="}), "received invalid webhook response: validating webhook may not return response.patch"),
    (
        review(response={"patchType": "JSONPatch"}),
        "received invalid webhook response: validating webhook may not return response.patchType",
    ),
    (body("x", 404), "failed to call webhook: the server could not find the requested resource"),
    (body("oops", 500), 'failed to call webhook: an error on the server ("oops") has prevented the request from succeeding'),
    (
        body('{"kind":"Status","status":"Failure","message":"not today","code":503}', 503),
        "failed to call webhook: not today",
    ),
    (
        body("", 307, Location="https://127.0.0.1:1/elsewhere"),
        "failed to call webhook: the server responded with the status code 307 but did not return more information",
    ),
    (body(b"x" * (17 << 20)), "failed to call webhook: Post "),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "message"), ANSWERS)
async def test_an_answer_that_is_none_fails_the_call(
    client: Client, hooks: WebhookServer, validating: Configure, reply: Raw, message: str
) -> None:
    hooks.raw["check"] = reply
    await validating(webhook(hooks, "check"))
    assert (await failure(client)).startswith(message)


async def test_a_failed_call_is_ignored_where_the_policy_says_so(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.raw["check"] = body("garbage")
    await validating(webhook(hooks, "check", failurePolicy="Ignore"))
    assert await client.create(CONFIGMAPS, config_map("a"))
    assert len(hooks.paths) == 1


MUTATIONS: list[tuple[Object, str]] = [
    ({"patch": "W10="}, "received invalid webhook response: webhook returned response.patch but not response.patchType"),
    ({"patchType": "JSONPatch"}, "received invalid webhook response: webhook returned response.patchType but not response.patch"),
    ({"patch": "W10=", "patchType": ""}, 'received invalid webhook response: webhook returned invalid response.patchType of ""'),
    ({"patch": base64.b64encode(b"{}").decode(), "patchType": "JSONPatch"}, "received undecodable patch in webhook response: "),
    ({"patch": base64.b64encode(b"nonsense").decode(), "patchType": "JSONPatch"}, "received undecodable patch in webhook response: "),
    ({"patch": base64.b64encode(b'[{"op":"test"}]').decode(), "patchType": "MergePatch"}, 'unsupported patch type "MergePatch"'),
    ({"patch": "!", "patchType": "JSONPatch"}, "failed to call webhook: "),
]  # fmt: skip


@pytest.mark.parametrize(("response", "message"), MUTATIONS)
async def test_a_patch_that_is_none_fails_the_call(
    client: Client, hooks: WebhookServer, mutating: Configure, response: Object, message: str
) -> None:
    hooks.replies["check"] = lambda request: {"allowed": True, **response}
    await mutating(webhook(hooks, "check"))
    assert (await failure(client)).startswith(message)


async def test_a_patch_of_too_many_operations_is_refused(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    operations = [{"op": "test", "path": "/data/key", "value": "value"}] * 10_001
    encoded = base64.b64encode(msgspec.json.encode(operations)).decode()
    hooks.replies["check"] = lambda request: {"allowed": True, "patch": encoded, "patchType": "JSONPatch"}
    await mutating(webhook(hooks, "check"))
    with pytest.raises(InternalError, match="maximum operations in a JSON patch is 10000"):
        await client.create(CONFIGMAPS, config_map("a"))


@pytest.fixture
async def hanging(hooks: WebhookServer) -> Callable[[], None]:
    """A webhook that never answers until it is let go."""
    released = asyncio.Event()

    async def hang(request: Object) -> Object:
        await released.wait()
        return {"allowed": True}

    hooks.replies["check"] = hang
    return released.set


async def test_a_webhook_has_as_long_as_its_timeout(
    client: Client, clock: FakeClock, hooks: WebhookServer, validating: Configure, hanging: Callable[[], None]
) -> None:
    await validating(webhook(hooks, "check", timeoutSeconds=3))
    creation = asyncio.create_task(failure(client))
    await hooks.asked.wait()
    await clock.advance(2.9)
    assert not creation.done()
    await clock.advance(0.2)
    message = await creation
    assert re.fullmatch(
        r'failed to call webhook: Post "https://127\.0\.0\.1:\d+/check\?timeout=3s": context deadline exceeded', message
    )
    hanging()


async def test_a_webhook_that_hangs_is_skipped_where_the_policy_says_so(
    client: Client, clock: FakeClock, hooks: WebhookServer, validating: Configure, hanging: Callable[[], None]
) -> None:
    await validating(webhook(hooks, "check", timeoutSeconds=1, failurePolicy="Ignore"))
    creation = asyncio.create_task(client.create(CONFIGMAPS, config_map("a")))
    await hooks.asked.wait()
    await clock.advance(1.1)
    assert (await creation)["metadata"]["name"] == "a"
    hanging()


async def test_a_request_waits_for_no_webhook_beyond_its_own_deadline(
    client: Client, clock: FakeClock, hooks: WebhookServer, validating: Configure, hanging: Callable[[], None]
) -> None:
    await validating(webhook(hooks, "check", timeoutSeconds=30))

    async def create() -> int:
        response = await client.request(
            "POST",
            CONFIGMAPS.path("default"),
            query={"timeout": "2s"},
            headers={"content-type": "application/json"},
            body=msgspec.json.encode(config_map("a")),
        )
        return response.status

    creation = asyncio.create_task(create())
    await hooks.asked.wait()
    assert hooks.paths == ["/check?timeout=2s"]
    await clock.advance(2.5)
    assert await creation in (500, Timeout.code)
    hanging()


async def test_one_webhook_that_hangs_holds_up_nobody_else(
    client: Client, clock: FakeClock, hooks: WebhookServer, validating: Configure, hanging: Callable[[], None]
) -> None:
    labelled = {"matchLabels": {"slow": "yes"}}
    await validating(webhook(hooks, "check", objectSelector=labelled))
    slow = asyncio.create_task(client.create(CONFIGMAPS, config_map("slow", labels={"slow": "yes"})))
    await hooks.asked.wait()
    assert await client.create(CONFIGMAPS, config_map("quick"))
    hanging()
    assert await slow


async def test_a_server_that_asks_for_patience_is_asked_again(
    client: Client, clock: FakeClock, hooks: WebhookServer, validating: Configure
) -> None:
    async def busy_once(request: web.Request) -> web.StreamResponse:
        if len(hooks.paths) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return await review()(request)

    hooks.raw["check"] = busy_once
    await validating(webhook(hooks, "check"))
    creation = asyncio.create_task(client.create(CONFIGMAPS, config_map("a")))
    await eventually(creation.done, clock=clock)
    assert (await creation)["metadata"]["name"] == "a"
    assert len(hooks.paths) == 2


async def test_nobody_listens(client: Client, hooks: WebhookServer, validating: Configure) -> None:
    await validating(webhook(hooks, "check"))
    await hooks.stop()
    assert re.fullmatch(
        r'failed to call webhook: Post "https://127\.0\.0\.1:(\d+)/check\?timeout=10s": dial tcp 127\.0\.0\.1:\1: connect: '
        "connection refused",
        await failure(client),
    )


async def test_a_certificate_of_another_authority_is_not_trusted(
    client: Client, hooks: WebhookServer, validating: Configure, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = base64.b64encode(TestAuthority(tmp_path / "other").pem).decode()
    config = {**hooks.client_config("check"), "caBundle": other}
    await validating(webhook(hooks, "check", clientConfig=config))
    assert (await failure(client)).endswith(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )
    assert hooks.paths == []


async def test_without_a_bundle_the_system_s_authorities_decide(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    await validating(webhook(hooks, "check", clientConfig={"url": hooks.url("check")}))
    assert "x509: certificate signed by unknown authority" in await failure(client)


async def test_a_certificate_for_another_name_is_not_accepted(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    await hooks.stop()
    await hooks.start(hooks.authority.server("elsewhere", "elsewhere.example.com"))
    await validating(webhook(hooks, "check"))
    assert "tls: failed to verify certificate: x509: " in await failure(client)


async def test_connections_are_kept(client: Client, hooks: WebhookServer, validating: Configure) -> None:
    ports: set[object] = set()

    async def remember(request: web.Request) -> web.StreamResponse:
        ports.add(request.transport.get_extra_info("peername") if request.transport else None)
        return await review()(request)

    hooks.raw["check"] = remember
    await validating(webhook(hooks, "check", rules=CREATES))
    for name in "abc":
        await client.create(CONFIGMAPS, config_map(name))
    assert (len(hooks.paths), len(ports)) == (3, 1)


class TestServices:
    """Webhooks behind a Service: any ready endpoint, under the Service's name."""

    @pytest.fixture
    async def behind(self, client: Client, hooks: WebhookServer) -> Callable[..., Awaitable[None]]:
        async def make(*, ready: bool = True, port: int = 443) -> None:
            spec = {"selector": {"app": "hook"}, "ports": [{"name": "https", "port": port, "targetPort": 8443}]}
            await client.create(SERVICES, {"metadata": {"name": "hook", "namespace": "default"}, "spec": spec})
            await client.create(
                ENDPOINTSLICES,
                {
                    "metadata": {
                        "name": "hook-1",
                        "namespace": "default",
                        "labels": {"kubernetes.io/service-name": "hook"},
                    },
                    "addressType": "IPv4",
                    "ports": [{"name": "https", "port": hooks.port, "protocol": "TCP"}],
                    "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
                },
            )

        return make

    def config(self, hooks: WebhookServer, **service: Any) -> Object:
        reference = {"name": "hook", "namespace": "default", "path": "/check", **service}
        return {"service": reference, "caBundle": base64.b64encode(hooks.authority.pem).decode()}

    async def test_without_the_service(self, client: Client, hooks: WebhookServer, validating: Configure) -> None:
        await validating(webhook(hooks, "check", clientConfig=self.config(hooks)))
        assert await failure(client) == (
            'failed to call webhook: Post "https://hook.default.svc:443/check?timeout=10s": service "hook" not found'
        )

    async def test_without_a_ready_endpoint(
        self,
        client: Client,
        hooks: WebhookServer,
        validating: Configure,
        behind: Callable[..., Awaitable[None]],
    ) -> None:
        await behind(ready=False)
        await validating(webhook(hooks, "check", clientConfig=self.config(hooks)))
        assert (await failure(client)).endswith('no endpoints available for service "hook"')

    async def test_another_port_is_no_port_of_the_service(
        self,
        client: Client,
        hooks: WebhookServer,
        validating: Configure,
        behind: Callable[..., Awaitable[None]],
    ) -> None:
        await behind(port=8443)
        await validating(webhook(hooks, "check", clientConfig=self.config(hooks)))
        assert (await failure(client)).endswith('no service port 443 found for service "hook"')


async def test_a_refusal_is_no_surprise_to_the_store(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = allow
    await validating(webhook(hooks, "check"))
    await client.create(CONFIGMAPS, config_map("a"))
    hooks.raw["check"] = body("garbage")
    with pytest.raises(APIError):
        await client.delete(CONFIGMAPS, "a", namespace="default")
    assert await client.get(CONFIGMAPS, "a", namespace="default")
