"""The ``authorizer`` of CEL expressions: authorization is asked between evaluations, because expressions cannot wait.

An expression that asks something new is stopped (``Undecided`` passes through everything in it), the answer is fetched, and
the expression is evaluated again. Two checks are all that one expression can afford, so that this ends soon.
"""

from __future__ import annotations

from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Authorizer
from steersman.apiserver.authz.selectors import parsed
from steersman.cel.libraries.authorizer import Decision, Question


class Undecided(Exception):
    """An evaluation needs an answer that is not there yet."""

    def __init__(self, question: Question) -> None:
        super().__init__("the answer has to be fetched first")
        self.question = question


class Decisions:
    """Answers about one user, each fetched once. Made for one request, and for all expressions that it meets."""

    def __init__(self, authorizer: Authorizer, user: User) -> None:
        self._authorizer = authorizer
        self._user = user
        self._known: dict[Question, Decision] = {}

    def decide(self, question: Question) -> Decision:
        """Raises ``Undecided``."""
        found = self._known.get(question)
        if found is None:
            raise Undecided(question)
        return found

    async def fetch(self, question: Question) -> None:
        """Make ``decide`` know the answer."""
        user = self._user if question.service_account is None else _service_account(*question.service_account)
        if question.path:
            attributes = Attributes(user=user, verb=question.verb, path=question.path, is_resource=False)
        else:
            selection = parsed(question.field_selector, question.label_selector)
            attributes = Attributes(
                user=user,
                verb=question.verb,
                group=question.group,
                version="*",
                resource=question.resource,
                subresource=question.subresource,
                namespace=question.namespace,
                name=question.name,
                field_selector=selection.field_selector,
                field_selector_error=selection.field_selector_error,
                label_selector=selection.label_selector,
                label_selector_error=selection.label_selector_error,
            )
        decision = await self._authorizer.authorize(attributes)
        self._known[question] = Decision(allowed=decision.allowed, reason=decision.reason)


def _service_account(namespace: str, name: str) -> User:
    return User(
        name=f"system:serviceaccount:{namespace}:{name}",
        groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}"),
    )
