"""Credential provider plugins: when they are asked, for whom, and how long their answers are good."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from steersman.aio.clock import FakeClock, SystemClock
from steersman.kubelet.configuration import ConfigurationError
from steersman.kubelet.registry_credentials.exec_plugin import (
    Answer,
    ExecPlugin,
    PluginFailed,
    Request,
    parse_answer,
)
from steersman.kubelet.registry_credentials.keyring import Login
from steersman.kubelet.registry_credentials.provider import Provider, Providers, exec_providers
from steersman.kubelet.registry_credentials.provider_config import ProviderConfig, ProvidersConfig, TokenAttributes
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import SERVICEACCOUNTS, Resource

VERSION = "credentialprovider.kubelet.k8s.io/v1"
CONFIG = ProviderConfig(name="plugin", match_images=("*.example",), default_cache_s=60, api_version=VERSION)
TOKEN = TokenAttributes(
    audience="reg", cache_type="ServiceAccount", requires_account=True, required_annotations=("opt-in",)
)


class Accounts:
    """Service accounts and tokens of them."""

    def __init__(self) -> None:
        self.annotations: dict[str, str] = {"opt-in": "yes", "secret": "no"}
        self.issued = 0

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        assert resource is SERVICEACCOUNTS
        if name == "missing":
            raise NotFound.of(resource, name)
        return {"metadata": {"namespace": namespace, "name": name, "uid": "u", "annotations": self.annotations}}

    async def token(self, pod: Mapping[str, Any], *, audience: str, expiration_s: int, account_uid: str = "") -> str:
        assert (audience, expiration_s, account_uid) == ("reg", 3600, "u")
        self.issued += 1
        return f"token-{pod['metadata']['name']}"


class Asked:
    """A plugin that answers what it is told to, and remembers the questions."""

    def __init__(self, key_type: str = "Image", cache_s: float | None = None) -> None:
        self.answer = Answer(logins={"reg.example": Login(username="u")}, cache_key_type=key_type, cache_s=cache_s)
        self.requests: list[Request] = []
        self.hold: asyncio.Event | None = None

    async def ask(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.hold is not None:
            await self.hold.wait()
        return self.answer


class Setup:
    def __init__(self, plugin: Asked, config: ProviderConfig = CONFIG) -> None:
        self.clock, self.accounts, self.plugin = FakeClock(), Accounts(), plugin
        self.provider = Provider(
            config, plugin, source=self.accounts, tokens=self.accounts, clock=self.clock
        )  # fmt: skip

    async def asked(self, *images: str, pod: Object | None = None) -> list[str]:
        """The images among those that the plugin was asked about."""
        self.plugin.requests.clear()
        for image in images:
            await self.provider.provide(image, pod or pod_of("web"))
        return [request.image for request in self.plugin.requests]


def pod_of(name: str, account: str = "default") -> Object:
    spec = {"serviceAccountName": account} if account else {}
    return {"metadata": {"name": name, "namespace": "ns", "uid": name}, "spec": spec}


async def test_only_images_that_match_are_asked_about() -> None:
    setup = Setup(Asked())
    assert await setup.asked("reg.example/a", "other.test/b") == ["reg.example/a"]


@pytest.mark.parametrize(
    ("key_type", "asked"),
    [
        ("Image", ["reg.example/a", "reg.example/b", "new.example/a"]),
        ("Registry", ["reg.example/a", "new.example/a"]),
        ("Global", ["reg.example/a"]),
    ],
)
async def test_what_an_answer_is_good_for(key_type: str, asked: list[str]) -> None:
    setup = Setup(Asked(key_type))
    images = ("reg.example/a", "reg.example/a", "reg.example/b", "new.example/a")
    assert await setup.asked(*images) == asked


async def test_how_long_an_answer_is_good() -> None:
    for cache_s, lasts_s in ((None, 60.0), (5.0, 5.0)):
        setup = Setup(Asked(cache_s=cache_s))
        await setup.asked("reg.example/a")
        await setup.clock.advance(lasts_s - 0.1)
        assert await setup.asked("reg.example/a") == []
        await setup.clock.advance(0.2)
        assert await setup.asked("reg.example/a") == ["reg.example/a"]
    never = Setup(Asked(cache_s=0.0))
    assert len(await never.asked("reg.example/a", "reg.example/a")) == 2


async def test_one_question_for_pulls_at_the_same_time() -> None:
    setup = Setup(Asked(cache_s=0.0))
    setup.plugin.hold = asyncio.Event()
    tasks = [asyncio.create_task(setup.provider.provide("reg.example/a", pod_of("web"))) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    setup.plugin.hold.set()
    answers = await asyncio.gather(*tasks[1:])
    assert len(setup.plugin.requests) == 2, "the first asker went away: the next one asked for all that were left"
    assert all(logins["reg.example"].username == "u" for logins, _ in answers)


async def test_service_account_tokens_go_to_the_plugin() -> None:
    setup = Setup(Asked(), replace(CONFIG, token=TOKEN))
    _, source = await setup.provider.provide("reg.example/a", pod_of("web"))
    [request] = setup.plugin.requests
    assert (request.token, request.annotations) == ("token-web", {"opt-in": "yes"})
    assert source is not None and (source.kind, source.namespace, source.name) == ("ServiceAccount", "ns", "default")
    assert await setup.asked("reg.example/a", pod=pod_of("other")) == [], "remembered for the account"
    setup.accounts.annotations = {"opt-in": "again"}
    assert await setup.asked("reg.example/a", pod=pod_of("other")) == ["reg.example/a"]
    setup.accounts.annotations = {}
    assert await setup.asked("reg.example/a") == [], "the account has not opted in"
    assert await setup.asked("reg.example/a", pod=pod_of("static", account="")) == []
    with pytest.raises(NotFound):
        await setup.provider.provide("reg.example/a", pod_of("web", account="missing"))


async def test_answers_may_be_remembered_for_each_token() -> None:
    setup = Setup(Asked(), replace(CONFIG, token=replace(TOKEN, cache_type="Token")))
    assert len(await setup.asked("reg.example/a")) == 1
    assert len(await setup.asked("reg.example/a", pod=pod_of("other"))) == 1


async def test_a_plugin_without_need_of_an_account_is_asked_without_token() -> None:
    token = replace(TOKEN, requires_account=False, required_annotations=())
    setup = Setup(Asked(), replace(CONFIG, token=token))
    _, source = await setup.provider.provide("reg.example/a", pod_of("static", account=""))
    assert source is None
    assert setup.plugin.requests == [Request(image="reg.example/a")]


async def test_the_token_may_not_come_back_as_the_password() -> None:
    plugin = Asked()
    plugin.answer = dataclasses.replace(
        plugin.answer, logins={"reg.example": Login(username="u", password="token-web")}
    )
    with pytest.raises(PluginFailed, match="returned the service account token as the password"):
        await Setup(plugin, replace(CONFIG, token=TOKEN)).provider.provide("reg.example/a", pod_of("web"))
    by_token = replace(CONFIG, token=replace(TOKEN, cache_type="Token"))
    await Setup(plugin, by_token).provider.provide("reg.example/a", pod_of("web"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"apiVersion": "credentialprovider.kubelet.k8s.io/v1beta1"}, "did not match expected apiVersion"),
        ({"kind": "Other"}, "error decoding"), ({"surprise": 1}, "error decoding"),
        ({"cacheKeyType": "Pod"}, "did not return a valid cacheKeyType: Pod"), ({"cacheDuration": "x"}, "decoding"),
        ({"auth": {"a": {"username": 1}}}, "error decoding"),
    ],
)  # fmt: skip
def test_answers_that_cannot_be_used(change: dict[str, Any], why: str) -> None:
    document = {"kind": "CredentialProviderResponse", "apiVersion": VERSION, "cacheKeyType": "Image"}
    with pytest.raises(PluginFailed, match=why):
        parse_answer(json.dumps({**document, **change}).encode(), api_version=VERSION)
    with pytest.raises(PluginFailed, match="error decoding"):
        parse_answer(b"secret", api_version=VERSION)
    assert parse_answer(json.dumps({**document, "auth": None}).encode(), api_version=VERSION).logins == {}


def program(folder: Path, script: str, name: str = "plugin") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


async def test_a_program_is_asked_in_json(tmp_path: Path) -> None:
    answer = json.dumps(
        {"kind": "CredentialProviderResponse", "apiVersion": VERSION, "cacheKeyType": "Registry",
         "cacheDuration": "1m30s", "auth": {"reg.example": {"username": "me", "password": "p"}}}
    )  # fmt: skip
    program(tmp_path, f'cat > "$OUT"; echo "$1 $MINE $OURS" >> "$OUT"; echo \'{answer}\'')
    seen = tmp_path / "seen"
    config = replace(CONFIG, args=("get",), env={"MINE": "1", "OUT": str(seen)})
    plugin = ExecPlugin(
        config, tmp_path, environ={"PATH": os.environ["PATH"], "OURS": "2", "MINE": "0"}, clock=SystemClock()
    )
    got = await plugin.ask(Request(image="reg.example/a", token="t", annotations={"k": "v"}))
    assert (got.logins, got.cache_key_type, got.cache_s) == (
        {"reg.example": Login(username="me", password="p")}, "Registry", 90.0
    )  # fmt: skip
    document, _, rest = seen.read_text().partition("}}")
    assert json.loads(document + "}}") == {
        "kind": "CredentialProviderRequest", "apiVersion": VERSION, "image": "reg.example/a",
        "serviceAccountToken": "t", "serviceAccountAnnotations": {"k": "v"},
    }  # fmt: skip
    assert rest.strip() == "get 1 2"


async def test_a_program_that_fails_or_floods(tmp_path: Path) -> None:
    runs: list[bool] = []
    plugin = ExecPlugin(
        CONFIG, tmp_path, environ=dict(os.environ), clock=SystemClock(), observe=lambda _, failed: runs.append(failed)
    )
    program(tmp_path, "echo no such login >&2; exit 3")
    with pytest.raises(PluginFailed, match=r"image reg\.example/a: exit status 3: no such login"):
        await plugin.ask(Request(image="reg.example/a"))
    program(tmp_path, "cat /dev/zero")
    with pytest.raises(PluginFailed, match="writes more than"):
        await plugin.ask(Request(image="reg.example/a"))
    assert runs == [True, True]


async def test_a_program_that_hangs_is_ended_after_a_minute(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    program(tmp_path, f"sleep 1000 & echo $! > {marker}.new; mv {marker}.new {marker}; wait")
    clock = FakeClock()
    plugin = ExecPlugin(CONFIG, tmp_path, environ=dict(os.environ), clock=clock)
    task = asyncio.create_task(plugin.ask(Request(image="reg.example/a")))
    await until(marker.exists)
    await clock.advance(61)
    with pytest.raises(PluginFailed, match="context deadline exceeded"):
        await task
    await until(lambda: state(int(marker.read_text())) in ("", "Z"))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  another process makes it true
            await asyncio.sleep(0.01)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def test_a_plugin_that_fails_leaves_the_others(tmp_path: Path) -> None:
    broken = replace(CONFIG, name="broken")
    program(tmp_path, "exit 1", "broken")
    good = Provider(CONFIG, Asked(), source=Accounts(), tokens=None, clock=FakeClock())
    failing = Provider(
        broken, ExecPlugin(broken, tmp_path, environ={}, clock=SystemClock()),
        source=Accounts(), tokens=None, clock=FakeClock(),
    )  # fmt: skip
    keyring = await Providers([failing, good]).keyring("reg.example/a", pod_of("web"))
    assert [one.login.username for one in keyring.lookup("reg.example/a")] == ["u"]


def test_programs_that_are_not_there_are_refused(tmp_path: Path) -> None:
    def make(folder: Path) -> Providers:
        config = ProvidersConfig(providers=(CONFIG,), hash="")
        return exec_providers(config, folder, environ={}, source=Accounts(), tokens=None, clock=FakeClock())

    with pytest.raises(ConfigurationError, match=r"plugin binary directory .* did not exist"):
        make(tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"plugin binary executable .*/plugin did not exist"):
        make(tmp_path)
    program(tmp_path, "true")
    make(tmp_path)
