"""Credentials for image registries from ``imagePullSecrets``: which of them apply to an image."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from steersman.kubelet.runtimes.images import AuthConfig
from steersman.meta import objects

DEFAULT_REGISTRY = "index.docker.io"
_FILES = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
log = logging.getLogger(__name__)


def repository_of(image: str) -> str:
    """``registry/path`` of an image reference, with the default registry and ``library/`` where it names none."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    name = f"{head}{slash}{last.partition(':')[0]}"
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return f"{DEFAULT_REGISTRY}/{rest}" if first == "docker.io" else name
    return f"{DEFAULT_REGISTRY}/{name if slash else f'library/{name}'}"


def credentials_for(image: str, secrets: Iterable[Mapping[str, Any]]) -> list[AuthConfig]:
    """Those that match the image's repository, the most specific first."""
    repository = repository_of(image)
    matching = [
        (pattern, auth) for secret in secrets for pattern, auth in _entries(secret) if _matches(pattern, repository)
    ]
    return [auth for _, auth in sorted(matching, key=lambda entry: len(entry[0]), reverse=True)]


def _entries(secret: Mapping[str, Any]) -> Iterator[tuple[str, AuthConfig]]:
    file = _FILES.get(str(secret.get("type")))
    encoded = (secret.get("data") or {}).get(file) if file else None
    if encoded is None:
        return
    try:
        decoded = msgspec.json.decode(base64.b64decode(encoded))
        auths = decoded.get("auths") or {} if file == ".dockerconfigjson" else decoded
        for registry, entry in auths.items():
            yield _pattern(registry), _auth(registry, entry)
    except (msgspec.DecodeError, binascii.Error, AttributeError, ValueError) as error:
        log.warning("pull secret %s cannot be read: %s", objects.key_of(secret), error)


def _pattern(registry: str) -> str:
    for prefix in ("https://", "http://"):
        registry = registry.removeprefix(prefix)
    host, slash, path = registry.partition("/")
    if path.rstrip("/") in ("v1", "v2"):
        slash, path = "", ""
    host = DEFAULT_REGISTRY if host == "docker.io" else host
    return f"{host}{slash}{path}".rstrip("/")


def _auth(registry: str, entry: Mapping[str, Any]) -> AuthConfig:
    username, password = entry.get("username") or "", entry.get("password") or ""
    if entry.get("auth") and not username:
        username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return AuthConfig(
        username=username,
        password=password,
        server_address=registry,
        identity_token=entry.get("identitytoken") or "",
        registry_token=entry.get("registrytoken") or "",
    )


def _matches(pattern: str, repository: str) -> bool:
    """Host by host part (``*`` stands for one), path by prefix."""
    host, _, path = pattern.partition("/")
    own_host, _, own_path = repository.partition("/")
    parts, own_parts = host.split("."), own_host.split(".")
    if len(parts) != len(own_parts) or not all(
        fnmatch.fnmatchcase(own, part) for part, own in zip(parts, own_parts, strict=True)
    ):
        return False
    return not path or own_path == path or own_path.startswith(f"{path}/")
