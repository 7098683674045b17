"""Credentials by registry: which of them apply to an image, and in which order they are tried.

Source: the documentation's "Images" (interpretation of ``config.json``) and "Kubelet credential provider".
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

DEFAULT_REGISTRY_KEY: Final = "index.docker.io"
"""What Docker Hub's credentials are filed under, though its images are called ``docker.io/…``."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a registry is told."""

    username: str = ""
    password: str = field(default="", repr=False)
    email: str = ""


DockerConfig = Mapping[str, Login]
"""By location: a registry, optionally with wildcards in the host's parts, a port, a path."""


class Source(Struct, frozen=True, kw_only=True):
    """The API object that credentials belong to."""

    kind: Literal["Secret", "ServiceAccount"]
    uid: str
    namespace: str
    name: str


class Credential(Struct, frozen=True, kw_only=True):
    login: Login
    source: Source | None = None
    """None: the node's, and so every pod's on it."""

    @property
    def hash(self) -> str:
        """Of the login, as pull records keep it."""
        return login_hash(self.login)


class _Location(Struct, frozen=True):
    host_parts: tuple[str, ...]
    port: str
    path: str


class Keyring:
    """Credentials by location. The longer location comes before the shorter one that it begins with, names before
    wildcards: the order is the reverse of the alphabet's, as upstream's."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Credential]] = {}

    def add(self, config: DockerConfig, source: Source | None = None) -> None:
        for location, login in config.items():
            try:
                key = _key(location)
            except ValueError as error:
                log.warning("credentials for %r are ignored: %s", location, error)
                continue
            self._entries.setdefault(key, []).append(Credential(login=login, source=source))

    def lookup(self, repository: str) -> list[Credential]:
        """Those for ``registry/repository``, in the order in which they are to be tried."""
        found = [
            credential
            for key in sorted(self._entries, reverse=True)
            if matches(key, repository)
            for credential in self._entries[key]
        ]
        if not found and _is_default_registry(repository):
            return list(self._entries.get(DEFAULT_REGISTRY_KEY, ()))
        return found


def union(repository: str, keyrings: Iterable[Keyring]) -> list[Credential]:
    """Of several keyrings, one after the other."""
    return [credential for keyring in keyrings for credential in keyring.lookup(repository)]


def matches(pattern: str, target: str) -> bool:
    """Whether ``pattern`` stands for ``target``: host part by host part (``*`` stands for characters of one part), the
    same port, and the pattern's path begins the target's."""
    try:
        wanted, given = _location(pattern), _location(target)
    except ValueError:
        return False
    return (
        wanted.port == given.port
        and len(wanted.host_parts) == len(given.host_parts)
        and given.path.startswith(wanted.path)
        and all(fnmatch.fnmatchcase(own, part) for part, own in zip(wanted.host_parts, given.host_parts, strict=True))
    )


def check_location(location: str) -> None:
    """Raises ``ValueError`` for what is no location of a registry."""
    _location(location)


@lru_cache(maxsize=1024)
def _location(location: str) -> _Location:
    parsed = urlsplit(f"https://{location}")
    if any(char <= " " or char == "\x7f" for char in location):
        raise ValueError("invalid character in host name")
    authority = parsed.netloc.rpartition("@")[2]
    port = parsed.port
    host = authority
    if port is not None:
        host = authority.rpartition(":")[0].removeprefix("[").removesuffix("]")
    elif authority.endswith(":"):
        host = authority[:-1]
    return _Location(tuple(host.split(".")), "" if port is None else str(port), unquote(parsed.path))


def _key(location: str) -> str:
    """What credentials that somebody wrote down for ``location`` are filed under: schemes and ``/v1/``, ``/v2/`` go."""
    value = location if location.startswith(("https://", "http://")) else f"https://{location}"
    bare = value.partition("://")[2]
    _location(bare)
    parsed = urlsplit(f"https://{bare}")
    host, path = parsed.netloc.rpartition("@")[2], unquote(parsed.path)
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return host if path in ("", "/") else f"{host}{path}"


def _is_default_registry(repository: str) -> bool:
    first, slash, _ = repository.partition("/")
    if not slash or first in ("docker.io", DEFAULT_REGISTRY_KEY):
        return bool(first)
    return bool(first) and not set(first) & set(".:")


def login_hash(login: Login) -> str:
    """SHA-256 of the login in JSON as Go writes it, so that pull records outlive a change of kubelets."""
    document = {
        name: value
        for name, value in (("username", login.username), ("password", login.password), ("email", login.email))
        if value
    }
    text = msgspec.json.encode(document).decode()
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return hashlib.sha256(text.encode()).hexdigest()
