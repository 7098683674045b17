"""What a node's pods need before their containers can start: the objects they name, volumes, images, user ids."""

from __future__ import annotations

import random
from collections.abc import Callable

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.image_access import image_access
from steersman.kubelet.platform import Platform
from steersman.kubelet.pod_metrics import PodMetrics
from steersman.kubelet.references import References
from steersman.kubelet.runtimes.api import Runtime
from steersman.kubelet.storage_times import StorageTimes
from steersman.kubelet.user_namespaces import UserNamespaces
from steersman.meta.objects import Object


class PodPrerequisites:
    """``hold`` what a pod needs for as long as it is there, ``release`` it when it is over."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        config: KubeletConfig,
        platform: Platform,
        runtime: Runtime,
        rng: random.Random,
        metrics: PodMetrics,
        node: Callable[[], Object | None],
        changed: Callable[[str], None],
    ) -> None:
        """``changed`` is called with the uid of each pod that names an object that changed. Raises
        ``ConfigurationError``."""
        self._runtime = runtime
        self._has_files = platform.paths is not None
        self.references = References(client, clock=clock, changed=changed)
        timed = StorageTimes(metrics.kubelet, clock=clock).mounting
        self.volumes, self._tokens = platform.volumes(
            client, self.references, config, node=node, clock=clock, rng=rng, timed=timed
        )
        access = image_access(
            config,
            platform,
            runtime,
            source=self.references,
            tokens=self._tokens,
            clock=clock,
            metrics=metrics.kubelet,
            observe=metrics,
        )
        self.images, self.pulled = access.manager, access.pulled
        self.user_namespaces = UserNamespaces(
            platform.paths, ids_per_pod=config.user_namespace_ids, subordinate=platform.subordinate_ids
        )

    async def load_images(self) -> None:
        """Learn what was pulled before anybody asked who pulled it. Raises ``RuntimeServiceError``."""
        if self.pulled is not None:
            await self.pulled.adopt(await self._runtime.list_images())

    def hold(self, pod: Object) -> None:
        """Follow what ``pod`` names now; a node without files reads none of it."""
        if self._has_files:
            self.references.hold(pod)

    def release(self, uid: str) -> None:
        """The pod is over."""
        self.references.release(uid)
        self.images.forget(uid)
        if self._tokens is not None:
            self._tokens.forget(uid)

    async def close(self) -> None:
        await self.references.close()
