"""Several authorizers asked in turn, as ``--authorization-mode`` lists them."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.apiserver.authz.api import Attributes, Authorizer, Decision
from steersman.apiserver.authz.metrics import Decisions


class UnionAuthorizer:
    """The first that allows or denies decides; without one the answer is no, with every reason that was given."""

    def __init__(self, authorizers: Sequence[tuple[Decisions | None, Authorizer]]) -> None:
        """Each with where its decisions are counted."""
        self._authorizers = tuple(authorizers)

    async def authorize(self, attributes: Attributes) -> Decision:
        reasons: list[str] = []
        for decisions, authorizer in self._authorizers:
            decision = await authorizer.authorize(attributes)
            if decision.allowed or decision.denied:
                if decisions is not None:
                    decisions.allowed += decision.allowed
                    decisions.denied += decision.denied
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(allowed=False, reason=", ".join(reasons))


def _conforms() -> Authorizer:
    return UnionAuthorizer(())
