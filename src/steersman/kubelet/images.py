"""Images for containers: present or pulled by policy, with upstream's back-off, reasons and events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.image_names import with_default_tag
from steersman.kubelet.image_puller import ImagePuller, Pulled, PullLimits
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.registry_credentials.docker_config import InvalidDockerConfig
from steersman.kubelet.registry_credentials.keyring import Credential
from steersman.kubelet.registry_credentials.lookup import RegistryCredentials
from steersman.kubelet.registry_credentials.pulled_images import PulledImages
from steersman.kubelet.runtimes.api import ImagePullError, ImageService, RuntimeServiceError
from steersman.kubelet.runtimes.images import Image, ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig
from steersman.meta import objects

FIRST_DELAY_S, LONGEST_DELAY_S = 10.0, 300.0
_PULL_REASONS = {
    "RegistryUnavailable": "registry is unavailable", "SignatureValidationFailed": "signature validation failed"
}  # fmt: skip

Announce = Callable[[Literal["Normal", "Warning"], str, str], None]
"""Records an event about the container: type, reason, message."""


class CannotStart(Exception):
    """The container cannot be started now; ``failure`` is its Waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.failure = StartFailure(reason=reason, message=message)


class LocalImage(Struct, frozen=True, kw_only=True):
    """An image that is on the node."""

    ref: str
    """To create containers with."""
    image: Image | None


class _PullBackoff(Struct):
    delay_s: float
    failed_at_s: float
    error: str


class _Wanted(Struct, frozen=True, kw_only=True):
    """One request for an image."""

    pod: Mapping[str, Any]
    requested: str
    """As the pod names it."""
    policy: str
    secrets: Sequence[Mapping[str, Any]]
    spec: ImageSpec
    sandbox: PodSandboxConfig
    announce: Announce


class _Tally(Struct):
    """What a request came to; None where it did not get that far."""

    present: bool | None = None
    pull: bool | None = None


class ImageObserver(Protocol):
    """Counts."""

    def image_ensured(self, policy: str, *, present: bool | None, pulled: bool | None) -> None: ...

    def image_pulled(self, uid: str, size_bytes: int, seconds: float) -> None:
        """For the pod of that uid, which has waited so long for it."""


class _Nobody:
    def image_ensured(self, policy: str, *, present: bool | None, pulled: bool | None) -> None:
        return None

    def image_pulled(self, uid: str, size_bytes: int, seconds: float) -> None:
        return None


