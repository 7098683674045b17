"""Images for containers: present or pulled by policy, with upstream's back-off, reasons and events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from steersman.aio.clock import Clock
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.image_credentials import credentials_for
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.runtimes.api import ImagePullError, ImageService, RuntimeServiceError
from steersman.kubelet.runtimes.images import AuthConfig, Image, ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig
from steersman.meta import objects

FIRST_DELAY_S, LONGEST_DELAY_S = 10.0, 300.0
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])"
_REFERENCE = re.compile(
    rf"(?:{_HOST}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*(:[\w][\w.-]{{0,127}})?"
    r"(@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)

Announce = Callable[[Literal["Normal", "Warning"], str, str], None]
"""Records an event about the container: type, reason, message."""


class CannotStart(Exception):
    """The container cannot be started now; ``failure`` is its Waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.failure = StartFailure(reason=reason, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImage:
    """An image that is on the node."""

    ref: str
    """To create containers with."""
    image: Image | None


@dataclass(slots=True)
class _PullBackoff:
    delay_s: float
    failed_at_s: float
    error: str


class ImageManager:
    """At most ``parallel`` pulls run at once; the others wait their turn in order."""

    def __init__(self, images: ImageService, *, clock: Clock, parallel: int = 1) -> None:
        self._images = images
        self._clock = clock
        self._turn = asyncio.Semaphore(parallel)
        self._backoff: dict[tuple[str, str], _PullBackoff] = {}

    async def ensure(
        self,
        pod: Mapping[str, Any],
        container: PodContainer,
        *,
        secrets: Sequence[Mapping[str, Any]],
        sandbox: PodSandboxConfig,
        runtime_handler: str,
        announce: Announce,
    ) -> LocalImage:
        """The container's image, pulled if its policy says so. Raises ``CannotStart``."""
        return await self.ensure_image(
            pod,
            str(container.spec["image"]),
            container.spec.get("imagePullPolicy"),
            secrets=secrets,
            sandbox=sandbox,
            runtime_handler=runtime_handler,
            announce=announce,
        )

    async def ensure_image(
        self,
        pod: Mapping[str, Any],
        requested: str,
        policy: str | None,
        *,
        secrets: Sequence[Mapping[str, Any]],
        sandbox: PodSandboxConfig,
        runtime_handler: str,
        announce: Announce,
    ) -> LocalImage:
        """As ``ensure``, for an image by its name. ``policy``: None for the default one."""
        image = with_default_tag(requested)
        if image is None:
            message = f'Failed to apply default image tag "{requested}": couldn\'t parse image name "{requested}":' \
                " invalid reference format"  # fmt: skip
            announce("Warning", "InspectFailed", message)
            raise CannotStart("InvalidImageName", message)
        policy = policy or _default_policy(image)
        spec = ImageSpec(image=image, annotations=dict(objects.annotations(pod)), runtime_handler=runtime_handler)
        if policy != "Always":
            found = await self._inspect(spec, announce)
            if found is not None:
                message = f'Container image "{requested}" already present on machine and can be accessed by the pod'
                announce("Normal", "Pulled", message)
                return LocalImage(ref=found.id, image=found)
            if policy == "Never":
                message = f'Container image "{requested}" is not present with pull policy of Never'
                announce("Warning", "ErrImageNeverPull", message)
                raise CannotStart("ErrImageNeverPull", message)
        ref = await self._pull((objects.uid(pod), image), requested, spec, secrets, sandbox, announce)
        found = await self._inspect(spec, announce)
        return LocalImage(ref=ref, image=found)

    def forget(self, uid: str) -> None:
        """The pod is over."""
        for key in [key for key in self._backoff if key[0] == uid]:
            del self._backoff[key]

    async def _inspect(self, spec: ImageSpec, announce: Announce) -> Image | None:
        try:
            return await self._images.image_status(spec)
        except RuntimeServiceError as error:
            message = f'Failed to inspect image "{spec.image}": {error}'
            announce("Warning", "InspectFailed", message)
            raise CannotStart("ImageInspectError", message) from error

    async def _pull(
        self,
        key: tuple[str, str],
        requested: str,
        spec: ImageSpec,
        secrets: Sequence[Mapping[str, Any]],
        sandbox: PodSandboxConfig,
        announce: Announce,
    ) -> str:
        backoff = self._backoff.get(key)
        if backoff is not None and self._clock.now() - backoff.failed_at_s < backoff.delay_s:
            message = f'Back-off pulling image "{requested}"'
            announce("Normal", "BackOff", message)
            raise CannotStart("ImagePullBackOff", f"{message}: {backoff.error}")
        announce("Normal", "Pulling", f'Pulling image "{requested}"')
        asked_s = self._clock.monotonic()
        async with self._turn:
            began_s = self._clock.monotonic()
            try:
                ref = await self._pull_with(spec, credentials_for(spec.image, secrets), sandbox)
            except RuntimeServiceError as error:
                raise self._failed(key, requested, error, announce) from error
        self._backoff.pop(key, None)
        ended_s = self._clock.monotonic()
        found = await self._inspect(spec, announce)
        announce(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{requested}" in {_milliseconds(ended_s - began_s)}'
            f" ({_milliseconds(ended_s - asked_s)} including waiting). Image size: "
            f"{0 if found is None else found.size_bytes} bytes.",
        )
        return ref

    async def _pull_with(self, spec: ImageSpec, auths: Sequence[AuthConfig], sandbox: PodSandboxConfig) -> str:
        """With each credential that matches until one works; without any where none matches."""
        candidates: Sequence[AuthConfig | None] = auths or [None]
        for auth in candidates[:-1]:
            try:
                return await self._images.pull_image(spec, auth=auth, sandbox_config=sandbox)
            except RuntimeServiceError:
                continue
        return await self._images.pull_image(spec, auth=candidates[-1], sandbox_config=sandbox)

    def _failed(
        self, key: tuple[str, str], requested: str, error: RuntimeServiceError, announce: Announce
    ) -> CannotStart:
        announce("Warning", "Failed", f'Failed to pull image "{requested}": {error}')
        reason = error.reason if isinstance(error, ImagePullError) else "ErrImagePull"
        message = str(error)
        if reason == "RegistryUnavailable":
            message = f"image pull failed for {requested} because the registry is unavailable: {error}"
        elif reason == "SignatureValidationFailed":
            message = f"image pull failed for {requested} because the signature validation failed: {error}"
        before = self._backoff.get(key)
        now_s = self._clock.now()
        if before is None or now_s - before.failed_at_s > 2 * LONGEST_DELAY_S:
            delay_s = FIRST_DELAY_S
        else:
            delay_s = min(before.delay_s * 2, LONGEST_DELAY_S)
        self._backoff[key] = _PullBackoff(delay_s, now_s, f"{reason}: {message}")
        return CannotStart(reason, message)


def with_default_tag(image: str) -> str | None:
    """``image`` with ``:latest`` where it has neither tag nor digest; None when it is no image reference."""
    match = _REFERENCE.fullmatch(image)
    if match is None:
        return None
    return image if match.group(1) or match.group(2) else f"{image}:latest"


def _default_policy(image: str) -> str:
    return "Always" if image.endswith(":latest") else "IfNotPresent"


def _milliseconds(seconds: float) -> str:
    """As Go prints a duration cut to milliseconds."""
    if seconds < 1:
        return f"{int(seconds * 1000)}ms" if seconds >= 0.001 else "0s"
    minutes, rest = divmod(int(seconds * 1000) / 1000, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
