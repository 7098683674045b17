"""Tokens of pods: bound to them, kept while they are young, renewed in time, and renewed in the volumes of running pods."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.client.transport import Unreachable
from steersman.kubelet.service_account_tokens import ServiceAccountTokens
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, SERVICEACCOUNTS
from steersman.meta.wire import Request, Response
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.signing import signing_config
from tests.kubelet.pods import pod
from tests.kubelet.volumes.conftest import Harness

HOUR_S = 3600
ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}


class Cluster:
    """An API server that issues tokens and may be away."""

    def __init__(self, server: APIServer, clock: FakeClock) -> None:
        self.clock = clock
        self.is_away = False
        self.asked = 0
        self.admin = Client(InProcessTransport(server.handle))

        async def handle(request: Request) -> Response:
            if self.is_away:
                raise Unreachable("the test took it away")
            self.asked += request.path.endswith("/token")
            return await server.handle(request)

        self.client = Client(InProcessTransport(handle))
        self.tokens = ServiceAccountTokens(self.client, clock=clock, rng=random.Random(1))

    async def pod(self) -> Object:
        metadata = {"name": "web", "namespace": "default"}
        spec = {**pod()["spec"], "nodeName": "n1", "automountServiceAccountToken": False}
        return await self.admin.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    clock = FakeClock()
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=signing_config(), rng=random.Random())
    await server.start()
    found = Cluster(server, clock)
    await found.admin.create(SERVICEACCOUNTS, ACCOUNT)
    yield found
    await server.close()


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


async def test_a_token_is_the_pods_and_for_whom_it_was_asked(cluster: Cluster) -> None:
    made = await cluster.pod()
    found = claims(await cluster.tokens.token(made, audience="vault", expiration_s=HOUR_S))
    assert found["aud"] == ["vault"]
    assert found["sub"] == "system:serviceaccount:default:default"
    assert found["kubernetes.io"]["pod"] == {"name": "web", "uid": made["metadata"]["uid"]}
    assert found["exp"] - found["iat"] == HOUR_S


async def test_it_is_kept_for_four_fifths_of_its_life(cluster: Cluster) -> None:
    made = await cluster.pod()
    first = await cluster.tokens.token(made, audience="", expiration_s=HOUR_S)
    await cluster.clock.advance(0.79 * HOUR_S - 10)
    assert await cluster.tokens.token(made, audience="", expiration_s=HOUR_S) == first
    assert cluster.asked == 1
    await cluster.clock.advance(0.02 * HOUR_S + 20)
    second = await cluster.tokens.token(made, audience="", expiration_s=HOUR_S)
    assert claims(second)["exp"] > claims(first)["exp"]


async def test_one_that_lives_for_days_is_renewed_every_day(cluster: Cluster) -> None:
    made = await cluster.pod()
    clock = FakeClock()  # of the node alone: a day of the whole cluster takes its time
    tokens = ServiceAccountTokens(cluster.client, clock=clock, rng=random.Random(1))
    first = await tokens.token(made, audience="", expiration_s=10 * 24 * HOUR_S)
    await clock.advance(23.9 * HOUR_S)
    assert await tokens.token(made, audience="", expiration_s=10 * 24 * HOUR_S) == first
    await clock.advance(0.2 * HOUR_S)
    assert await tokens.token(made, audience="", expiration_s=10 * 24 * HOUR_S) != first


async def test_without_an_api_server_the_old_one_is_used_to_its_end(cluster: Cluster) -> None:
    made = await cluster.pod()
    first = await cluster.tokens.token(made, audience="", expiration_s=HOUR_S)
    cluster.is_away = True
    await cluster.clock.advance(0.95 * HOUR_S)
    assert await cluster.tokens.token(made, audience="", expiration_s=HOUR_S) == first
    await cluster.clock.advance(0.1 * HOUR_S)
    with pytest.raises(Unreachable):
        await cluster.tokens.token(made, audience="", expiration_s=HOUR_S)


async def test_what_a_pod_had_is_forgotten_with_it(cluster: Cluster) -> None:
    made = await cluster.pod()
    await cluster.tokens.token(made, audience="", expiration_s=HOUR_S)
    cluster.tokens.forget(made["metadata"]["uid"])
    await cluster.tokens.token(made, audience="", expiration_s=HOUR_S)
    assert cluster.asked == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount memory file systems")
async def test_the_file_in_a_volume_is_rotated(cluster: Cluster, tmp_path: Path) -> None:
    """Each time that a running pod's volumes are looked at, as the kubelet does every so often."""
    made = await cluster.pod()
    volumes = Harness(tmp_path, clock=cluster.clock, tokens=cluster.tokens)
    sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": HOUR_S}}]
    try:
        file = await volumes.mount(made, projected={"sources": sources}) / "token"
        first = file.read_text()
        await volumes.mount(made, projected={"sources": sources})
        assert file.read_text() == first
        await cluster.clock.advance(0.85 * HOUR_S)
        await volumes.mount(made, projected={"sources": sources})
        assert claims(file.read_text())["exp"] > claims(first)["exp"]
    finally:
        await volumes.manager.remove(made["metadata"]["uid"])
