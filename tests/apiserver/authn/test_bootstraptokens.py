"""The bearer of a bootstrap token is who its Secret says, for as long as that is there and valid."""

from __future__ import annotations

import base64
import random
from typing import Any

import msgspec
import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.authn.api import User
from steersman.apiserver.authn.bootstraptokens import BootstrapTokens
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.meta import times
from steersman.meta.objects import Object, with_metadata
from steersman.meta.resources import SECRETS
from steersman.meta.wire import Request
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.readers import ListedObjects

NOW_S = 1_800_000_000.0
TOKEN = "abcdef.0123456789abcdef"
BEARER = User(name="system:bootstrap:abcdef", groups=("system:bootstrappers", "system:authenticated"))


def secret(**changes: str) -> Object:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
    } | {key.replace("_", "-"): text for key, text in changes.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


def known(stored: Object, token: str = TOKEN) -> User | None:
    return BootstrapTokens(ListedObjects([(SECRETS, stored)]), clock=FakeClock(NOW_S)).bearer(token)


@pytest.mark.parametrize(
    ("stored", "user"),
    [
        (secret(), BEARER),
        (secret(expiration=times.format_time(NOW_S + 1)), BEARER),
        (
            secret(auth_extra_groups="system:bootstrappers:z,system:bootstrappers:a"),
            User(
                name=BEARER.name,
                groups=(
                    "system:bootstrappers",
                    "system:bootstrappers:a",
                    "system:bootstrappers:z",
                    "system:authenticated",
                ),
            ),
        ),
        (secret(expiration=times.format_time(NOW_S)), None),
        (secret(expiration="soon"), None),
        (secret(usage_bootstrap_authentication="yes"), None),
        (secret(token_secret="fedcba9876543210"), None),
        (secret(token_id="ghijkl"), None),
        (secret(auth_extra_groups="system:masters"), None),
        ({**secret(), "type": "Opaque"}, None),
        (with_metadata(secret(), deletionTimestamp="2026-01-01T00:00:00Z"), None),
    ],
)
def test_whose_a_token_is(stored: Object, user: User | None) -> None:
    assert known(stored) == user


@pytest.mark.parametrize("token", ["", "abcdef", "abcdef.0123456789abcdeF", "ABCDEF.0123456789abcdef", "ghijkl.0123456789abcdef"])  # fmt: skip
def test_what_is_no_token_of_the_cluster_is_nobodys(token: str) -> None:
    assert known(secret(), token) is None


async def asked(server: APIServer, method: str, path: str, body: Any, token: str = "") -> tuple[int, Any]:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    made = Request(method=method, path=path, headers=headers, body=msgspec.json.encode(body))
    answer = await server.handle(made)
    return answer.status, msgspec.json.decode(answer.body)


@pytest.mark.parametrize("is_enabled", [True, False])
async def test_a_server_knows_bearers_of_tokens_if_it_is_told_to(is_enabled: bool) -> None:
    clock = FakeClock(NOW_S)
    config = APIServerConfig(
        enable_bootstrap_tokens=is_enabled, anonymous_auth=False, static_tokens={"root": User(name="root")}
    )
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    before, _ = await asked(server, "POST", reviews, {}, TOKEN)
    made, _ = await asked(server, "POST", "/api/v1/namespaces/kube-system/secrets", secret(), "root")
    after, review = await asked(server, "POST", reviews, {}, TOKEN)
    assert (before, made, after) == (401, 201, 201 if is_enabled else 401)
    if is_enabled:
        assert review["status"]["userInfo"] == {"username": BEARER.name, "groups": list(BEARER.groups)}
    await server.close()
