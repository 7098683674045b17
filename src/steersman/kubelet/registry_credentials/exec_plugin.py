"""A credential provider plugin: a program that is told an image on its input and answers with credentials on its output.

Source: "Kubelet credential provider plugins", ``CredentialProviderRequest`` and ``CredentialProviderResponse``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from steersman.aio.clock import Clock
from steersman.kubelet.registry_credentials.keyring import Login
from steersman.kubelet.registry_credentials.provider_config import ProviderConfig
from steersman.meta.durations import parse_duration

TIMEOUT_S: Final = 60.0
"""Upstream's, for every plugin: room for a retry, and an end to what hangs."""
CLOSE_S: Final = 1.0
MAX_OUTPUT_BYTES: Final = 1024 * 1024
CACHE_KEY_TYPES: Final = ("Image", "Registry", "Global")
RESPONSE: Final = "CredentialProviderResponse"


class PluginFailed(Exception):
    """It gave no answer that can be used. The message never quotes its output, which may hold credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the plugin is told."""

    image: str
    """Registry and repository, without tag or digest."""
    token: str = field(default="", repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the service account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    logins: Mapping[str, Login] = field(repr=False)
    cache_key_type: str
    cache_s: float | None
    """None: the plugin leaves it to the configuration."""


class Plugin(Protocol):
    async def ask(self, request: Request) -> Answer:
        """Raises ``PluginFailed``."""


class ExecPlugin:
    """Starts the program anew for every question."""

    def __init__(
        self,
        config: ProviderConfig,
        bin_dir: Path,
        *,
        environ: Mapping[str, str],
        clock: Clock,
        observe: Callable[[float, bool], None] = lambda seconds, failed: None,
    ) -> None:
        """``environ``: the kubelet's own, which the configuration's variables are laid over. ``observe`` is told how
        long the program ran and whether it failed."""
        self._config = config
        self._program = bin_dir / config.name
        self._environ = {**environ, **config.env}
        self._clock = clock
        self._observe = observe

    async def ask(self, request: Request) -> Answer:
        return parse_answer(await self._run(request), api_version=self._config.api_version)

    async def _run(self, request: Request) -> bytes:
        what = f"error execing credential provider plugin {self._config.name} for image {request.image}"
        began_s = self._clock.monotonic()
        failed = True
        try:
            output, errors, status = await self._clock.wait_for(self._converse(request), TIMEOUT_S)
            if status != 0:
                ended = f"exit status {status}" if status > 0 else f"signal {-status}"
                raise PluginFailed(f"{what}: {ended}: {errors.decode(errors='replace')}")
            failed = False
            return output
        except TimeoutError as error:
            raise PluginFailed(f"{what}: context deadline exceeded") from error
        except (OSError, _TooMuch) as error:
            raise PluginFailed(f"{what}: {error}") from error
        finally:
            self._observe(self._clock.monotonic() - began_s, failed)

    async def _converse(self, request: Request) -> tuple[bytes, bytes, int]:
        process = await asyncio.create_subprocess_exec(
            self._program, *self._config.args,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self._environ, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        try:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(encode_request(request, self._config.api_version))
                await process.stdin.drain()
            process.stdin.close()
            output, errors = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            return output, errors, await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await _close(process)


class _TooMuch(Exception):
    def __init__(self) -> None:
        super().__init__(f"it writes more than {MAX_OUTPUT_BYTES} bytes")


async def _read(stream: asyncio.StreamReader) -> bytes:
    """To its end. Raises ``_TooMuch``."""
    found = bytearray()
    while chunk := await stream.read(65536):
        found += chunk
        if len(found) > MAX_OUTPUT_BYTES:
            raise _TooMuch
    return bytes(found)


async def _close(process: asyncio.subprocess.Process) -> None:
    """Reap a killed process. Its pipes have to be read to their ends for that; what ran away from its session may hold
    them open, and is not waited for."""

    async def finish() -> None:
        for stream in (process.stdout, process.stderr):
            while stream is not None and await stream.read(65536):
                pass
        await process.wait()

    await asyncio.wait({asyncio.ensure_future(finish())}, timeout=CLOSE_S)


def encode_request(request: Request, api_version: str) -> bytes:
    document: dict[str, Any] = {
        "kind": "CredentialProviderRequest", "apiVersion": api_version, "image": request.image
    }  # fmt: skip
    if request.token:
        document["serviceAccountToken"] = request.token
    if request.annotations:
        document["serviceAccountAnnotations"] = dict(request.annotations)
    return msgspec.json.encode(document)


def parse_answer(data: bytes, *, api_version: str) -> Answer:
    """Raises ``PluginFailed``."""
    undecodable = "error decoding credential provider plugin response from stdout"
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PluginFailed(undecodable) from error
    version = document.get("apiVersion")
    if version != api_version:
        raise PluginFailed(
            f"apiVersion from credential plugin response did not match expected apiVersion:{api_version}, actual"
            f" apiVersion:{version or ''}"
        )
    try:
        answer = msgspec.convert(document, _Response)
        cache_s = None if answer.cacheDuration is None else parse_duration(answer.cacheDuration)
    except (msgspec.ValidationError, ValueError) as error:
        raise PluginFailed(undecodable) from error
    if answer.kind != RESPONSE:
        raise PluginFailed(undecodable)
    if answer.cacheKeyType not in CACHE_KEY_TYPES:
        raise PluginFailed(f"credential provider plugin did not return a valid cacheKeyType: {answer.cacheKeyType}")
    logins = {
        place: Login(username=entry.username, password=entry.password) for place, entry in (answer.auth or {}).items()
    }
    return Answer(logins=logins, cache_key_type=answer.cacheKeyType, cache_s=cache_s)


class _Auth(msgspec.Struct, forbid_unknown_fields=True):
    username: str = ""
    password: str = ""


class _Response(msgspec.Struct, forbid_unknown_fields=True):
    """Strict, as upstream's decoder is."""

    kind: str
    apiVersion: str
    cacheKeyType: str = ""
    cacheDuration: str | None = None
    auth: dict[str, _Auth] | None = None
