"""Pod lifecycle events: notices what happens to containers, from the runtime's events or by listing them.

Where the runtime streams events they are followed, with a listing every five minutes for what they may miss; where it
does not (containerd before 1.7) everything is listed once a second, which is two calls whatever the number of pods.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from steersman.aio.clock import Clock
from steersman.kubelet import records
from steersman.kubelet.inspector import Fingerprint, Inspector, PodBrief
from steersman.kubelet.runtimes.api import RuntimeService, RuntimeServiceError, Unimplemented

RELIST_S = 1.0
RELIST_WITH_EVENTS_S = 300.0
STALE_S = 180.0
"""Without a successful listing for this long the runtime counts as down."""
log = logging.getLogger(__name__)


class Pleg:
    """Calls ``changed`` with the uid of each pod to which something happened, and what it is made of now where that is
    known."""

    def __init__(
        self,
        runtime: RuntimeService,
        inspector: Inspector,
        *,
        clock: Clock,
        changed: Callable[[str, Fingerprint | None], None],
        relist_s: float = RELIST_S,
        observe: Callable[[float, float | None], None] = lambda took_s, since_s: None,
    ) -> None:
        """``observe`` is told of each listing how long it took, and how long after the one before it came."""
        self._runtime = runtime
        self._inspector = inspector
        self._clock = clock
        self._changed = changed
        self._relist_s = relist_s
        self._observe = observe
        self._seen: dict[str, Fingerprint] = {}
        self._again: set[str] = set()
        self._listed_s: float | None = None
        self._has_events = False
        self.error = ""
        """Why the last listing failed; empty when it did not."""

    @property
    def healthy(self) -> bool:
        return self._listed_s is not None and self._clock.monotonic() - self._listed_s < max(
            STALE_S, 2 * self._relist_s, RELIST_WITH_EVENTS_S * 2 if self._has_events else 0.0
        )

    def compare_again(self, uid: str) -> bool:
        """At the next listing call ``changed`` for the pod whether or not it differs; False where there is none soon."""
        self._again.add(uid)
        return not self._has_events

    async def list_once(self) -> Mapping[str, PodBrief]:
        """Every pod in the runtime; ``changed`` is called for those that differ from the last time."""
        began_s = self._clock.monotonic()
        try:
            briefs = await self._inspector.list_all()
        except RuntimeServiceError as error:
            self.error = str(error)
            raise
        now_s = self._clock.monotonic()
        self._observe(now_s - began_s, None if self._listed_s is None else now_s - self._listed_s)
        self._listed_s = now_s
        self.error = ""
        seen, self._seen = self._seen, {uid: brief.fingerprint for uid, brief in briefs.items()}
        changed = [uid for uid, fingerprint in self._seen.items() if _differs(fingerprint, seen.get(uid))]
        changed += [uid for uid, fingerprint in seen.items() if fingerprint and uid not in briefs]
        again, self._again = self._again, set()
        changed += again.difference(changed)
        for uid in changed:
            self._changed(uid, self._seen.get(uid, frozenset()))
        return briefs

    async def relist(self) -> None:
        """List again and again until cancelled."""
        while True:
            await self._clock.sleep(RELIST_WITH_EVENTS_S if self._has_events else self._relist_s)
            try:
                await self.list_once()
            except RuntimeServiceError as error:
                log.warning("cannot list containers: %s", error)

    async def follow(self) -> None:
        """Follow the runtime's events; ends when it has none."""
        try:
            async for event in self._runtime.container_events():
                self._has_events = True
                uid = event.sandbox.labels.get(records.POD_UID, "") if event.sandbox is not None else ""
                if not uid and event.containers:
                    uid = event.containers[0].labels.get(records.POD_UID, "")
                if uid:
                    self._changed(uid, None)
        except Unimplemented:
            self._has_events = False
            log.info("the runtime has no container events; listing every %g s", self._relist_s)
            await asyncio.Event().wait()
        except RuntimeServiceError:
            self._has_events = False
            raise


def _differs(one: Fingerprint, other: Fingerprint | None) -> bool:
    return one is not other and one != (other or frozenset())
