"""``CredentialProviderConfig``: which plugins give credentials for which images.

Source: "Kubelet CredentialProvider (v1)" in the configuration reference; v1beta1 and v1alpha1 have the same fields but
``tokenAttributes``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct, field

from steersman.kubelet.configuration import ConfigurationError
from steersman.kubelet.registry_credentials.keyring import check_location
from steersman.meta.durations import parse_duration
from steersman.meta.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from steersman.meta.names import label_key_errors

KIND: Final = "CredentialProviderConfig"
CONFIG_VERSIONS: Final = tuple(f"kubelet.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
API_GROUP: Final = "credentialprovider.kubelet.k8s.io"
PLUGIN_VERSIONS: Final = tuple(f"{API_GROUP}/{version}" for version in ("v1", "v1alpha1", "v1beta1"))
CACHE_TYPES: Final = ("ServiceAccount", "Token")
_SUFFIXES: Final = (".json", ".yaml", ".yml")
_PROVIDER_FIELDS: Final = {
    "name": str, "matchImages": list, "defaultCacheDuration": str, "apiVersion": str, "args": list, "env": list,
    "tokenAttributes": dict,
}  # fmt: skip
_TOKEN_FIELDS: Final = {
    "serviceAccountTokenAudience": str, "cacheType": str, "requireServiceAccount": bool,
    "requiredServiceAccountAnnotationKeys": list, "optionalServiceAccountAnnotationKeys": list,
}  # fmt: skip


class TokenAttributes(Struct, frozen=True, kw_only=True):
    """The pod's service account speaks for it: a token of it goes to the plugin."""

    audience: str
    cache_type: Literal["ServiceAccount", "Token"]
    requires_account: bool
    required_annotations: tuple[str, ...] = ()
    optional_annotations: tuple[str, ...] = ()


class ProviderConfig(Struct, frozen=True, kw_only=True):
    """One plugin."""

    name: str
    """Of the program in the plugins' folder."""
    match_images: tuple[str, ...]
    default_cache_s: float
    api_version: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    token: TokenAttributes | None = None


class ProvidersConfig(Struct, frozen=True, kw_only=True):
    providers: tuple[ProviderConfig, ...]
    hash: str
    """Of the files, as ``kubelet_credential_provider_config_info`` shows it."""


def load_providers(path: Path) -> ProvidersConfig:
    """The file at ``path``, or all of a folder's in the order of their names. Raises ``ConfigurationError``."""
    hasher = hashlib.sha256()
    entries: list[Mapping[str, Any]] = []
    for file in _files(path):
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"unable to read file {str(file)!r}: {error}") from error
        hasher.update(len(data).to_bytes(8, "big"))
        hasher.update(data)
        entries += _decode(file, data)
    names = [entry.get("name") for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f'duplicate provider name "{name}" found in configuration file(s)')
    problems = list(_problems(entries))
    if problems:
        listed = ", ".join(str(problem) for problem in problems)
        raise ConfigurationError(f"failed to validate credential provider config: [{listed}]")
    return ProvidersConfig(providers=tuple(_provider(entry) for entry in entries), hash=f"sha256:{hasher.hexdigest()}")


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            path.stat()
            return [path]
        found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and not file.is_dir())
    except OSError as error:
        raise ConfigurationError(f"unable to access path {str(path)!r}: {error}") from error
    if not found:
        raise ConfigurationError(f"no configuration files found in directory {str(path)!r}")
    return found


def _decode(file: Path, data: bytes) -> list[Mapping[str, Any]]:
    import yaml

    def refused(why: object) -> ConfigurationError:
        return ConfigurationError(f"error decoding config {str(file)!r}: {why}")

    try:
        document = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise refused(error) from error
    if not isinstance(document, dict):
        raise refused("it holds no object")
    if document.get("kind") != KIND:
        raise refused(f"failed to decode {str(document.get('kind') or '')!r} (wrong Kind)")
    if document.get("apiVersion") not in CONFIG_VERSIONS:
        raise refused(f"no kind {KIND!r} is registered for version {str(document.get('apiVersion') or '')!r}")
    unknown = sorted(set(document) - {"kind", "apiVersion", "providers"})
    providers = document.get("providers") or []
    if not isinstance(providers, list):
        raise refused("providers is no list")
    token = document["apiVersion"] == CONFIG_VERSIONS[0]
    for index, entry in enumerate(providers):
        path = f"providers[{index}]"
        fields = _PROVIDER_FIELDS if token else {name: _PROVIDER_FIELDS[name] for name in list(_PROVIDER_FIELDS)[:-1]}
        unknown += _check(entry, fields, path, refused)
        unknown += _check(entry.get("tokenAttributes") or {}, _TOKEN_FIELDS, f"{path}.tokenAttributes", refused)
        for number, variable in enumerate(entry.get("env") or ()):
            unknown += _check(variable, {"name": str, "value": str}, f"{path}.env[{number}]", refused)
    if unknown:
        raise refused(f"unknown fields: {', '.join(unknown)}")
    return providers


