"""Which credentials apply to an image, and in which order they are tried."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.kubelet.image_names import repository_of
from steersman.kubelet.registry_credentials.docker_config import (
    InvalidDockerConfig,
    NodeFiles,
    keyring_of_secrets,
    parse_config_json,
)
from steersman.kubelet.registry_credentials.keyring import Keyring, Login, login_hash, matches
from steersman.kubelet.registry_credentials.lookup import RegistryCredentials
from steersman.meta.objects import Object


def auth(user: str, password: str = "pw") -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def pull_secret(auths: dict[str, str], name: str = "s", *, old: bool = False) -> Object:
    """A secret of locations and users."""
    entries = {location: {"auth": auth(user)} for location, user in auths.items()}
    key = ".dockercfg" if old else ".dockerconfigjson"
    data = base64.b64encode(json.dumps(entries if old else {"auths": entries}).encode()).decode()
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"metadata": metadata, "type": f"kubernetes.io/{key[1:]}", "data": {key: data}}


def users(keyring: Keyring, image: str) -> list[str]:
    return [credential.login.username for credential in keyring.lookup(repository_of(image))]


def test_longer_locations_come_first_and_names_before_wildcards() -> None:
    keyring = keyring_of_secrets([
        pull_secret({"ghcr.io": "any", "ghcr.io/team": "team", "*.io": "wild", "ghcr.io/team/app": "app"})
    ])  # fmt: skip
    assert users(keyring, "ghcr.io/team/app:1") == ["app", "team", "any", "wild"]
    assert users(keyring, "ghcr.io/teams/x:1") == ["team", "any", "wild"], "a path is a prefix of text, as upstream's"
    assert users(keyring, "ghcr.io/other") == ["any", "wild"]
    assert users(keyring, "quay.io/x") == ["wild"]
    assert users(keyring, "quay.example/x") == []


def test_docker_hub_has_several_names() -> None:
    for location in ("https://index.docker.io/v1/", "index.docker.io", "https://index.docker.io/v2/", "docker.io"):
        keyring = keyring_of_secrets([pull_secret({location: "hub"})])
        for image in ("busybox", "docker.io/library/busybox:1", "me/app", "index.docker.io/me/app"):
            assert users(keyring, image) == ["hub"], (location, image)
        assert users(keyring, "ghcr.io/x") == []


def test_secrets_of_both_types_are_tried_in_their_order() -> None:
    keyring = keyring_of_secrets([
        pull_secret({"reg.example": "first"}, "a"), pull_secret({"reg.example": "second"}, "b", old=True),
        {"metadata": {"name": "c"}, "type": "Opaque", "data": {".dockerconfigjson": "e30="}},
    ])  # fmt: skip
    found = keyring.lookup("reg.example/app")
    assert [(one.login.username, one.source and one.source.name) for one in found] == [("first", "a"), ("second", "b")]


@pytest.mark.parametrize(
    ("pattern", "image", "expected"),
    [
        ("*.azurecr.io", "mine.azurecr.io/app", True), ("*.azurecr.io", "a.b.azurecr.io/app", False),
        ("*.io", "x.k8s.io/app", False), ("app*.k8s.io", "apple.k8s.io/x", True), ("k8s.*", "k8s.gcr/x", True),
        ("*.*.registry.io", "a.b.registry.io/x", True), ("registry.io:8080/path", "registry.io:8080/path/x", True),
        ("registry.io:8080/path", "registry.io/path/x", False), ("registry.io", "registry.io:8080/x", False),
        ("registry.io:80*0", "registry.io:8080/x", False), ("registry.io/*", "registry.io/x", False),
        ("registry.io/a", "registry.io/b", False), ("", "registry.io/b", False),
    ],
)  # fmt: skip
def test_patterns(pattern: str, image: str, expected: bool) -> None:
    assert matches(pattern, image) is expected


def test_what_cannot_be_read() -> None:
    for text in ("{", "[]", '{"auths": {"a": {"auth": "Zm9v"}}}', '{"auths": {"a": {"auth": "%%"}}}'):
        with pytest.raises(InvalidDockerConfig):
            parse_config_json(text.encode())
    assert parse_config_json(b"{}") == {}
    assert parse_config_json(
        b'{"auths": {"a": {"username": "u", "password": "p", "other": 1}}, "credsStore": "x"}'
    ) == {"a": Login(username="u", password="p")}
    unpadded = auth("user", "pass:word").rstrip("=")
    assert parse_config_json(json.dumps({"auths": {"a": {"auth": unpadded}}}).encode()) == {
        "a": Login(username="user", password="pass:word")
    }


def test_locations_that_are_none_are_left_out() -> None:
    keyring = Keyring()
    keyring.add({"reg.example:port": Login(username="x"), "reg.example": Login(username="y")})
    assert users(keyring, "reg.example/app") == ["y"]


def test_hashes_are_those_of_upstreams_records() -> None:
    assert login_hash(Login(username="user", password="password")) == (
        "a55436fc140d516560d072c5fe8700385ce9f41629abf65c1edcbcb39fac691d"
    )
    assert login_hash(Login(username="a<b")) != login_hash(Login(username="a&b"))


async def test_the_pods_secrets_come_before_the_nodes_files(tmp_path: Path) -> None:
    clock = FakeClock()
    files = NodeFiles([tmp_path / "none.json", tmp_path / "config.json"], [tmp_path / ".dockercfg"], clock=clock)
    (tmp_path / ".dockercfg").write_text(json.dumps({"reg.example": {"auth": auth("old")}}))
    credentials = RegistryCredentials(files)

    async def tried(*secrets: Object) -> list[str]:
        found = await credentials.of("reg.example/app:1", {"spec": {}}, secrets)
        return [one.login.username for one in found]

    assert await tried(pull_secret({"reg.example": "pods"})) == ["pods", "old"]
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"reg.example": {"auth": auth("new")}}}))
    assert await tried() == ["old"]
    await clock.advance(300)
    assert await tried() == ["new"], "files are read again after five minutes"
