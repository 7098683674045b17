"""CredentialProviderConfig documents: what is read, and what is refused in upstream's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from steersman.kubelet.configuration import ConfigurationError
from steersman.kubelet.registry_credentials.provider_config import ProviderConfig, TokenAttributes, load_providers

PROVIDER: dict[str, Any] = {
    "name": "ecr", "matchImages": ["*.example.com"], "defaultCacheDuration": "12h",
    "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
}  # fmt: skip
TOKEN: dict[str, Any] = {"serviceAccountTokenAudience": "reg", "cacheType": "Token", "requireServiceAccount": True}


def write(path: Path, *providers: dict[str, Any], version: str = "v1") -> Path:
    document = {"kind": "CredentialProviderConfig", "apiVersion": f"kubelet.config.k8s.io/{version}"}
    path.write_text(yaml.safe_dump({**document, "providers": list(providers)}))
    return path


def test_a_provider(tmp_path: Path) -> None:
    given = {**PROVIDER, "args": ["get"], "env": [{"name": "A", "value": "1"}], "tokenAttributes": TOKEN}
    loaded = load_providers(write(tmp_path / "config.yaml", given))
    assert loaded.providers == (
        ProviderConfig(
            name="ecr",
            match_images=("*.example.com",),
            default_cache_s=12 * 3600,
            api_version="credentialprovider.kubelet.k8s.io/v1",
            args=("get",),
            env={"A": "1"},
            token=TokenAttributes(audience="reg", cache_type="Token", requires_account=True),
        ),
    )
    assert loaded.hash.startswith("sha256:")


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_every_version_is_read(tmp_path: Path, version: str) -> None:
    assert load_providers(write(tmp_path / "config.json", PROVIDER, version=version)).providers[0].name == "ecr"


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no configuration files found in directory"):
        load_providers(tmp_path)
    write(tmp_path / "b.yaml", {**PROVIDER, "name": "b"})
    write(tmp_path / "a.json", {**PROVIDER, "name": "a"})
    write(tmp_path / "c.txt", {**PROVIDER, "name": "c"})
    assert [provider.name for provider in load_providers(tmp_path).providers] == ["a", "b"]
    write(tmp_path / "d.yml", {**PROVIDER, "name": "a"})
    with pytest.raises(ConfigurationError, match='duplicate provider name "a" found in configuration file'):
        load_providers(tmp_path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "a/b"}, """providers.name: Invalid value: "a/b": provider name cannot contain '/'"""),
        ({"name": ".."}, "provider name cannot be '..'"),
        ({"name": "a b"}, "provider name cannot contain spaces"),
        ({"apiVersion": ""}, "providers.apiVersion: Required value"),
        ({"apiVersion": "v2"}, 'providers.apiVersion: Unsupported value: "v2"'),
        ({"matchImages": []}, "providers.matchImages: Required value: at least 1 item in matchImages is required"),
        ({"matchImages": ["a:x"]}, "providers.matchImages: Invalid value"),
        ({"defaultCacheDuration": None}, "providers.defaultCacheDuration: Required value"),
        ({"defaultCacheDuration": "-1s"}, "must be greater than or equal to 0"),
        ({"surprise": 1}, "unknown fields: providers[0].surprise"),
        ({"tokenAttributes": {**TOKEN, "cacheType": "Pod"}}, "providers.tokenAttributes.cacheType: Unsupported value"),
        ({"tokenAttributes": {}}, "providers.tokenAttributes.serviceAccountTokenAudience: Required value"),
        ({"tokenAttributes": {**TOKEN, "requiredServiceAccountAnnotationKeys": ["a", "a"]}}, "Duplicate value"),
        (
            {"tokenAttributes": {**TOKEN, "requireServiceAccount": False,
                                 "requiredServiceAccountAnnotationKeys": ["a"]}},
            "requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set",
        ),
        (
            {"tokenAttributes": {**TOKEN, "requiredServiceAccountAnnotationKeys": ["a"],
                                 "optionalServiceAccountAnnotationKeys": ["a"]}},
            "annotation keys cannot be both required and optional",
        ),
        (
            {"tokenAttributes": TOKEN, "apiVersion": "credentialprovider.kubelet.k8s.io/v1beta1"},
            "tokenAttributes is only supported for credentialprovider.kubelet.k8s.io/v1 API version",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    given = {name: value for name, value in {**PROVIDER, **changes}.items() if value is not None}
    with pytest.raises(ConfigurationError) as refused:
        load_providers(write(tmp_path / "config.yaml", given))
    assert text in str(refused.value)


def test_other_documents_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for text, why in (
        ("kind: Pod", "wrong Kind"), ("[]", "no object"), ("{", "error decoding"),
        ("kind: CredentialProviderConfig\napiVersion: v1", "no kind"),
        ("kind: CredentialProviderConfig\napiVersion: kubelet.config.k8s.io/v1", "at least 1 item in plugins"),
    ):  # fmt: skip
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=why):
            load_providers(file)
    with pytest.raises(ConfigurationError, match="unable to access path"):
        load_providers(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="tokenAttributes"):
        load_providers(write(file, {**PROVIDER, "tokenAttributes": TOKEN}, version="v1beta1"))
