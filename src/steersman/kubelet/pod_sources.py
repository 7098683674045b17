"""Where a node's pods come from: the API, a folder of manifests, a URL of manifests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.informer import Change
from steersman.kubelet import podspec
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.shared import Shared
from steersman.kubelet.static_pods import StaticPods
from steersman.kubelet.static_source import StaticSource
from steersman.meta import objects
from steersman.meta.objects import Object


class SyncHandler(Protocol):
    """Whom the sources bring their pods to."""

    def add(self, pod: Object) -> None:
        """A source has ``pod``, which may be known already."""

    def update(self, pod: Object, old: Object | None) -> None:
        """The API has ``pod`` so now, new or before this as in ``old``."""

    def remove(self, uid: str) -> None:
        """The source of that pod, if it ever was known, has it no longer."""


class PodSources:
    """Also keeps the mirrors of static pods."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        config: KubeletConfig,
        shared: Shared,
        handler: SyncHandler,
        node: Callable[[], Object | None],
    ) -> None:
        """``node``: the Node that owns mirrors."""
        self._clock = clock
        self._config = config
        self._feeds = shared.feeds
        self._handler = handler
        self._static = StaticSource(
            client,
            appeared=handler.add,
            vanished=handler.remove,
            mirrored=shared.statuses.look_again,
            node=node,
        )
        self._follows_api = False

    @property
    def all_ready(self) -> bool:
        """Every source of pods has been read: a pod that nobody knows is gone."""
        return self._follows_api and all(self._static.has_read(name) for name in self._static_names())

    def stored(self, pod: Object) -> Object | None:
        """``pod`` (for a static pod: its mirror) as the API has it."""
        if podspec.is_static(pod):
            return self._static.mirror_of(pod)
        return self._feeds.pod(objects.namespace(pod), objects.name(pod), objects.uid(pod))

    def find_static(self, uid: str) -> Object | None:
        """The static pod of that uid, as its manifest has it now."""
        return self._static.find(uid)

    def supervise(self, group: TaskGroup, *, registered: asyncio.Event) -> None:
        """Read manifests, and keep their mirrors when the Node that owns them is ``registered``."""
        config = self._config
        if config.static_pod_path is not None:
            folder = StaticPods(
                config.static_pod_path,
                node_name=config.node_name,
                clock=self._clock,
                check_s=config.static_pod_check_s,
                changed=partial(self._static.set_pods, "file"),
            )
            group.supervise(folder.run, name="static pods", clock=self._clock)
        if config.static_pod_url:
            from steersman.kubelet.static_pods_url import StaticPodURL

            remote = StaticPodURL(
                config.static_pod_url,
                headers=config.static_pod_url_headers,
                node_name=config.node_name,
                clock=self._clock,
                check_s=config.static_pod_url_check_s,
                changed=partial(self._static.set_pods, "http"),
            )
            group.supervise(remote.run, name="static pods from a URL", clock=self._clock)
        if self._static_names():
            group.supervise(partial(self._keep_mirrors, registered), name="mirror pods", clock=self._clock)

    async def follow_api(self, registered: asyncio.Event) -> None:
        """Bring the API's pods from now on; returns when all that are there have been brought."""
        await self._feeds.pods.wait_synced()
        if self._config.register_node:
            await registered.wait()
        self._feeds.attach(self._config.node_name, self._on_api_pod)
        self._follows_api = True

    def close(self) -> None:
        self._feeds.detach(self._config.node_name)

    async def _keep_mirrors(self, registered: asyncio.Event) -> None:
        await self._feeds.pods.wait_synced()
        await registered.wait()
        await self._static.keep_mirrors()

    def _on_api_pod(self, change: Change) -> None:
        if podspec.is_mirror(change.object):
            self._static.on_mirror(change)
        elif change.type == "deleted":
            self._handler.remove(objects.uid(change.object))
        else:
            self._handler.update(change.object, change.old)

    def _static_names(self) -> list[str]:
        config = self._config
        return [*(["file"] if config.static_pod_path is not None else []), *(["http"] if config.static_pod_url else [])]
