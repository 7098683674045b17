"""Credentials from plugins: asked for when an image matches, remembered for as long as the plugin says."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.client.transport import Unreachable
from steersman.kubelet.configuration import ConfigurationError
from steersman.kubelet.object_source import ObjectSource
from steersman.kubelet.registry_credentials.exec_plugin import Answer, ExecPlugin, Plugin, PluginFailed, Request
from steersman.kubelet.registry_credentials.keyring import DockerConfig, Keyring, Source, matches
from steersman.kubelet.registry_credentials.provider_config import ProviderConfig, ProvidersConfig
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.resources import SERVICEACCOUNTS

PURGE_S: Final = 900.0
MAX_REMEMBERED: Final = 1000
"""Answers of one plugin; beyond that the oldest is forgotten and asked for again."""
TOKEN_LIFE_S: Final = 3600
log = logging.getLogger(__name__)


class Tokens(Protocol):
    async def token(self, pod: Mapping[str, Any], *, audience: str, expiration_s: int, account_uid: str = "") -> str:
        """Raises ``APIError`` or ``Unreachable``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """The service account that a plugin is asked on behalf of."""

    source: Source
    annotations: Mapping[str, str]
    token: str = field(repr=False)

    @property
    def token_hash(self) -> str:
        return hashlib.sha256(self.token.encode()).hexdigest()


class _Remembered(Struct, frozen=True):
    logins: DockerConfig
    until_s: float


class Provider:
    """One plugin. Questions for the same image at the same time are asked once."""

    def __init__(
        self,
        config: ProviderConfig,
        plugin: Plugin,
        *,
        source: ObjectSource,
        tokens: Tokens | None,
        clock: Clock,
    ) -> None:
        """``source`` and ``tokens`` are for service accounts; ``tokens`` is None where there are none to be had."""
        self._config = config
        self._plugin = plugin
        self._source = source
        self._tokens = tokens
        self._clock = clock
        self._remembered: dict[tuple[Any, ...], _Remembered] = {}
        self._purged_s = clock.monotonic()
        self._asking: dict[tuple[Any, ...], asyncio.Future[Answer | PluginFailed | None]] = {}

    async def provide(self, repository: str, pod: Mapping[str, Any]) -> tuple[DockerConfig, Source | None]:
        """Its credentials for the image, and whose they are. Raises ``PluginFailed``, ``APIError``, ``Unreachable``."""
        if not any(matches(pattern, repository) for pattern in self._config.match_images):
            return {}, None
        account = None
        if self._config.token is not None:
            name = pod["spec"].get("serviceAccountName") or ""
            if not name and self._config.token.requires_account:
                return {}, None
            if name:
                account = await self._account(pod, name)
                if account is None:
                    return {}, None
        source = account.source if account is not None else None
        mine = self._account_key(account)
        known = self._recall(repository, mine)
        if known is not None:
            return known, source
        answer = await self._ask_once(repository, account)
        self._check_echo(answer, account)
        self._remember(repository, mine, answer)
        return answer.logins, source

    async def _account(self, pod: Mapping[str, Any], name: str) -> _Account | None:
        """None where the account lacks an annotation that opts it in."""
        wants = self._config.token
        assert wants is not None
        if self._tokens is None:
            raise PluginFailed("failed to get service account token: this node has no tokens")
        namespace = objects.namespace(pod)
        found = await self._source.get(SERVICEACCOUNTS, namespace, name)
        annotations = objects.annotations(found)
        if any(key not in annotations for key in wants.required_annotations):
            return None
        uid = objects.uid(found)
        token = await self._tokens.token(
            pod, audience=wants.audience, expiration_s=TOKEN_LIFE_S, account_uid=uid
        )  # fmt: skip
        keys = (*wants.required_annotations, *wants.optional_annotations)
        return _Account(
            source=Source(kind="ServiceAccount", uid=uid, namespace=namespace, name=name),
            annotations={key: annotations[key] for key in keys if key in annotations},
            token=token,
        )

    def _account_key(self, account: _Account | None) -> tuple[Any, ...]:
        if account is None or self._config.token is None:
            return ()
        annotations = tuple(sorted(account.annotations.items()))
        by_token = (account.token_hash,) if self._config.token.cache_type == "Token" else ()
        return (account.source, annotations, *by_token)

    def _recall(self, repository: str, mine: tuple[Any, ...]) -> DockerConfig | None:
        now_s = self._clock.monotonic()
        if now_s > self._purged_s + PURGE_S:
            self._remembered = {key: entry for key, entry in self._remembered.items() if entry.until_s > now_s}
            self._purged_s = now_s
        for place in (repository, repository.partition("/")[0], None):
            entry = self._remembered.get((place, mine))
            if entry is not None and now_s <= entry.until_s:
                return entry.logins
        return None

    def _remember(self, repository: str, mine: tuple[Any, ...], answer: Answer) -> None:
        lasts_s = self._config.default_cache_s if answer.cache_s is None else answer.cache_s
        if lasts_s == 0:
            return
        place = {"Image": repository, "Registry": repository.partition("/")[0], "Global": None}[answer.cache_key_type]
        self._remembered.pop((place, mine), None)
        self._remembered[place, mine] = _Remembered(answer.logins, self._clock.monotonic() + lasts_s)
        if len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    async def _ask_once(self, repository: str, account: _Account | None) -> Answer:
        """Whoever asks first runs the plugin; those who come meanwhile get its answer."""
        request = Request(
            image=repository,
            token=account.token if account is not None else "",
            annotations=account.annotations if account is not None else {},
        )
        key = (repository, request.token, tuple(sorted(request.annotations.items())))
        answer: Answer | PluginFailed | None = None
        while answer is None:
            running = self._asking.get(key)
            answer = await (self._run(key, request) if running is None else asyncio.shield(running))
        if isinstance(answer, PluginFailed):
            raise answer
        return answer

    async def _run(self, key: tuple[Any, ...], request: Request) -> Answer | PluginFailed:
        future = self._asking[key] = asyncio.get_running_loop().create_future()
        answer: Answer | PluginFailed | None = None
        try:
            answer = await self._plugin.ask(request)
        except PluginFailed as error:
            answer = error
        finally:  # None when this task was cancelled: then another one runs the plugin
            del self._asking[key]
            future.set_result(answer)
        return answer

    def _check_echo(self, answer: Answer, account: _Account | None) -> None:
        if account is None or self._config.token is None or self._config.token.cache_type == "Token":
            return
        if any(login.password == account.token for login in answer.logins.values()):
            raise PluginFailed(
                "credential provider plugin returned the service account token as the password which is not allowed"
                " when service account cache type is not set to 'Token'"
            )

    @property
    def name(self) -> str:
        return self._config.name


