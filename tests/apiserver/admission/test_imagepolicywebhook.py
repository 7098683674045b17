"""ImagePolicyWebhook, before a real HTTPS server: what it asks, what it remembers, what silence means."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from aiohttp import web

from steersman.aio.clock import FakeClock
from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.imagepolicywebhook import ImagePolicyWebhook, image_policy
from steersman.apiserver.webhooks.api import Address, ServiceReference
from steersman.apiserver.webhooks.client import WebhookClient
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, PODS
from tests.apiserver.admission.asking import asked, refusal
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.builders import config_map, pod
from tests.apiserver.webhookserver import WebhookServer

HEAD = {"kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1"}


class _NoServices:
    def resolve(self, service: ServiceReference) -> Address:
        raise AssertionError(service)


class Backend:
    """Answers reviews of images; remembers them."""

    def __init__(self, hooks: WebhookServer, directory: Path, clock: FakeClock) -> None:
        self.reviews: list[Object] = []
        self.tokens: list[str] = []
        self.paths = hooks.paths
        self.answers: list[tuple[int, Object | str]] = []
        """Given in turn; the last one again and again."""
        self._clock = clock
        hooks.raw["images"] = self._answer
        self._authority = hooks.authority
        self._directory = directory
        self._url = hooks.url("images")
        self.webhooks = WebhookClient(_NoServices(), clock=clock)

    async def _answer(self, request: web.Request) -> web.Response:
        self.reviews.append(msgspec.json.decode(await request.read()))
        self.tokens.append(request.headers.get("authorization", ""))
        status, said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(said, str):
            return web.Response(status=status, text=said)
        return web.json_response({**HEAD, "status": said}, status=status)

    def plugin(self, **settings: Any) -> ImagePolicyWebhook:
        path = self._directory / "images.kubeconfig"
        entry = {"certificate-authority": str(self._authority.file), "server": self._url}
        document = {
            "clusters": [{"name": "c", "cluster": entry}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(yaml.safe_dump(document))
        policy = image_policy({"imagePolicy": {"kubeConfigFile": str(path), **settings}})
        return ImagePolicyWebhook(policy, self.webhooks, clock=self._clock, rng=random.Random(7))


@pytest.fixture
async def backend(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Backend]:
    server = WebhookServer(authority=TestAuthority(tmp_path))
    await server.start()
    backend = Backend(server, tmp_path, clock)
    yield backend
    await backend.webhooks.close()
    await server.stop()


async def test_the_service_sees_images_namespace_and_its_annotations(backend: Backend) -> None:
    backend.answers = [(200, {"allowed": True})]
    made = pod("p", annotations={"mycluster.image-policy.k8s.io/ticket": "1", "other": "2"})
    made["spec"]["initContainers"] = [{"name": "i", "image": "init"}]
    plugin = backend.plugin()
    assert await refusal(plugin, asked(PODS, made)) == ""
    assert backend.reviews[0]["spec"] == {
        "containers": [{"image": "image"}, {"image": "init"}],
        "annotations": {"mycluster.image-policy.k8s.io/ticket": "1"},
        "namespace": "default",
    }
    assert (backend.tokens, backend.paths) == (["Bearer secret"], ["/images?timeout=30s"])
    made["spec"]["ephemeralContainers"] = [{"name": "d", "image": "debug"}]
    await plugin.validate(asked(PODS, made, made, subresource="ephemeralcontainers"))
    assert backend.reviews[1]["spec"]["containers"] == [{"image": "debug"}]
    await plugin.validate(asked(PODS, made, made, subresource="status"))
    await plugin.validate(asked(CONFIGMAPS, config_map()))
    assert len(backend.reviews) == 2


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"allowed": False}, "one or more images rejected by webhook backend"),
        ({}, "one or more images rejected by webhook backend"),
        ({"allowed": False, "reason": "bad"}, "image policy webhook backend denied one or more images: bad"),
    ],
)
async def test_a_denial_is_told(backend: Backend, status: Object, why: str) -> None:
    backend.answers = [(200, {**status, "auditAnnotations": {"seen": "yes"}})]
    request = asked(PODS, pod("p"))
    assert await refusal(backend.plugin(), request) == f'pods "p" is forbidden: {why}'
    assert request.annotations == {"imagepolicywebhook.image-policy.k8s.io/seen": "yes"}


async def test_answers_are_remembered_for_a_while(backend: Backend, clock: FakeClock) -> None:
    backend.answers = [(200, {"allowed": True}), (200, {"allowed": False})]
    plugin = backend.plugin(allowTTL=100, denyTTL=10)
    outcomes = []
    for wait_s in (0, 99, 2, 9, 2):
        await clock.advance(wait_s)
        outcomes.append((await refusal(plugin, asked(PODS, pod("p"))) == "", len(backend.reviews)))
    assert outcomes == [(True, 1), (True, 1), (False, 2), (False, 2), (False, 3)]


async def test_nothing_is_remembered_where_that_is_switched_off(backend: Backend) -> None:
    backend.answers = [(200, {"allowed": True})]
    plugin = backend.plugin(allowTTL=-1)
    for _ in range(2):
        await plugin.validate(asked(PODS, pod("p")))
    assert len(backend.reviews) == 2


async def test_a_busy_service_is_asked_again(backend: Backend, clock: FakeClock) -> None:
    backend.answers = [(500, "oops"), (429, "busy"), (200, {"allowed": True})]
    asking = asyncio.ensure_future(refusal(backend.plugin(), asked(PODS, pod("p"))))
    while not asking.done():
        await asyncio.sleep(0.005)
        await clock.advance(0.5)
    assert (asking.result(), len(backend.reviews)) == ("", 3)


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        (404, "gone", "the server could not find the requested resource"),
        (200, "no JSON", "the answer is no ImageReview: "),
        (200, '{"kind":"Other","apiVersion":"v1"}', 'no kind "Other" is registered for version "v1"'),
    ],
)
async def test_a_service_that_fails_denies_or_allows_as_configured(
    backend: Backend, status: int, said: str, why: str
) -> None:
    backend.answers = [(status, said)]
    assert (await refusal(backend.plugin(), asked(PODS, pod("p")))).startswith(f'pods "p" is forbidden: {why}')
    request = asked(PODS, pod("p"))
    assert await refusal(backend.plugin(defaultAllow=True), request) == ""
    assert request.annotations == {"imagepolicywebhook.image-policy.k8s.io/failed-open": "true"}


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        (None, "no config specified"),
        ({"imagePolicy": {"kubeConfigFile": "/nowhere/x"}}, "cannot read kubeconfig /nowhere/x"),
        ({"imagePolicy": {"ttl": 3}}, "unknown fields ttl"),
    ],
)
def test_its_configuration_is_checked(configuration: Object | None, why: str) -> None:
    with pytest.raises(AdmissionConfigurationError, match=f"ImagePolicyWebhook: {why}"):
        image_policy(configuration)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("allowTTL", 3600, "allowTTL: valid value is between 1s and 1800s, got 3600s"),
        ("denyTTL", -2, "denyTTL: valid value is between"),
        ("retryBackoff", 400_000, "retryBackoff: valid value is between"),
        ("allowTTL", "30", "is not a whole number"),
    ],
)
async def test_durations_have_limits(backend: Backend, field: str, value: Any, why: str) -> None:
    with pytest.raises(AdmissionConfigurationError, match=why):
        backend.plugin(**{field: value})
