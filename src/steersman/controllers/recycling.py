"""Emptying a released volume by a pod that mounts it: the deprecated ``Recycle`` reclaim policy.

The pod ``recycler-for-<volume>`` runs in ``default``. Anyone may have made a pod of that name: only one whose uid this process
remembers as its own counts as having emptied the volume, any other is deleted first.
"""

from __future__ import annotations

from contextlib import aclosing

from msgspec import Struct

from steersman.client.informer import INITIAL_EVENTS_END
from steersman.controllers.pods import phase
from steersman.controllers.runtime import Context
from steersman.controllers.volumeplugins import VolumePluginError, recycler_name, recycler_pod
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists, APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, PERSISTENTVOLUMES, PODS

NAMESPACE = "default"
PREFIX = "recycler-for-"
EVENTS_TIMEOUT_S = 30


class Progress(Struct, frozen=True, kw_only=True):
    """How far emptying is."""

    is_empty: bool = False
    again_after_s: float | None = None


class _Run(Struct, kw_only=True):
    volume: Object
    pod_uid: str
    retold: set[str]
    """Uids of the pod's Events that the volume's Events repeat."""


class Recycler:
    """Runs the pods, one for each volume by name. A pod that failed is not tried again for ``retry_s``."""

    def __init__(self, context: Context, *, retry_s: float) -> None:
        self._context = context
        self._client = context.client
        self._retry_s = retry_s
        self._runs: dict[str, _Run] = {}
        self._rest_until_s: dict[str, float] = {}

    async def advance(self, volume: Object) -> Progress:
        """Start, follow or finish the emptying of ``volume``. Raises ``VolumePluginError`` where it failed."""
        name = objects.name(volume)
        rest_s = self._rest_until_s.get(name, 0.0) - self._context.clock.monotonic()
        if rest_s > 0:
            return Progress(again_after_s=rest_s)
        self._rest_until_s.pop(name, None)
        wanted = recycler_pod(volume, self._context.config.recycler_timeouts)
        try:
            return await self._advance(volume, wanted)
        except VolumePluginError as error:
            self._runs.pop(name, None)
            self._rest_until_s[name] = self._context.clock.monotonic() + self._retry_s
            raise VolumePluginError(f"Recycle failed: {error}") from error

    async def give_up(self, name: str) -> None:
        """The volume called ``name`` is gone."""
        self._rest_until_s.pop(name, None)
        run = self._runs.pop(name, None)
        if run is not None:
            await self._remove(recycler_name(run.volume), run.pod_uid)

    async def _advance(self, volume: Object, wanted: Object) -> Progress:
        run = self._runs.get(objects.name(volume))
        if run is not None and objects.uid(run.volume) != objects.uid(volume):
            await self.give_up(objects.name(volume))
            run = None
        if run is None:
            return await self._start(volume, wanted)
        try:
            pod = await self._client.get(PODS, objects.name(wanted), namespace=NAMESPACE)
        except NotFound:
            pod = {}
        if objects.uid(pod) != run.pod_uid or objects.is_deleting(pod):
            raise VolumePluginError("failed to recycle volume: recycler pod was deleted")
        await self._retell(run, pod)
        if phase(pod) not in ("Succeeded", "Failed"):
            return Progress(again_after_s=self._retry_s)
        await self._remove(objects.name(pod), run.pod_uid)
        if phase(pod) == "Failed":
            why = (pod.get("status") or {}).get("message") or "pod failed, pod.Status.Message unknown"
            raise VolumePluginError(f"failed to recycle volume: {why}")
        del self._runs[objects.name(volume)]
        return Progress(is_empty=True)

    async def _start(self, volume: Object, wanted: Object) -> Progress:
        try:
            pod = await self._client.create(PODS, wanted)
        except AlreadyExists:
            await self._remove(objects.name(wanted), "")
            raise VolumePluginError("old recycler pod found, will retry later") from None
        except APIError as error:
            raise VolumePluginError(f"unexpected error creating recycler pod:  {error.message}") from error
        self._runs[objects.name(volume)] = _Run(volume=volume, pod_uid=objects.uid(pod), retold=set())
        return Progress(again_after_s=self._retry_s)

    async def _remove(self, name: str, uid: str) -> None:
        try:
            await self._client.delete(PODS, name, namespace=NAMESPACE, uid=uid)
        except NotFound:
            return

    async def _retell(self, run: _Run, pod: Object) -> None:
        """What happened to the pod is of interest to whoever looks at the volume."""
        events = self._client.watch(
            EVENTS,
            namespace=NAMESPACE,
            field_selector=f"involvedObject.name={objects.name(pod)}",
            timeout_s=EVENTS_TIMEOUT_S,
            send_initial_events=True,
        )
        async with aclosing(events):
            async for event in events:
                if event.type == "BOOKMARK" and INITIAL_EVENTS_END in objects.annotations(event.object):
                    return
                if event.type != "ADDED" or objects.uid(event.object) in run.retold:
                    continue
                if (event.object.get("involvedObject") or {}).get("uid") != run.pod_uid:
                    continue
                run.retold.add(objects.uid(event.object))
                self._context.events.event(
                    run.volume,
                    PERSISTENTVOLUMES,
                    type=event.object.get("type") or "Normal",
                    reason="RecyclerPod",
                    message=f"Recycler pod: {event.object.get('message') or ''}",
                )
