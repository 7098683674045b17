"""Kubeconfigs: contexts, files beside them, and what is refused by name."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from steersman.client.kubeconfig import KubeConfig, KubeConfigError, in_cluster, load


def write(directory: Path, *, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "contexts": [
            {"name": "a", "context": {"cluster": "near", "user": "me"}},
            {"name": "b", "context": {"cluster": "far", "namespace": "team"}},
        ],
        "clusters": [
            {"name": "near", "cluster": {"server": "https://near:6443/", **(cluster or {})}},
            {"name": "far", "cluster": {"server": "http://far"}},
        ],
        "users": [{"name": "me", "user": {"token": "secret", **(user or {})}}],
    }
    path = directory / "config"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_current_context_unless_another_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert load(path) == KubeConfig(server="https://near:6443", token="secret")
    assert load(path, "b") == KubeConfig(server="http://far", namespace="team")
    assert load(path, "b").ssl_context() is None


def test_files_are_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    for name in ("ca", "crt", "key"):
        (tmp_path / "pki" / name).write_text(name)
    user = {"client-certificate": "pki/crt", "client-key": "pki/key", "tokenFile": "pki/token"}
    config = load(write(tmp_path, user=user, cluster={"certificate-authority": "pki/ca"}))
    assert (config.ca_pem, config.client_certificate_pem, config.client_key_pem) == (b"ca", b"crt", b"key")
    assert config.token_file == str(tmp_path / "pki" / "token")


def test_data_inside_wins_over_a_file(tmp_path: Path) -> None:
    inline = base64.b64encode(b"inside").decode()
    cluster = {"certificate-authority": "nowhere", "certificate-authority-data": inline}
    assert load(write(tmp_path, cluster=cluster)).ca_pem == b"inside"


@pytest.mark.parametrize("field", ["exec", "auth-provider", "username", "password", "as-uid", "as-user-extra"])
def test_credentials_that_are_not_supported_are_refused_by_name(tmp_path: Path, field: str) -> None:
    with pytest.raises(KubeConfigError, match=f"{field} is not supported"):
        load(write(tmp_path, user={field: {"some": "thing"}}))


def test_a_proxy_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(KubeConfigError, match="proxy-url is not supported"):
        load(write(tmp_path, cluster={"proxy-url": "http://proxy"}))


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({"client-certificate-data": "YQ=="}, "need each other"),
        ({"client-key": "nowhere"}, "client-key: .*No such file"),
        ({"client-key-data": "?"}, "client-key-data is not base64"),
    ],
)
def test_credentials_that_cannot_be_used_are_refused(tmp_path: Path, user: dict[str, Any], says: str) -> None:
    with pytest.raises(KubeConfigError, match=says):
        load(write(tmp_path, user=user))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeConfigError, match="no context named 'c'"):
        load(write(tmp_path), "c")
    with pytest.raises(KubeConfigError, match=r"cannot read kubeconfig .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(KubeConfigError, match="not in a cluster"):
        in_cluster({})


@pytest.mark.parametrize("text", ["- a list", "a: [", ""])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(KubeConfigError):
        load(path)
