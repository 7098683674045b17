"""Decisions in which extenders have a say: webhooks that filter, score and choose victims beside the plugins.

While one is asked the cluster goes on changing, which is why these decisions are not the core's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from steersman.scheduler.core import Decision, SchedulerCore
from steersman.scheduler.framework import Nomination, NoNomination
from steersman.scheduler.http_extender import ExtenderFailed, HTTPExtender
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.search import PodSearch
from steersman.scheduler.victims import best

log = logging.getLogger(__name__)


class ExtendedDecisions:
    """The core and the extenders, in the order in which the configuration names them."""

    def __init__(self, core: SchedulerCore, extenders: Sequence[HTTPExtender]) -> None:
        self._core = core
        self._extenders = extenders

    async def decide(self, pod: PodInfo, *, runners_up: int = -1) -> Decision:
        """Raises ``ExtenderFailed``, also when nodes changed meanwhile: the pod is tried again."""
        epoch = self._core.cluster.nodes.epoch
        preempting = [each for each in self._extenders if each.config.preempt_verb and each.is_interested_in(pod)]
        found = self._core.search(pod, wants_alternatives=bool(preempting))
        nominated = found.on_nominated()
        if nominated is not None:
            await self._filter(nominated)
        if nominated is not None and nominated.is_successful:
            found = nominated
        else:
            await self._filter(found)
        if not found.is_successful and self._core.cluster.nodes.epoch == epoch:
            return await self._preempt(self._core.give_up(found), preempting)
        found = self._core.sampled(found)
        more = await self._prioritize(found) if found.count > 1 else {}
        if self._core.cluster.nodes.epoch != epoch:
            raise ExtenderFailed("nodes changed while extenders were asked")
        return self._core.select(found, more=more, runners_up=runners_up)

    async def _filter(self, found: PodSearch) -> None:
        """Extenders are asked one after another, each about what the earlier ones left. Raises ``ExtenderFailed``."""
        for extender in self._extenders:
            if not (found.is_successful and extender.config.filter_verb and extender.is_interested_in(found.pod)):
                continue
            try:
                outcome = await extender.filter(found.pod, found.names(), self._core.cluster.nodes)
            except ExtenderFailed as failure:
                if not extender.config.ignorable:
                    raise
                log.warning("extender %s not heard: %s", extender.config.url_prefix, failure)
                continue
            found.restrict(outcome.names, outcome.failed, outcome.unresolvable)

    async def _preempt(self, decision: Decision, extenders: Sequence[HTTPExtender]) -> Decision:
        """Each extender says which of the nodes that earlier ones left may be cleared. Raises ``ExtenderFailed``."""
        if not (extenders and isinstance(decision.nomination, Nomination)):
            return decision
        left = {nomination.node_name: nomination for nomination in decision.nomination.alternatives}
        for extender in extenders:
            try:
                left = await extender.preempt(decision.pod, left, self._core.cluster.nodes)
            except ExtenderFailed as failure:
                if not extender.config.ignorable:
                    raise
                log.warning("extender %s not heard: %s", extender.config.url_prefix, failure)
            if not left:
                break
        if left:
            return replace(decision, nomination=best(tuple(left.values())))
        assert decision.diagnosis is not None
        message = "preemption: no candidate node for preemption"
        return replace(
            decision,
            nomination=NoNomination(message=message, clear_nomination=False),
            diagnosis=decision.diagnosis.with_post_filter(message),
        )

    async def _prioritize(self, found: PodSearch) -> dict[str, int]:
        """What to add to the scores of nodes. An extender that fails adds nothing."""
        more: dict[str, int] = {}
        for extender in self._extenders:
            if extender.config.prioritize_verb and extender.is_interested_in(found.pod):
                try:
                    scores = await extender.prioritize(found.pod, found.names(), self._core.cluster.nodes)
                except ExtenderFailed as failure:
                    log.warning("extender %s not heard: %s", extender.config.url_prefix, failure)
                    continue
                for name, score in scores.items():
                    more[name] = more.get(name, 0) + score
        return more
