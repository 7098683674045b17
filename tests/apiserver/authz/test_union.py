"""Several authorizers: the first opinion counts, and whose it was is counted."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Decision
from steersman.apiserver.authz.metrics import DecisionMetrics
from steersman.apiserver.authz.union import UnionAuthorizer

LIST = Attributes(user=User(name="jane"), verb="list", resource="pods")


class Answers:
    """Gives its decisions in turn."""

    def __init__(self, *decisions: Decision) -> None:
        self._decisions = list(decisions)

    async def authorize(self, attributes: Attributes) -> Decision:
        return self._decisions.pop(0)


NO_OPINION = Decision(allowed=False, reason="who?")
ALLOWED = Decision(allowed=True, reason="a friend")
DENIED = Decision(allowed=False, denied=True, reason="never")


async def test_the_first_opinion_counts_and_is_counted() -> None:
    registry = CollectorRegistry()
    metrics = DecisionMetrics(registry)
    first = Answers(NO_OPINION, DENIED, ALLOWED, NO_OPINION)
    second = Answers(ALLOWED, NO_OPINION)
    union = UnionAuthorizer(((metrics.of("Node"), first), (metrics.of("RBAC"), second)))
    found = [await union.authorize(LIST) for _ in range(4)]
    assert found[:3] == [ALLOWED, DENIED, ALLOWED]
    assert (found[3].allowed, found[3].denied, found[3].reason) == (False, False, "who?, who?")

    def counted(type_: str, decision: str) -> float | None:
        labels = {"type": type_, "name": type_.lower(), "decision": decision}
        return registry.get_sample_value("apiserver_authorization_decisions_total", labels)

    assert [counted("Node", "allowed"), counted("Node", "denied"), counted("RBAC", "allowed")] == [1, 1, 1]
    assert counted("RBAC", "denied") is None
