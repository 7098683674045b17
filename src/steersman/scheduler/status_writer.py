"""Conditions and nominations of pods, as patches of their status."""

from __future__ import annotations

import logging

from steersman.aio.clock import Clock
from steersman.aio.workqueue import WorkQueue
from steersman.client.api import STRATEGIC_MERGE_PATCH, Client
from steersman.client.transport import Unreachable
from steersman.meta import objects, times
from steersman.meta.errors import APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PODS

NOTE_LIMIT = 1024
"""Longest text of an event; longer ones end in `` ...``."""
WRITERS = 16
log = logging.getLogger(__name__)


def truncated(message: str) -> str:
    return message if len(message) <= NOTE_LIMIT else f"{message[: NOTE_LIMIT - 4]} ..."


def condition(pod: Object, kind: str, status: str, reason: str, message: str, now_s: float) -> Object | None:
    """The pod's condition ``kind`` as it should be; None where it is so already."""
    old = objects.condition(pod, kind) or {}
    if (old.get("status"), old.get("reason"), old.get("message")) == (status, reason, message):
        return None
    changed = old.get("status") != status
    entry: Object = {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": times.format_time(now_s) if changed else old.get("lastTransitionTime"),
    }
    if generation := objects.generation(pod):
        entry["observedGeneration"] = generation
    return entry


async def patch_status(client: Client, pod: Object, status: Object) -> None:
    """Merge ``status`` into the pod's; only into this very pod, not into a later one of its name. New conditions come after
    those that are there, as upstream's patches have it. Raises ``APIError``."""
    if "conditions" in status:
        known = (pod.get("status") or {}).get("conditions") or ()
        order = dict.fromkeys(entry["type"] for entry in (*known, *status["conditions"]))
        status = {**status, "$setElementOrder/conditions": [{"type": each} for each in order]}
    patch = {"metadata": {"uid": objects.uid(pod)}, "status": status}
    await client.patch(
        PODS,
        objects.name(pod),
        patch,
        namespace=objects.namespace(pod),
        subresource="status",
        patch_type=STRATEGIC_MERGE_PATCH,
    )


class StatusWriter:
    """Writes statuses in the background. Of several for one pod that still wait, the latest fields win, so the queue holds
    at most one entry a pod. A write that fails is logged and left: the next try of the pod says it again."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._keys: WorkQueue[str] = WorkQueue(clock)
        self._pending: dict[str, tuple[Object, Object]] = {}

    def write(self, pod: Object, status: Object) -> None:
        """Merge ``status`` into the status of ``pod`` soon."""
        uid = objects.uid(pod)
        earlier = self._pending.get(uid)
        self._pending[uid] = (pod, {**(earlier[1] if earlier else {}), **status})
        self._keys.add(uid)

    def drop(self, uid: str) -> None:
        """What waits to be written no longer holds."""
        self._pending.pop(uid, None)

    async def run(self) -> None:
        """One writer, until cancelled; run ``WRITERS`` of them."""
        while True:
            uid = await self._keys.get()
            try:
                pod, status = self._pending.pop(uid, (None, None))
                if pod is not None and status is not None:
                    await self._write(pod, status)
            finally:
                self._keys.done(uid)

    async def _write(self, pod: Object, status: Object) -> None:
        try:
            await patch_status(self._client, pod, status)
        except NotFound:
            log.debug("%s is gone", objects.key_of(pod))
        except (APIError, Unreachable) as error:
            log.warning("status of %s not written: %s", objects.key_of(pod), error)
