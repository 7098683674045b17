"""ConfigMaps, Secrets and other objects that pods refer to, each followed by a watch of its own while some pod needs it.

A node may only read what its pods name (Node authorizer), so there is one watch per object rather than one per kind,
as in upstream's watch-based managers. An object that no pod needs any more is forgotten, and one that is immutable is no longer
watched once it was read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.client.informer import Change, Informer
from steersman.kubelet import podspec
from steersman.meta import objects
from steersman.meta.errors import NotFound, ServiceUnavailable
from steersman.meta.objects import Object
from steersman.meta.quoting import quoted
from steersman.meta.resources import CONFIGMAPS, SECRETS, Resource

SYNC_TIMEOUT_S = 10.0
log = logging.getLogger(__name__)

Reference = tuple[Resource, str, str]
"""(resource, namespace, name)"""


class _Followed:
    def __init__(self, informer: Informer, task: asyncio.Task[None]) -> None:
        self.informer = informer
        self.task = task
        self.pods: set[str] = set()


class References:
    """Objects by name. ``hold`` says what a pod needs; ``get`` answers from the watch, or asks for what nobody holds."""

    def __init__(self, client: Client, *, clock: Clock, changed: Callable[[str], None]) -> None:
        """``changed`` is called with the uid of each pod that holds an object that changed."""
        self._client = client
        self._clock = clock
        self._changed = changed
        self._followed: dict[Reference, _Followed] = {}

    def hold(self, pod: Object) -> None:
        """Follow everything that ``pod`` refers to, and nothing that it no longer does."""
        uid = objects.uid(pod)
        wanted = set(references_of(pod))
        for reference in wanted:
            self._follow(reference).pods.add(uid)
        for reference, followed in list(self._followed.items()):
            if reference not in wanted and uid in followed.pods:
                self._drop(reference, uid)

    def release(self, uid: str) -> None:
        """The pod is over."""
        for reference, followed in list(self._followed.items()):
            if uid in followed.pods:
                self._drop(reference, uid)

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        followed = self._followed.get((resource, namespace, name))
        if followed is None:
            return await self._client.get(resource, name, namespace=namespace)
        if not followed.informer.synced:
            try:
                await self._clock.wait_for(followed.informer.wait_synced(), SYNC_TIMEOUT_S)
            except TimeoutError as error:
                raise ServiceUnavailable(
                    f"failed to sync {resource.kind.lower()} cache: timed out waiting for the condition"
                ) from error
        found = followed.informer.get(objects.make_key(namespace, name))
        if found is None:
            raise NotFound(f"{resource.kind.lower()} {quoted(name)} not found")
        if found.get("immutable"):
            followed.task.cancel()
        return found

    async def close(self) -> None:
        tasks = [followed.task for followed in self._followed.values()]
        self._followed.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _follow(self, reference: Reference) -> _Followed:
        followed = self._followed.get(reference)
        if followed is None:
            resource, namespace, name = reference
            informer = Informer(
                self._client,
                resource,
                clock=self._clock,
                namespace=namespace,
                field_selector=f"metadata.name={name}",
            )
            task = asyncio.get_running_loop().create_task(informer.run(), name=f"follow/{resource.plural}/{name}")
            followed = self._followed[reference] = _Followed(informer, task)
            informer.subscribe(lambda change: self._on_change(reference, change))
        return followed

    def _on_change(self, reference: Reference, change: Change) -> None:
        followed = self._followed.get(reference)
        if followed is not None:
            for uid in tuple(followed.pods):
                self._changed(uid)

    def _drop(self, reference: Reference, uid: str) -> None:
        followed = self._followed[reference]
        followed.pods.discard(uid)
        if not followed.pods:
            del self._followed[reference]
            followed.task.cancel()


def references_of(pod: Mapping[str, Any]) -> Iterator[Reference]:
    """The ConfigMaps and Secrets that a pod's containers, volumes and image pulls name."""
    namespace = objects.namespace(pod)
    spec = pod["spec"]
    for entry in spec.get("imagePullSecrets") or ():
        if entry.get("name"):
            yield SECRETS, namespace, entry["name"]
    for container in podspec.containers(pod):
        for source in container.spec.get("envFrom") or ():
            yield from _named(namespace, source, ("configMapRef", CONFIGMAPS), ("secretRef", SECRETS))
        for variable in container.spec.get("env") or ():
            origin = variable.get("valueFrom") or {}
            yield from _named(namespace, origin, ("configMapKeyRef", CONFIGMAPS), ("secretKeyRef", SECRETS))
    for volume in spec.get("volumes") or ():
        yield from _named(namespace, volume, ("configMap", CONFIGMAPS))
        if volume.get("secret"):
            yield SECRETS, namespace, volume["secret"].get("secretName") or ""
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _named(namespace, source, ("configMap", CONFIGMAPS), ("secret", SECRETS))


def _named(namespace: str, holder: Mapping[str, Any], *fields: tuple[str, Resource]) -> Iterator[Reference]:
    for field, resource in fields:
        name = (holder.get(field) or {}).get("name")
        if name:
            yield resource, namespace, name
