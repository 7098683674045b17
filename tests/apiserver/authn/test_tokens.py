"""Service account tokens are good for their audience and time, and as long as what they are bound to exists."""

from __future__ import annotations

import base64
import contextlib
from random import Random

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from prometheus_client import CollectorRegistry

from steersman.aio.clock import FakeClock
from steersman.apiserver.authn.legacytokens import INVALID_SINCE, LAST_USED, TRACKING, LastUsedLabels, day_of
from steersman.apiserver.authn.serviceaccount import ServiceAccountAuthenticator
from steersman.apiserver.authn.tokens import TokenIssuer, TokenVerifier, jwks, load_keys
from steersman.apiserver.metrics.credentials import CredentialMetrics
from steersman.apiserver.reviews.identity import review_token
from steersman.apiserver.reviews.token_request import TokenRequests
from steersman.client.api import Client
from steersman.controllers.serviceaccounttoken import TokenSigner
from steersman.meta import objects
from steersman.meta.errors import Conflict, Invalid, NotFound, Unauthorized
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, PODS, SECRETS, SERVICEACCOUNTS
from steersman.meta.wire import Request
from tests.apiserver.readers import ListedObjects, named

ISSUER = "https://kubernetes.default.svc.cluster.local"


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


KEYS = {
    "EC": pem(ec.generate_private_key(ec.SECP256R1())),
    "RSA": pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
}


class Accounts:
    """An issuer and an authenticator over the same key and objects."""

    def __init__(self, kind: str = "EC") -> None:
        self.clock = FakeClock()
        self.reader = ListedObjects(
            [(SERVICEACCOUNTS, named("runner", "shop")), (PODS, named("web", "shop", spec={"nodeName": "n1"}))]
        )
        issuer = TokenIssuer(issuer=ISSUER, private_key_pem=KEYS[kind], clock=self.clock, rng=Random(1))
        self.keys = load_keys(KEYS[kind])
        verifier = TokenVerifier(issuers=[ISSUER], keys=self.keys, audiences=[ISSUER], clock=self.clock)
        self.authenticator = ServiceAccountAuthenticator(verifier, self.reader, clock=self.clock)
        self.requests = TokenRequests(issuer, self.reader, audiences=[ISSUER])

    def token(self, **spec: object) -> str:
        answer = self.requests.answer({"spec": spec}, namespace="shop", name="runner", now_s=self.clock.now())
        return str(answer["status"]["token"])

    async def user(self, token: str) -> str:
        user = await self.authenticator.authenticate(
            Request(method="GET", path="/", headers={"authorization": f"Bearer {token}"})
        )
        return user.name if user is not None else ""


BOUND = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": "uid-shop-web"}


