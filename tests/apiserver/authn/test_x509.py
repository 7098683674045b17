"""Client certificates make users; the front proxy's make none, but may speak for others."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from steersman.aio.clock import FakeClock
from steersman.apiserver.authn.requestheader import RequestHeaderAuthenticator, RequestHeaderConfig
from steersman.apiserver.authn.x509 import X509Authenticator, load_authorities
from steersman.apiserver.metrics.credentials import CredentialMetrics
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.meta.errors import Unauthorized
from steersman.meta.wire import Peer, Request


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pki(tmp_path: Path, clock: FakeClock) -> ClusterPKI:
    pki = ClusterPKI(tmp_path, clock=clock)
    pki.ensure_api_server(ServingHosts(["10.96.0.1"], "cluster.local"))
    pki.ensure_client("jane", "jane", ("dev", "ops"))
    return pki


def request(pki: ClusterPKI, name: str, **headers: str) -> Request:
    certificate = x509.load_pem_x509_certificate(pki.pair(name).certificate.read_bytes())
    return Request(
        method="GET",
        path="/",
        headers={key.replace("_", "-"): value for key, value in headers.items()},
        peer=Peer(certificate_der=certificate.public_bytes(Encoding.DER)),
    )


def authorities(pki: ClusterPKI, name: str) -> list[x509.Certificate]:
    return load_authorities(pki.pair(name).certificate.read_bytes())


async def test_common_name_and_organizations(pki: ClusterPKI, clock: FakeClock) -> None:
    user = await X509Authenticator(authorities(pki, "ca"), clock=clock).authenticate(request(pki, "jane"))
    assert user is not None
    assert user.name == "jane"
    assert user.groups == ("dev", "ops", "system:authenticated")


async def test_a_certificate_of_another_authority_is_nobody(pki: ClusterPKI, clock: FakeClock) -> None:
    authenticator = X509Authenticator(authorities(pki, "front-proxy-ca"), clock=clock)
    assert await authenticator.authenticate(request(pki, "jane")) is None


async def test_a_certificate_ends_also_on_an_open_connection(pki: ClusterPKI, clock: FakeClock) -> None:
    authenticator = X509Authenticator(authorities(pki, "ca"), clock=clock)
    await authenticator.authenticate(request(pki, "jane"))
    await clock.advance(400 * 24 * 3600)
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(request(pki, "jane"))


async def test_the_time_that_certificates_have_left_is_measured(pki: ClusterPKI, clock: FakeClock) -> None:
    registry = CollectorRegistry()
    metrics = CredentialMetrics(registry)
    authenticator = X509Authenticator(authorities(pki, "ca"), clock=clock, metrics=metrics)
    certificate = x509.load_pem_x509_certificate(pki.pair("jane").certificate.read_bytes())
    await authenticator.authenticate(request(pki, "jane"))
    await clock.advance(certificate.not_valid_after_utc.timestamp() - clock.now() - 3000)
    await authenticator.authenticate(request(pki, "jane"))
    name = "apiserver_client_certificate_expiration_seconds_bucket"
    counts = [registry.get_sample_value(name, {"le": bound}) for bound in ("1800", "3600", "+Inf")]
    assert counts == [0, 1, 2]


async def test_the_front_proxy_speaks_for_its_users(pki: ClusterPKI) -> None:
    config = RequestHeaderConfig(authorities=authorities(pki, "front-proxy-ca"), allowed_names=["front-proxy-client"])
    authenticator = RequestHeaderAuthenticator(config)
    speaks = {"x_remote_user": "eve", "x_remote_group": "a, b", "x_remote_extra_scopes%2fone": "x"}
    user = await authenticator.authenticate(request(pki, "front-proxy-client", **speaks))
    assert user is not None
    assert user.name == "eve"
    assert user.groups == ("a, b", "system:authenticated"), "a value is one group, whatever it consists of"
    assert user.extra == {"scopes/one": ("x",)}
    assert await authenticator.authenticate(request(pki, "jane", **speaks)) is None
    assert await authenticator.authenticate(request(pki, "front-proxy-client")) is None


async def test_the_front_proxys_groups_are_headers_of_their_own(pki: ClusterPKI) -> None:
    authenticator = RequestHeaderAuthenticator(RequestHeaderConfig(authorities=authorities(pki, "front-proxy-ca")))
    speaks = {"x_remote_user": "eve", "x_remote_uid": "7", "x_remote_group": "a, b", "x_remote_extra_scopes": "x, y"}
    sent = replace(
        request(pki, "front-proxy-client", **speaks),
        repeated_headers={"x-remote-group": ("a", "b"), "x-remote-extra-scopes": ("x", "y")},
    )
    user = await authenticator.authenticate(sent)
    assert user is not None
    assert (user.uid, user.groups, user.extra) == ("7", ("a", "b", "system:authenticated"), {"scopes": ("x", "y")})


def test_certificates_are_kept_until_they_must_change(tmp_path: Path, clock: FakeClock, pki: ClusterPKI) -> None:
    before = pki.pair("apiserver").certificate.read_bytes()
    again = ClusterPKI(tmp_path, clock=clock)
    assert not again.ensure_api_server(ServingHosts(["10.96.0.1"], "cluster.local"))
    assert pki.pair("apiserver").certificate.read_bytes() == before
    assert again.ensure_api_server(ServingHosts(["10.96.0.1", "192.168.7.7"], "cluster.local"))


async def test_certificates_are_renewed_before_they_end(tmp_path: Path, clock: FakeClock, pki: ClusterPKI) -> None:
    await clock.advance(340 * 24 * 3600)
    assert ClusterPKI(tmp_path, clock=clock).ensure_api_server(ServingHosts(["10.96.0.1"], "cluster.local"))