class ImageManager:
    """Has images there for containers to be made from."""

    def __init__(
        self,
        images: ImageService,
        *,
        clock: Clock,
        limits: PullLimits | None = None,
        credentials: RegistryCredentials | None = None,
        pulled: PulledImages | None = None,
        observe: ImageObserver | None = None,
    ) -> None:
        """``pulled``: None where an image that is there is everybody's."""
        self._images = images
        self._clock = clock
        self._puller = ImagePuller(images, clock=clock, limits=limits or PullLimits())
        self._credentials = credentials or RegistryCredentials()
        self._pulled = pulled
        self._observe = observe or _Nobody()
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
        try:
            image = with_default_tag(requested)
        except ValueError as error:
            message = (
                f'Failed to apply default image tag "{requested}": couldn\'t parse image name "{requested}": {error}'
            )
            announce("Warning", "InspectFailed", message)
            raise CannotStart("InvalidImageName", message) from error
        policy = policy or _default_policy(image)
        wanted = _Wanted(
            pod=pod,
            requested=requested,
            policy=policy,
            secrets=secrets,
            spec=ImageSpec(image=image, annotations=dict(objects.annotations(pod)), runtime_handler=runtime_handler),
            sandbox=sandbox,
            announce=announce,
        )
        tally = _Tally()
        try:
            return await self._ensure(wanted, tally)
        finally:
            self._observe.image_ensured(policy, present=tally.present, pulled=tally.pull)

    async def _ensure(self, wanted: _Wanted, tally: _Tally) -> LocalImage:
        if wanted.policy != "Always":
            found = await self._inspect(wanted.spec, wanted.announce)
            tally.present = found is not None
            if found is not None and not await self._must_pull(wanted, found):
                tally.pull = False
                accessible = " and can be accessed by the pod" if self._pulled is not None else ""
                message = f'Container image "{wanted.requested}" already present on machine{accessible}'
                wanted.announce("Normal", "Pulled", message)
                return LocalImage(ref=found.id, image=found)
            tally.pull = None if found is None else True
            if wanted.policy == "Never":
                message = f'Container image "{wanted.requested}" is not present with pull policy of Never'
                wanted.announce("Warning", "ErrImageNeverPull", message)
                raise CannotStart("ErrImageNeverPull", message)
        tally.pull = True
        return await self._pull(wanted)

    def forget(self, uid: str) -> None:
        """The pod is over."""
        for key in [key for key in self._backoff if key[0] == uid]:
            del self._backoff[key]

    async def _inspect(self, spec: ImageSpec, announce: Announce) -> Image | None:
        try:
            return await self._images.image_status(spec)
        except RuntimeServiceError as error:
            message = f'Failed to inspect image "{spec.image}": {error.with_code}'
            announce("Warning", "InspectFailed", message)
            raise CannotStart("ImageInspectError", message) from error

    async def _must_pull(self, wanted: _Wanted, found: Image) -> bool:
        """The image is there; has the pod yet to prove that it may have it?"""
        if self._pulled is None:
            return False
        return await self._pulled.must_pull(wanted.requested, found.id, partial(self._credentials_for, wanted))

    async def _credentials_for(self, wanted: _Wanted) -> list[Credential]:
        """Raises ``CannotStart``."""
        try:
            return await self._credentials.of(wanted.spec.image, wanted.pod, wanted.secrets)
        except InvalidDockerConfig as error:
            raise CannotStart(str(error), str(error)) from error

    async def _pull(self, wanted: _Wanted) -> LocalImage:
        requested, announce = wanted.requested, wanted.announce
        key = (objects.uid(wanted.pod), requested)
        backoff = self._backoff.get(key)
        if backoff is not None and self._clock.now() - backoff.failed_at_s < backoff.delay_s:
            message = f'Back-off pulling image "{requested}"'
            announce("Normal", "BackOff", message)
            raise CannotStart("ImagePullBackOff", f"{message}: {backoff.error}")
        credentials = await self._credentials_for(wanted)
        if self._pulled is not None:
            try:
                await self._pulled.begin(requested)
            except OSError as error:
                text = f"failed to record image pull intent: {error}"
                message = f'Failed to record image pull intent for container image "{requested}": {text}'
                raise CannotStart(text, message) from error
        result: Pulled | None = None
        try:
            announce("Normal", "Pulling", f'Pulling image "{requested}"')
            result = await self._puller.pull(wanted.spec, credentials, wanted.sandbox)
        except RuntimeServiceError as error:
            raise self._failed(key, requested, error, announce) from error
        finally:
            if self._pulled is not None:
                ref, credential = (result.ref, result.credential) if result is not None else (None, None)
                await self._pulled.end(requested, ref, credential)
        self._backoff.pop(key, None)
        size_bytes = 0 if result.image is None else result.image.size_bytes
        total_s = result.took_s + result.waited_s
        self._observe.image_pulled(key[0], size_bytes, total_s)
        announce(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{requested}" in {_milliseconds(result.took_s)}'
            f" ({_milliseconds(total_s)} including waiting). Image size: {size_bytes} bytes.",
        )
        return LocalImage(ref=result.ref, image=result.image)

    def _failed(
        self, key: tuple[str, str], requested: str, error: RuntimeServiceError, announce: Announce
    ) -> CannotStart:
        announce("Warning", "Failed", f'Failed to pull image "{requested}": {error}')
        reason = error.reason if isinstance(error, ImagePullError) else "ErrImagePull"
        message = str(error)
        if reason in _PULL_REASONS:
            message = (
                f"image pull failed for {requested} because the {_PULL_REASONS[reason]}{message.removeprefix(reason)}"
            )
        before = self._backoff.get(key)
        now_s = self._clock.now()
        if before is None or now_s - before.failed_at_s > 2 * LONGEST_DELAY_S:
            delay_s = FIRST_DELAY_S
        else:
            delay_s = min(before.delay_s * 2, LONGEST_DELAY_S)
        self._backoff[key] = _PullBackoff(delay_s, now_s, f"{reason}: {message}")
        return CannotStart(reason, message)


def _default_policy(image: str) -> str:
    return "Always" if image.endswith(":latest") else "IfNotPresent"


def _milliseconds(seconds: float) -> str:
    """As Go prints a duration cut to milliseconds."""
    if seconds < 1:
        return f"{int(seconds * 1000)}ms" if seconds >= 0.001 else "0s"
    minutes, rest = divmod(int(seconds * 1000) / 1000, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
