"""Whether a pod may start on this node: every handler is asked in upstream's order, the first that refuses decides.

Most answers come at once. Where a critical pod lacks room others are stopped for it, and where a container needs devices
or CPUs of its own they are allocated; both take time, and the pod waits without holding up those behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from steersman.kubelet import podspec, preemption
from steersman.kubelet.admission import Findings
from steersman.kubelet.preemption import PreemptionError
from steersman.kubelet.status import Verdict
from steersman.meta.objects import Object

log = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], Verdict | None]
Answer = Callable[[Verdict | None], None]


class Allocator(Protocol):
    """Gives containers things of their own on this node."""

    def wants(self, pod: Mapping[str, Any]) -> bool:
        """There is something to allocate for it."""

    async def allocate(self, pod: Object) -> Verdict | None:
        """None when it has all it asks for."""


class PodAdmission:
    """Answers come in the order of the questions where they take time, at once where they do not."""

    def __init__(
        self,
        *,
        before: Sequence[Handler],
        allocator: Allocator | None,
        fits: Callable[[Mapping[str, Any]], Findings],
        after: Sequence[Handler],
        active_pods: Callable[[], Iterable[Object]],
        preempt: Callable[[Object], Awaitable[None]],
        preempted: Callable[[str], None] = lambda resource: None,
    ) -> None:
        """``preempted`` counts, by the resource that was short."""
        self._before = before
        self._allocator = allocator
        self._fits = fits
        self._after = after
        self._active_pods = active_pods
        self._preempt = preempt
        self._preempted = preempted
        self._turn = asyncio.Lock()

    def ask(self, pod: Object) -> Verdict | Awaitable[Verdict | None] | None:
        """The answer, or what is to be awaited for it."""
        verdict = _first(self._before, pod)
        if verdict is not None:
            return verdict
        if self._allocator is not None and self._allocator.wants(pod):
            return self._ask_in_turn(pod)
        found = self._fits(pod)
        if found.shortages and not found.others and podspec.is_critical(pod):
            return self._ask_in_turn(pod)
        return self._conclude(pod, found)

    async def _ask_in_turn(self, pod: Object) -> Verdict | None:
        async with self._turn:
            verdict = _first(self._before, pod)
            if verdict is None and self._allocator is not None and self._allocator.wants(pod):
                verdict = await self._allocator.allocate(pod)
            if verdict is not None:
                return verdict
            found = self._fits(pod)
            if found.shortages and not found.others and podspec.is_critical(pod):
                return await self._make_room(pod, found)
            return self._conclude(pod, found)

    def _conclude(self, pod: Object, found: Findings) -> Verdict | None:
        if found.others and podspec.is_critical(pod):
            return found.others[0]
        return found.verdict or _first(self._after, pod)

    async def _make_room(self, pod: Object, found: Findings) -> Verdict | None:
        try:
            victims = preemption.pods_to_preempt(pod, self._active_pods(), found.shortages)
        except PreemptionError as error:
            message = (
                "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of"
                f" pods to preempt: {error}"
            )
            return Verdict(reason="UnexpectedAdmissionError", message=message)
        log.info("stopping %d pods for %s", len(victims), podspec.full_name(pod))
        await asyncio.gather(*(self._preempt(victim) for victim in victims))
        for _ in victims:
            self._preempted(found.shortages[0].resource)
        return _first(self._after, pod)


def _first(handlers: Sequence[Handler], pod: Mapping[str, Any]) -> Verdict | None:
    return next((verdict for handler in handlers if (verdict := handler(pod)) is not None), None)
