"""How webhooks know who asks: users of a kubeconfig that the admission configuration names."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import yaml
from aiohttp import web
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.apiserver.admission.configuration import AdmissionConfigurationError, kubeconfig_of, load
from steersman.apiserver.component import APIServer
from steersman.apiserver.webhooks.api import Endpoint
from steersman.apiserver.webhooks.credentials import Credentials
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.client.kubeconfig import KubeConfigError
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, VALIDATINGWEBHOOKCONFIGURATIONS
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.admission.conftest import webhook
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.builders import config_map
from tests.apiserver.conftest import CONFIG
from tests.apiserver.webhookserver import WebhookServer


def kubeconfig(directory: Path, **users: Object) -> str:
    path = directory / "webhooks.yaml"
    path.write_text(yaml.safe_dump({"users": [{"name": name, "user": user} for name, user in users.items()]}))
    return str(path)


def loaded(directory: Path, users: dict[str, Object], clock: FakeClock | None = None) -> Credentials:
    return Credentials.load(kubeconfig(directory, **users), clock=clock or FakeClock())


def header(credentials: Credentials, url: str) -> str:
    return credentials.of(Endpoint(url=url)).headers.get("authorization", "")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hook.team.svc:8443/x", "Bearer exact"),
        ("https://hook.team.svc:9443/x", ""),
        ("https://a.example.com/x", "Bearer named"),
        ("https://a.example.com:443/x", "Bearer named"),
        ("https://b.example.com/x", "Bearer all"),
        ("https://b.c.example.com/x", "Bearer all"),
        ("https://example.org/", ""),
    ],
)
def test_users_are_named_by_hosts(tmp_path: Path, url: str, expected: str) -> None:
    users: dict[str, Object] = {
        "hook.team.svc:8443": {"token": "exact"},
        "a.example.com": {"token": "named"},
        "*.example.com": {"token": "all"},
    }
    assert header(loaded(tmp_path, users), url) == expected


async def test_a_token_file_is_read_again_after_a_while(tmp_path: Path) -> None:
    clock = FakeClock()
    (tmp_path / "token").write_text("one\n")
    credentials = loaded(tmp_path, {"a.b": {"tokenFile": "token"}}, clock)
    assert header(credentials, "https://a.b/") == "Bearer one"
    (tmp_path / "token").write_text("two\n")
    assert header(credentials, "https://a.b/") == "Bearer one"
    await clock.advance(61)
    assert header(credentials, "https://a.b/") == "Bearer two"


def test_names_and_passwords_are_sent_as_basic_credentials(tmp_path: Path) -> None:
    credentials = loaded(tmp_path, {"a.b": {"username": "u", "password": "p"}})
    assert header(credentials, "https://a.b/") == "Basic dTpw"


@pytest.mark.parametrize("user", [{"exec": {"command": "x"}}, {"auth-provider": {"name": "x"}}])
def test_what_is_not_supported_is_refused_by_name(tmp_path: Path, user: Object) -> None:
    with pytest.raises(KubeConfigError, match="is not supported"):
        loaded(tmp_path, {"a.b": user})


class TestConfigurationFile:
    def write(self, directory: Path, **document: object) -> str:
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
        path = directory / "admission.yaml"
        path.write_text(yaml.safe_dump({**head, **document}))
        return str(path)

    def test_configurations_stand_in_the_file_or_beside_it(self, tmp_path: Path) -> None:
        (tmp_path / "other.yaml").write_text("a: 1\n")
        plugins = [{"name": "One", "configuration": {"b": 2}}, {"name": "Two", "path": "other.yaml"}]
        assert load(self.write(tmp_path, plugins=plugins)) == {"One": {"b": 2}, "Two": {"a": 1}}

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ({"kind": "Other"}, "is no AdmissionConfiguration"),
            ({"plugin": []}, "has unknown fields: plugin"),
            ({"plugins": [{"name": "a", "config": {}}]}, "has unknown fields: config"),
            ({"plugins": [{"name": "a"}, {"name": "a"}]}, "that is there already"),
            ({"plugins": [{"name": "a", "path": "absent"}]}, "unable to read admission control configuration"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, document: Object, message: str) -> None:
        with pytest.raises(AdmissionConfigurationError, match=message):
            load(self.write(tmp_path, **document))

    def test_webhooks_read_one_field_of_theirs(self) -> None:
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration"}
        assert kubeconfig_of("Plugin", {**head, "kubeConfigFile": "/x"}) == "/x"
        with pytest.raises(AdmissionConfigurationError, match="staticManifestsDir"):
            kubeconfig_of("Plugin", {**head, "staticManifestsDir": "/x"})
        with pytest.raises(AdmissionConfigurationError, match="is no WebhookAdmissionConfiguration"):
            kubeconfig_of("Plugin", {"kind": "x"})


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[WebhookServer]:
    server = WebhookServer(authority=TestAuthority(tmp_path))
    await server.start()
    yield server
    await server.stop()


async def test_a_webhook_sees_the_certificate_of_this_server(tmp_path: Path, hooks: WebhookServer) -> None:
    known = hooks.authority.client("the-apiserver")
    user = {"client-certificate": str(known.certificate), "client-key": str(known.key)}
    path = kubeconfig(tmp_path, **{f"127.0.0.1:{hooks.port}": user})
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration"}
    plugins = {"ValidatingAdmissionWebhook": {**head, "kubeConfigFile": path}}
    clock = FakeClock()
    server = APIServer(
        store=MemoryStore(clock=clock),
        clock=clock,
        config=replace(CONFIG, admission_configuration=plugins),
        rng=random.Random(7),
    )
    names: list[str] = []

    async def look(request: web.Request) -> web.Response:
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        names.append(str(certificate["subject"][-1][0][1]) if certificate else "")
        asked = msgspec.json.decode(await request.read())
        response = {"uid": asked["request"]["uid"], "allowed": True}
        return web.json_response({"apiVersion": asked["apiVersion"], "kind": asked["kind"], "response": response})

    hooks.raw["check"] = look
    await server.start()
    try:
        client = Client(InProcessTransport(server.handle))
        await client.create(
            VALIDATINGWEBHOOKCONFIGURATIONS, {"metadata": {"name": "check"}, "webhooks": [webhook(hooks, "check")]}
        )
        await client.create(CONFIGMAPS, config_map("a"))
    finally:
        await server.close()
    assert names == ["the-apiserver"]
