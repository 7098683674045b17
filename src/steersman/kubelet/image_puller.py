"""Pulls images for the image manager: a few at once, not too often, with each credential until one works."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet.registry_credentials.keyring import Credential
from steersman.kubelet.runtimes.api import ImagePullError, ImageService, RuntimeServiceError
from steersman.kubelet.runtimes.images import AuthConfig, Image, ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig


class PullLimits(Struct, frozen=True, kw_only=True):
    """``serializeImagePulls``, ``maxParallelImagePulls``, ``registryPullQPS`` and ``registryBurst``."""

    parallel: int | None = None
    """None: any number."""
    qps: int = 0
    """0: as often as wanted."""
    burst: int = 10


class Pulled(Struct, frozen=True, kw_only=True):
    ref: str
    image: Image | None
    """As the runtime has it now; None where it does not say."""
    credential: Credential | None
    """The one that worked; None when the image was pulled without."""
    took_s: float
    """Without waiting for other pulls."""
    waited_s: float


class ImagePuller:
    """Pulls that are too many wait in order; those that come too fast fail, and are tried again after a back-off."""

    def __init__(self, images: ImageService, *, clock: Clock, limits: PullLimits) -> None:
        self._images = images
        self._clock = clock
        self._qps, self._burst = limits.qps, limits.burst
        self._allowance, self._counted_s = float(limits.burst), clock.monotonic()
        self._turn: contextlib.AbstractAsyncContextManager[object] = (
            asyncio.Semaphore(limits.parallel) if limits.parallel else contextlib.nullcontext()
        )

    async def pull(self, spec: ImageSpec, credentials: Sequence[Credential], sandbox: PodSandboxConfig) -> Pulled:
        """Raises ``RuntimeServiceError``."""
        asked_s = self._clock.monotonic()
        async with self._turn:
            began_s = self._clock.monotonic()
            if not self._may():
                raise ImagePullError("pull QPS exceeded")
            ref, credential = await self._try_all(spec, credentials, sandbox)
            image = None
            with contextlib.suppress(RuntimeServiceError):
                image = await self._images.image_status(spec)
            ended_s = self._clock.monotonic()
        return Pulled(
            ref=ref, image=image, credential=credential, took_s=ended_s - began_s, waited_s=began_s - asked_s
        )  # fmt: skip

    def _may(self) -> bool:
        """A token bucket: ``qps`` on average, ``burst`` at once."""
        if self._qps == 0:
            return True
        now_s = self._clock.monotonic()
        self._allowance = min(self._burst, self._allowance + (now_s - self._counted_s) * self._qps)
        self._counted_s = now_s
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    async def _try_all(
        self, spec: ImageSpec, credentials: Sequence[Credential], sandbox: PodSandboxConfig
    ) -> tuple[str, Credential | None]:
        if not credentials:
            return await self._images.pull_image(spec, sandbox_config=sandbox), None
        errors: list[RuntimeServiceError] = []
        for credential in credentials:
            login = credential.login
            auth = AuthConfig(username=login.username, password=login.password)
            try:
                return await self._images.pull_image(spec, auth=auth, sandbox_config=sandbox), credential
            except RuntimeServiceError as error:
                errors.append(error)
        texts = list(dict.fromkeys(map(str, errors)))
        if len(texts) == 1:
            raise errors[0]
        raise ImagePullError(f"[{', '.join(texts)}]") from errors[-1]