class Providers:
    """All plugins, in the order of the configuration."""

    def __init__(self, providers: Sequence[Provider] = ()) -> None:
        self._providers = tuple(providers)

    async def keyring(self, repository: str, pod: Mapping[str, Any]) -> Keyring:
        """What they know about the image. A plugin that fails is logged, and the pull goes on without it."""
        keyring = Keyring()
        for provider in self._providers:
            try:
                logins, source = await provider.provide(repository, pod)
            except (PluginFailed, APIError, Unreachable) as error:
                log.error("failed to provide credentials for image %s by %s: %s", repository, provider.name, error)
                continue
            keyring.add(logins, source)
        return keyring


Observe = Callable[[str, float, bool], None]
"""A plugin ran: its name, seconds, whether it failed."""


def exec_providers(
    config: ProvidersConfig,
    bin_dir: Path,
    *,
    environ: Mapping[str, str],
    source: ObjectSource,
    tokens: Tokens | None,
    clock: Clock,
    observe: Observe = lambda name, seconds, failed: None,
) -> Providers:
    """Raises ``ConfigurationError`` where a plugin's program is not there."""
    if not bin_dir.exists():
        raise ConfigurationError(f"plugin binary directory {bin_dir} did not exist")
    providers = []
    for entry in config.providers:
        if not entry.name or shutil.which(bin_dir / entry.name) is None:
            raise ConfigurationError(f"plugin binary executable {bin_dir / entry.name} did not exist")

        def observed(seconds: float, failed: bool, name: str = entry.name) -> None:
            observe(name, seconds, failed)

        plugin = ExecPlugin(entry, bin_dir, environ=environ, clock=clock, observe=observed)
        providers.append(Provider(entry, plugin, source=source, tokens=tokens, clock=clock))
    return Providers(providers)
