"""Static pods of one kubelet: brought to it from their directory, and mirrored to the API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from steersman.client.api import Client
from steersman.client.informer import Change
from steersman.kubelet.mirror_pods import sync_mirrors
from steersman.meta import objects
from steersman.meta.objects import Object


class StaticSource:
    """Knows the static pods by uid and their mirrors by name."""

    def __init__(
        self,
        client: Client,
        *,
        appeared: Callable[[Object], None],
        vanished: Callable[[str], None],
        mirrored: Callable[[str], None],
        node: Callable[[], Object | None],
    ) -> None:
        """``appeared`` gets a new static pod, ``vanished`` the uid of one that is no longer there, ``mirrored`` the uid of
        one whose mirror changed; ``node`` gives the Node that owns mirrors."""
        self._client = client
        self._appeared = appeared
        self._vanished = vanished
        self._mirrored = mirrored
        self._node = node
        self._pods: Mapping[str, Object] = {}
        self._by_source: dict[str, Mapping[str, Object]] = {}
        self._mirrors: dict[str, Object] = {}
        self._dirty = asyncio.Event()

    def find(self, uid: str) -> Object | None:
        """The static pod of that uid, as its manifest has it now."""
        return self._pods.get(uid)

    def mirror_of(self, pod: Object) -> Object | None:
        """As the API has it."""
        return self._mirrors.get(objects.key_of(pod))

    def has_read(self, source: str) -> bool:
        """Its manifests have been read at least once."""
        return source in self._by_source

    def set_pods(self, source: str, found: Mapping[str, Object]) -> None:
        """All static pods of ``source``, by uid. Of two with the same name the source that was first has it."""
        self._by_source[source] = found
        pods: dict[str, Object] = {}
        names: set[str] = set()
        for group in self._by_source.values():
            for uid, pod in group.items():
                if objects.key_of(pod) not in names:
                    names.add(objects.key_of(pod))
                    pods[uid] = pod
        before, self._pods = self._pods, pods
        for uid in before:
            if uid not in pods:
                self._vanished(uid)
        for pod in pods.values():
            self._appeared(pod)
        self._dirty.set()

    def on_mirror(self, change: Change) -> None:
        """The API's mirror of some static pod changed."""
        if change.type == "deleted":
            self._mirrors.pop(change.key, None)
        else:
            self._mirrors[change.key] = change.object
        for uid, pod in self._pods.items():
            if objects.key_of(pod) == change.key:
                self._mirrored(uid)
        self._dirty.set()

    async def keep_mirrors(self) -> None:
        """Make the API's mirrors match, whenever something changed, until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await sync_mirrors(
                self._client, static=list(self._pods.values()), mirrors=list(self._mirrors.values()), node=self._node()
            )
