"""RBAC: what the roles bound to a user and its groups allow.

Bindings are compiled into tables by subject, anew whenever a role or binding has changed, so that a decision looks at the
rules of the user's own bindings only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Authorizer, Decision
from steersman.apiserver.authz.rules import Rule
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES

NAME = "RBAC"
_RESOURCES = (ROLES, ROLEBINDINGS, CLUSTERROLES, CLUSTERROLEBINDINGS)
_ACCOUNT_PREFIX = "system:serviceaccount:"

Subject = tuple[str, str]
"""("User" or "Group", name); service accounts are users."""


class Grant(Struct, frozen=True, kw_only=True):
    """The rules of one role for one binding's subjects."""

    rules: tuple[Rule, ...]
    namespace: str
    """Where it holds; empty: everywhere."""
    because: str
    """``ClusterRoleBinding "a" of ClusterRole "b"``."""
    problem: str = ""
    """The role does not exist."""


class _Policy(Struct):
    everywhere: dict[Subject, list[Grant]] = field(default_factory=dict)
    by_namespace: dict[str, dict[Subject, list[Grant]]] = field(default_factory=dict)


class RBACAuthorizer:
    """Decides from the roles and bindings that ``reader`` has."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._policy = _Policy()
        self._compiled_at: tuple[int, ...] = ()

    async def authorize(self, attributes: Attributes) -> Decision:
        problems: list[str] = []
        for subject, grant in self._grants(attributes.user, attributes.namespace):
            for rule in grant.rules:
                if rule.allows(attributes):
                    who = _describe(subject)
                    return Decision(allowed=True, reason=f"RBAC: allowed by {grant.because} to {who}")
            if grant.problem:
                problems.append(grant.problem)
        return Decision(allowed=False, reason=f"RBAC: {_aggregate(problems)}" if problems else "")

    def rules_for(self, user: User, namespace: str) -> tuple[list[Rule], str]:
        """Every rule that holds for ``user`` in ``namespace``, and what kept the list from being complete."""
        rules: list[Rule] = []
        problems: list[str] = []
        for _, grant in self._grants(user, namespace):
            rules += grant.rules
            if grant.problem:
                problems.append(grant.problem)
        return rules, ", ".join(problems)

    def _grants(self, user: User, namespace: str) -> Iterator[tuple[Subject, Grant]]:
        policy = self._current()
        subjects: list[Subject] = [("User", user.name), *(("Group", group) for group in user.groups)]
        local = policy.by_namespace.get(namespace, {}) if namespace else {}
        for table in (policy.everywhere, local):
            for subject in subjects:
                for grant in table.get(subject, ()):
                    yield subject, grant

    def _current(self) -> _Policy:
        revisions = tuple(self._reader.revision(resource) for resource in _RESOURCES)
        if revisions != self._compiled_at:
            self._policy = self._compile()
            self._compiled_at = revisions
        return self._policy

    def _compile(self) -> _Policy:
        cluster_roles = {objects.name(role): _rules(role) for role in self._reader.list(CLUSTERROLES)}
        roles = {objects.key_of(role): _rules(role) for role in self._reader.list(ROLES)}
        policy = _Policy()
        for binding in self._reader.list(CLUSTERROLEBINDINGS):
            grant = _grant(binding, "", cluster_roles, roles)
            for subject in _subjects(binding):
                policy.everywhere.setdefault(subject, []).append(grant)
        for binding in self._reader.list(ROLEBINDINGS):
            namespace = objects.namespace(binding)
            grant = _grant(binding, namespace, cluster_roles, roles)
            table = policy.by_namespace.setdefault(namespace, {})
            for subject in _subjects(binding):
                table.setdefault(subject, []).append(grant)
        return policy


def _rules(role: Object) -> tuple[Rule, ...]:
    return tuple(Rule.of(rule) for rule in role.get("rules") or ())


def _grant(
    binding: Object,
    namespace: str,
    cluster_roles: Mapping[str, tuple[Rule, ...]],
    roles: Mapping[str, tuple[Rule, ...]],
) -> Grant:
    reference = binding.get("roleRef") or {}
    kind, name = reference.get("kind", ""), reference.get("name", "")
    rules = cluster_roles.get(name) if kind == "ClusterRole" else roles.get(f"{namespace}/{name}")
    label = objects.key_of(binding)
    because = f'{"RoleBinding" if namespace else "ClusterRoleBinding"} "{label}" of {kind} "{name}"'
    if rules is None:
        problem = f'{kind.lower()}.rbac.authorization.k8s.io "{name}" not found'
        return Grant(rules=(), namespace=namespace, because=because, problem=problem)
    return Grant(rules=rules, namespace=namespace, because=because)


def _subjects(binding: Object) -> Iterable[Subject]:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name", "")
        if kind in ("User", "Group"):
            yield kind, name
        elif kind == "ServiceAccount":
            namespace = subject.get("namespace") or objects.namespace(binding)
            if namespace:
                yield "User", f"{_ACCOUNT_PREFIX}{namespace}:{name}"


def _aggregate(problems: Sequence[str]) -> str:
    """As Go's aggregate of errors reads."""
    return problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"


def _describe(subject: Subject) -> str:
    kind, name = subject
    if kind == "User" and name.startswith(_ACCOUNT_PREFIX):
        namespace, _, account = name.removeprefix(_ACCOUNT_PREFIX).partition(":")
        return f'ServiceAccount "{account}/{namespace}"'
    return f'{kind} "{name}"'


def resource_rules(rules: Sequence[Rule]) -> list[Object]:
    """Rules about resources as SelfSubjectRulesReview lists them."""
    return [rule.as_object() for rule in rules if not rule.urls]


def non_resource_rules(rules: Sequence[Rule]) -> list[Object]:
    """Rules about URLs as SelfSubjectRulesReview lists them."""
    return [{"verbs": sorted(rule.verbs), "nonResourceURLs": [*rule.urls]} for rule in rules if rule.urls]


def _conforms(reader: Reader) -> Authorizer:
    return RBACAuthorizer(reader)
