"""Docker's credential files, ``config.json`` and the older ``.dockercfg``: in pull secrets and on the node."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from steersman.aio.clock import Clock
from steersman.kubelet.registry_credentials.keyring import DockerConfig, Keyring, Login, Source
from steersman.meta import objects

NODE_FILES_S: Final = 300.0
"""How long what the node's files say is good."""
_SECRETS: Final = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}
log = logging.getLogger(__name__)
T = TypeVar("T")


class InvalidDockerConfig(ValueError):
    """It cannot be read; the message does not quote it."""


class _Entry(msgspec.Struct):
    username: str = ""
    password: str = ""
    email: str = ""
    auth: str = ""


class _ConfigJSON(msgspec.Struct):
    auths: dict[str, _Entry] | None = None


def parse_config_json(data: bytes) -> DockerConfig:
    """The ``auths`` of a ``config.json``. Raises ``InvalidDockerConfig``."""
    return _logins(_decode(data, _ConfigJSON).auths or {})


def parse_dockercfg(data: bytes) -> DockerConfig:
    """Raises ``InvalidDockerConfig``."""
    return _logins(_decode(data, dict[str, _Entry]))


def keyring_of_secrets(secrets: Iterable[Mapping[str, Any]]) -> Keyring:
    """Of the pull secrets among ``secrets``. Raises ``InvalidDockerConfig`` where one cannot be read."""
    keyring = Keyring()
    for secret in secrets:
        field = _SECRETS.get(str(secret.get("type")))
        encoded = (secret.get("data") or {}).get(field) if field else None
        if not encoded:
            continue
        data = base64.b64decode(encoded)
        config = parse_config_json(data) if field == ".dockerconfigjson" else parse_dockercfg(data)
        source = Source(
            kind="Secret",
            uid=objects.uid(secret),
            namespace=objects.namespace(secret),
            name=objects.name(secret),
        )
        keyring.add(config, source)
    return keyring


class NodeFiles:
    """The credentials that an administrator put on the node: the first ``config.json`` there is, else the first
    ``.dockercfg``. Read again every five minutes."""

    def __init__(self, config_json: Sequence[Path], dockercfg: Sequence[Path], *, clock: Clock) -> None:
        self._clock = clock
        self._config_json = tuple(config_json)
        self._dockercfg = tuple(dockercfg)
        self._keyring = Keyring()
        self._good_until_s = 0.0

    def keyring(self) -> Keyring:
        now_s = self._clock.monotonic()
        if now_s >= self._good_until_s:
            self._keyring, self._good_until_s = self._read(), now_s + NODE_FILES_S
        return self._keyring

    def _read(self) -> Keyring:
        keyring = Keyring()
        for paths, parse in ((self._config_json, parse_config_json), (self._dockercfg, parse_dockercfg)):
            for path in paths:
                try:
                    keyring.add(parse(path.read_bytes()))
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except (OSError, InvalidDockerConfig) as error:
                    log.warning("%s cannot be read: %s", path, error)
                    continue
                return keyring
        return keyring


def node_files(root_dir: Path, *, working_dir: Path, home: Path, clock: Clock) -> NodeFiles:
    """Where upstream's kubelet looks."""
    return NodeFiles(
        [folder / "config.json" for folder in (root_dir, working_dir, home / ".docker", Path("/.docker"))],
        [folder / ".dockercfg" for folder in (root_dir, working_dir, home, Path("/"))],
        clock=clock,
    )


def _decode(data: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidDockerConfig(f"invalid docker configuration: {error}") from error


def _logins(entries: Mapping[str, _Entry]) -> dict[str, Login]:
    return {location: _login(entry) for location, entry in entries.items()}


def _login(entry: _Entry) -> Login:
    if not entry.auth:
        return Login(username=entry.username, password=entry.password, email=entry.email)
    encoded = entry.auth
    try:
        padded = encoded if encoded.strip().endswith("=") else encoded + "=" * (-len(encoded) % 4)
        decoded = base64.b64decode(padded.replace("\n", "").replace("\r", ""), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidDockerConfig("illegal base64 data in an auth field") from error
    username, colon, password = decoded.partition(":")
    if not colon:
        raise InvalidDockerConfig("unable to parse auth field, must be formatted as base64(username:password)")
    return Login(username=username, password=password, email=entry.email)