def _check(value: Any, fields: Mapping[str, type], path: str, refused: Any) -> list[str]:
    """The unknown fields of ``value``. Raises what ``refused`` makes of a field of another type."""
    if not isinstance(value, dict):
        raise refused(f"{path} is no object")
    for name, type in fields.items():
        held = value.get(name)
        texts = held if type is list and name != "env" and isinstance(held, list) else ()
        if held is not None and (not isinstance(held, type) or not all(isinstance(text, str) for text in texts)):
            raise refused(f"{path}.{name}: {held!r} is not of the right type")
    return [f"{path}.{name}" for name in value if name not in fields]


def _problems(entries: list[Mapping[str, Any]]) -> Iterator[FieldError]:
    if not entries:
        yield required("providers", "at least 1 item in plugins is required")
    for entry in entries:
        name = entry.get("name") or ""
        for char, word in (("/", "'/'"), (" ", "spaces")):
            if char in name:
                yield invalid("providers.name", name, f"provider name cannot contain {word}")
        if name in (".", ".."):
            yield invalid("providers.name", name, f"provider name cannot be '{name}'")
        version = entry.get("apiVersion")
        if not version:
            yield required("providers.apiVersion")
        elif version not in PLUGIN_VERSIONS:
            yield not_supported("providers.apiVersion", version, PLUGIN_VERSIONS)
        if not entry.get("matchImages"):
            yield required("providers.matchImages", "at least 1 item in matchImages is required")
        for pattern in entry.get("matchImages") or ():
            try:
                check_location(pattern)
            except ValueError as error:
                yield invalid("providers.matchImages", pattern, f"match image is invalid: {error}")
        yield from _duration_problems(entry.get("defaultCacheDuration"))
        if entry.get("tokenAttributes") is not None:
            yield from _token_problems(entry["tokenAttributes"], version)


def _duration_problems(text: str | None) -> Iterator[FieldError]:
    path = "providers.defaultCacheDuration"
    if text is None:
        yield required(path)
        return
    try:
        if parse_duration(text) < 0:
            yield invalid(path, text, "must be greater than or equal to 0")
    except ValueError as error:
        yield invalid(path, text, str(error))


def _token_problems(given: Mapping[str, Any], version: str | None) -> Iterator[FieldError]:
    path = "providers.tokenAttributes"
    requires = given.get("requireServiceAccount")
    needed = given.get("requiredServiceAccountAnnotationKeys") or []
    welcome = given.get("optionalServiceAccountAnnotationKeys") or []
    if not given.get("serviceAccountTokenAudience"):
        yield required(f"{path}.serviceAccountTokenAudience")
    if requires is None:
        yield required(f"{path}.requireServiceAccount")
    if version != PLUGIN_VERSIONS[0]:
        yield forbidden(path, f"tokenAttributes is only supported for {PLUGIN_VERSIONS[0]} API version")
    if requires is False and needed:
        yield forbidden(
            f"{path}.requiredServiceAccountAnnotationKeys",
            "requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set",
        )
    for name, keys in (("required", needed), ("optional", welcome)):
        field_path = f"{path}.{name}ServiceAccountAnnotationKeys"
        for index, key in enumerate(keys):
            for text in label_key_errors(key.lower()):
                yield invalid(field_path, key, text)
            if key in keys[:index]:
                yield duplicate(field_path, key)
    both = sorted(set(needed) & set(welcome))
    if both:
        yield invalid(path, both, "annotation keys cannot be both required and optional")
    cache_type = given.get("cacheType")
    if not cache_type:
        yield required(
            f"{path}.cacheType",
            "cacheType is required to be set when tokenAttributes is specified. Supported values are:"
            f" {', '.join(CACHE_TYPES)}",
        )
    elif cache_type not in CACHE_TYPES:
        yield not_supported(f"{path}.cacheType", cache_type, CACHE_TYPES)


def _provider(entry: Mapping[str, Any]) -> ProviderConfig:
    token = entry.get("tokenAttributes")
    return ProviderConfig(
        name=entry.get("name") or "",
        match_images=tuple(entry["matchImages"]),
        default_cache_s=parse_duration(entry["defaultCacheDuration"]),
        api_version=entry["apiVersion"],
        args=tuple(entry.get("args") or ()),
        env={variable["name"]: variable.get("value") or "" for variable in entry.get("env") or ()},
        token=None
        if token is None
        else TokenAttributes(
            audience=token["serviceAccountTokenAudience"],
            cache_type=token["cacheType"],
            requires_account=token["requireServiceAccount"],
            required_annotations=tuple(token.get("requiredServiceAccountAnnotationKeys") or ()),
            optional_annotations=tuple(token.get("optionalServiceAccountAnnotationKeys") or ()),
        ),
    )
