"""A server with webhooks beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from steersman.client.api import Client, decoded
from steersman.meta.objects import Object
from steersman.meta.resources import MUTATINGWEBHOOKCONFIGURATIONS, VALIDATINGWEBHOOKCONFIGURATIONS, Resource
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.webhookserver import WebhookServer

Configure = Callable[..., Awaitable[Object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: Object


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[WebhookServer]:
    server = WebhookServer(authority=TestAuthority(tmp_path))
    await server.start()
    yield server
    await server.stop()


async def post(client: Client, path: str, obj: Object | None = None, **query: str) -> Answer:
    """A POST whose response is looked at as it is."""
    body = msgspec.json.encode(obj) if obj is not None else b""
    response = await client.request("POST", path, query=query, headers={"content-type": "application/json"}, body=body)
    return Answer(status=response.status, headers=response.headers, content=decoded(response))


def rule(**fields: Any) -> Object:
    """Every operation on config maps, unless said otherwise."""
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps"]}
    return {**everything, **fields}


def webhook(server: WebhookServer, name: str, **fields: Any) -> Object:
    """The webhook that the server answers as ``name``."""
    return {
        "name": f"{name}.example.com",
        "clientConfig": server.client_config(name),
        "rules": [rule()],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **fields,
    }


def configuration(resource: Resource, name: str, *webhooks: Object) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name},
        "webhooks": list(webhooks),
    }


@pytest.fixture
def mutating(client: Client) -> Configure:
    """Creates a MutatingWebhookConfiguration."""

    async def configure(*webhooks: Object, name: str = "mutating") -> Object:
        resource = MUTATINGWEBHOOKCONFIGURATIONS
        return await client.create(resource, configuration(resource, name, *webhooks))

    return configure


@pytest.fixture
def validating(client: Client) -> Configure:
    """Creates a ValidatingWebhookConfiguration."""

    async def configure(*webhooks: Object, name: str = "validating") -> Object:
        resource = VALIDATINGWEBHOOKCONFIGURATIONS
        return await client.create(resource, configuration(resource, name, *webhooks))

    return configure
