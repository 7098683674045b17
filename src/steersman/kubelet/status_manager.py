"""Writes pod statuses to the API, and deletes pods that are over.

Of each pod only the newest status waits to be written. A write is a strategic merge patch of what differs from the pod as
the API server has it, conditions merged by their type, so that conditions of others stay. The patch names the pod's uid:
a new pod of the same name is never written to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from steersman.aio.backoff import ItemBackoff
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.aio.workqueue import WorkQueue
from steersman.client.api import STRATEGIC_MERGE_PATCH, Client
from steersman.client.transport import Unreachable
from steersman.kubelet import podspec
from steersman.kubelet.pod_conditions import OWNED
from steersman.meta import objects
from steersman.meta.errors import APIError, Conflict, Invalid, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PODS

WRITERS = 4
FIELDS = (
    "observedGeneration", "phase", "reason", "message", "hostIP", "hostIPs", "podIP", "podIPs", "startTime", "qosClass",
    "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses", "resize",
    "resources", "allocatedResources",
)  # fmt: skip
log = logging.getLogger(__name__)


class PodOwner(Protocol):
    """The kubelet that runs a pod."""

    def stored(self, uid: str) -> Object | None:
        """The pod (for a static pod: its mirror) as the API has it."""

    def is_over(self, uid: str) -> bool:
        """Nothing of the pod is left on the node: it may be deleted."""


class StatusManager:
    """Statuses by pod uid. Bounded by the number of pods."""

    def __init__(
        self, client: Client, *, clock: Clock, written: Callable[[float], None] = lambda waited_s: None
    ) -> None:
        """``written`` is told of each status that was written how long the API had been without it."""
        self._client = client
        self._clock = clock
        self._observe = written
        self._waiting_since_s: dict[str, float] = {}
        self._wanted: dict[str, tuple[Object, PodOwner]] = {}
        self._written: dict[str, tuple[Object, str]] = {}
        """What the API has already, and the resource version that has it."""
        self._queue: WorkQueue[str] = WorkQueue(clock, ItemBackoff(base_s=0.2, cap_s=30.0))

    @property
    def idle(self) -> bool:
        return self._queue.idle

    def get(self, uid: str) -> Object | None:
        """The newest status, written or not."""
        found = self._wanted.get(uid)
        return found[0] if found is not None else None

    def set(self, uid: str, status: Object, owner: PodOwner) -> None:
        self._wanted[uid] = (status, owner)
        self._waiting_since_s.setdefault(uid, self._clock.monotonic())
        self._queue.add(uid)

    def look_again(self, uid: str) -> None:
        """The API's pod changed, or it may be deleted now."""
        if uid in self._wanted:
            self._queue.add(uid)

    def forget(self, uid: str) -> None:
        self._wanted.pop(uid, None)
        self._written.pop(uid, None)
        self._waiting_since_s.pop(uid, None)

    async def run(self) -> None:
        """Write until cancelled."""
        async with TaskGroup("status") as group:
            for number in range(WRITERS):
                group.spawn(self._work(), name=str(number))
            await group.wait()

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            try:
                await self._sync(uid)
                self._queue.forget(uid)
            except NotFound:
                self._queue.forget(uid)
            except (Conflict, Invalid) as error:
                log.info("status of pod %s: %s", uid, error)
                self._queue.add_rate_limited(uid)
            except (APIError, Unreachable) as error:
                log.warning("status of pod %s: %s", uid, error)
                self._queue.add_rate_limited(uid)
            finally:
                self._queue.done(uid)

    async def _sync(self, uid: str) -> None:
        if uid not in self._wanted:
            return
        wanted, owner = self._wanted[uid]
        pod = owner.stored(uid)
        if pod is None:
            return
        written, version = self._written.get(uid, (None, ""))
        is_written = written is wanted and version == objects.resource_version(pod)
        patch = {} if is_written else status_patch(pod.get("status") or {}, wanted)
        if patch:
            stored = await self._client.patch(
                PODS,
                objects.name(pod),
                {"metadata": {"uid": objects.uid(pod)}, "status": patch},
                namespace=objects.namespace(pod),
                subresource="status",
                patch_type=STRATEGIC_MERGE_PATCH,
            )
            since_s = self._waiting_since_s.get(uid)
            if since_s is not None:
                self._observe(self._clock.monotonic() - since_s)
            if uid in self._wanted:
                self._written[uid] = wanted, objects.resource_version(stored)
        if self._wanted.get(uid, (None,))[0] is wanted:
            self._waiting_since_s.pop(uid, None)
        if objects.is_deleting(pod) and owner.is_over(uid) and not podspec.is_mirror(pod):
            await self._client.delete(
                PODS,
                objects.name(pod),
                namespace=objects.namespace(pod),
                grace_period_s=0,
                uid=objects.uid(pod),
            )


def status_patch(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    """What has to be merged into ``stored`` so that the kubelet's fields are as ``wanted``; empty when they are."""
    patch: Object = {}
    for field in FIELDS:
        if _differ(stored.get(field), wanted.get(field)):
            patch[field] = wanted.get(field)
            if field in ("hostIPs", "podIPs"):
                patch[field] = _replaced(stored.get(field), wanted.get(field))
            elif field in ("resources", "allocatedResources"):
                patch[field] = _without_gone(stored.get(field) or {}, wanted.get(field) or {})
    conditions = _condition_patch(stored.get("conditions") or (), wanted.get("conditions") or ())
    if conditions:
        patch["conditions"] = conditions
    return patch


def _replaced(stored: Any, wanted: Any) -> list[Object]:
    """Lists of addresses merge by address: those that went have to be deleted by name."""
    gone = [entry for entry in stored or () if entry not in (wanted or ())]
    return [*({"$patch": "delete", "ip": entry["ip"]} for entry in gone), *(wanted or ())]


def _without_gone(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    """Objects merge by key: keys that went have to be set to null."""
    merged: Object = {key: None for key in stored if key not in wanted}
    for key, value in wanted.items():
        before = stored.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[key] = _without_gone(before, value)
        else:
            merged[key] = value
    return merged


def _condition_patch(stored: Any, wanted: Any) -> list[Object]:
    before = {entry["type"]: entry for entry in stored}
    changed = []
    for entry in wanted:
        old = before.get(entry["type"])
        if entry["type"] not in OWNED and old is not None and entry.get("reason") != "TerminationByKubelet":
            continue
        if old is None or _differ(old, entry):
            missing = {key: None for key in (old or {}) if key not in entry}
            changed.append({**entry, **missing})
    kept = {entry["type"] for entry in wanted}
    gone = [kind for kind in before if kind in OWNED and kind not in kept]
    return [*changed, *({"$patch": "delete", "type": kind} for kind in gone)]


def _differ(one: Any, other: Any) -> bool:
    """But for nulls and empty containers inside objects: absent and empty mean the same in a status."""
    if one == other:
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return any(_field_differs(one.get(key), other.get(key)) for key in one.keys() | other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(map(_differ, one, other))
    return True


def _field_differs(one: Any, other: Any) -> bool:
    return _differ(one, other) and not (_is_empty(one) and _is_empty(other))


def _is_empty(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, dict) and all(map(_is_empty, value.values())))