@pytest.mark.parametrize("kind", ["EC", "RSA"])
async def test_a_token_names_its_account_and_pod(kind: str) -> None:
    accounts = Accounts(kind)
    user = await accounts.authenticator.authenticate(
        Request(method="GET", path="/", headers={"authorization": f"Bearer {accounts.token(boundObjectRef=BOUND)}"})
    )
    assert user is not None
    assert user.name == "system:serviceaccount:shop:runner"
    assert user.uid == "uid-shop-runner"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("web",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


async def test_a_token_dies_with_its_time() -> None:
    accounts = Accounts()
    token = accounts.token(expirationSeconds=600)
    assert await accounts.user(token)
    await accounts.clock.advance(700)
    with pytest.raises(Unauthorized):
        await accounts.user(token)


@pytest.mark.parametrize(("resource", "key"), [(SERVICEACCOUNTS, "shop/runner"), (PODS, "shop/web")])
async def test_a_token_dies_with_what_it_is_bound_to(resource: object, key: str) -> None:
    accounts = Accounts()
    token = accounts.token(boundObjectRef=BOUND)
    assert await accounts.user(token)
    accounts.reader.remove(SERVICEACCOUNTS if resource == SERVICEACCOUNTS else PODS, key)
    with pytest.raises(Unauthorized):
        await accounts.user(token)


async def test_an_account_of_the_same_name_with_another_uid_is_another_account() -> None:
    accounts = Accounts()
    token = accounts.token()
    accounts.reader.put(SERVICEACCOUNTS, {"metadata": {"name": "runner", "namespace": "shop", "uid": "new"}})
    with pytest.raises(Unauthorized):
        await accounts.user(token)


async def test_tokens_for_others_and_forged_ones_are_refused() -> None:
    accounts = Accounts()
    with pytest.raises(Unauthorized):
        await accounts.user(accounts.token(audiences=["vault"]))
    head, body, signature = accounts.token().split(".")
    with pytest.raises(Unauthorized):
        await accounts.user(f"{head}.{body}.{signature[:-4]}AAAA")
    with pytest.raises(Unauthorized):
        await accounts.user(Accounts("RSA").token())
    assert await accounts.user("not-a-token") == ""


async def test_a_review_says_for_which_audience_a_token_is_good() -> None:
    accounts = Accounts()
    token = accounts.token(audiences=["vault", "other"])
    good = await review_token({"spec": {"token": token, "audiences": ["vault"]}}, accounts.authenticator)
    assert good["status"]["authenticated"] is True
    assert good["status"]["audiences"] == ["vault"]
    bad = await review_token({"spec": {"token": token}}, accounts.authenticator)
    assert "authenticated" not in bad["status"]
    assert bad["status"]["error"].startswith("[invalid bearer token")


async def test_kubelets_tokens_live_a_year_but_say_an_hour() -> None:
    accounts = Accounts()
    spec = {"expirationSeconds": 3607, "boundObjectRef": BOUND}
    answer = accounts.requests.answer({"spec": spec}, namespace="shop", name="runner", now_s=accounts.clock.now())
    token = answer["status"]["token"]
    await accounts.clock.advance(30 * 24 * 3600)
    assert await accounts.user(token)


def test_wrong_requests_are_refused_by_field() -> None:
    accounts = Accounts()
    with pytest.raises(Invalid, match=r"spec\.expirationSeconds: Invalid value: 30: may not specify a duration less"):
        accounts.token(expirationSeconds=30)
    with pytest.raises(NotFound, match='pods "gone" not found'):
        accounts.token(boundObjectRef={**BOUND, "name": "gone"})
    with pytest.raises(Conflict, match="the UID in the bound object reference"):
        accounts.token(boundObjectRef={**BOUND, "uid": "other"})


def test_public_keys_are_published_without_private_parts() -> None:
    for kind in KEYS:
        published = jwks(Accounts(kind).keys)["keys"]
        assert len(published) == 1
        assert "d" not in published[0]
        assert published[0]["kid"]


class Uses:
    """Remembers which Secrets' tokens were used."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def used(self, secret: Object) -> None:
        self.seen.append(objects.name(secret))


class LegacyTokens:
    """A token that stands in a Secret."""

    def __init__(self, **labels: str) -> None:
        self.clock = FakeClock()
        signer = TokenSigner(KEYS["EC"])
        self.token = signer.token(namespace="shop", account="runner", account_uid="uid-shop-runner", secret="old")
        self.uses = Uses()
        self.reader = ListedObjects([(SERVICEACCOUNTS, named("runner", "shop"))])
        self.put(self.token, labels)
        verifier = TokenVerifier(issuers=[ISSUER], keys=load_keys(KEYS["EC"]), audiences=[ISSUER], clock=self.clock)
        self.registry = CollectorRegistry()
        self.authenticator = ServiceAccountAuthenticator(
            verifier, self.reader, clock=self.clock, uses=self.uses, metrics=CredentialMetrics(self.registry)
        )

    def put(self, token: str, labels: dict[str, str]) -> None:
        secret = named("old", "shop", data={"token": base64.b64encode(token.encode()).decode()})
        self.reader.put(SECRETS, objects.with_metadata(secret, labels=labels))

    async def authenticate(self) -> str:
        request = Request(method="GET", path="/", headers={"authorization": f"Bearer {self.token}"})
        user = await self.authenticator.authenticate(request)
        return user.name if user is not None else ""


async def test_the_use_of_a_token_that_stands_in_a_secret_is_noted() -> None:
    legacy = LegacyTokens()
    assert await legacy.authenticate() == "system:serviceaccount:shop:runner"
    assert legacy.uses.seen == ["old"]


async def test_a_token_that_its_secret_has_no_more_is_refused_and_not_noted() -> None:
    legacy = LegacyTokens()
    legacy.put("another", {})
    with pytest.raises(Unauthorized):
        await legacy.authenticate()
    assert legacy.uses.seen == []


async def test_a_token_that_is_marked_as_invalid_is_refused_and_its_use_is_noted() -> None:
    legacy = LegacyTokens(**{INVALID_SINCE: "2026-01-01"})
    with pytest.raises(Unauthorized):
        await legacy.authenticate()
    assert legacy.uses.seen == ["old"]
    told = await review_token({"spec": {"token": legacy.token}}, legacy.authenticator)
    assert "has been marked invalid" in told["status"]["error"]


@pytest.mark.parametrize(
    ("secrets", "labels", "counted"),
    [
        ([], {}, ["legacy_tokens", "legacy_manual_token_uses"]),
        ([{"name": "old"}], {}, ["legacy_tokens", "legacy_auto_token_uses"]),
        ([{"name": "old"}], {INVALID_SINCE: "2026-01-01"}, ["invalid_legacy_auto_token_uses"]),
    ],
)
async def test_uses_of_legacy_tokens_are_counted_by_where_they_come_from(
    secrets: list[Object], labels: dict[str, str], counted: list[str]
) -> None:
    legacy = LegacyTokens(**labels)
    legacy.reader.put(SERVICEACCOUNTS, {**named("runner", "shop"), "secrets": secrets})
    with contextlib.suppress(Unauthorized):
        await legacy.authenticate()
    found = {
        name: legacy.registry.get_sample_value(f"serviceaccount_{name}_total")
        for name in (
            "valid_tokens", "stale_tokens", "legacy_tokens", "legacy_manual_token_uses", "legacy_auto_token_uses",
            "invalid_legacy_auto_token_uses",
        )
    }  # fmt: skip
    assert found == {name: float(name in counted) for name in found}


async def test_a_server_says_since_when_it_notes_uses_and_writes_the_day_once(client: Client) -> None:
    tracking = await client.get(CONFIGMAPS, TRACKING, namespace="kube-system")
    clock = FakeClock()
    assert tracking["data"] == {"since": day_of(clock.now())}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "old", "namespace": "default"}}
    made = await client.create(SECRETS, secret)
    labels = LastUsedLabels(client, clock=clock)
    await labels.used(made)
    noted = await client.get(SECRETS, "old", namespace="default")
    assert objects.labels(noted) == {LAST_USED: day_of(clock.now())}
    await labels.used(noted)
    again = await client.get(SECRETS, "old", namespace="default")
    assert objects.resource_version(again) == objects.resource_version(noted)
