"""ClusterRole aggregation: ClusterRoles that are the sum of others.

watches: ClusterRoles.
owns: the rules of ClusterRoles with an aggregationRule.
writes: ClusterRoles (rules).
invariants: rules are those of the selected roles, ordered by the roles' names, each once; a role never aggregates itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import CLUSTERROLES, Resource
from steersman.meta.selectors import label_selector_of

NAME = "clusterrole-aggregation-controller"
ROLE_WATCH = Watch(resource=CLUSTERROLES)
WATCHES = (ROLE_WATCH,)


class Plan(Struct, frozen=True, kw_only=True):
    """The role's new rules; None: they are right."""

    rules: Sequence[Object] | None = None


def plan(role: Object, roles: Iterable[Object]) -> Plan:
    selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
    if selectors is None:
        return Plan()
    rules: list[Object] = []
    ordered = sorted(roles, key=objects.name)
    for selector in map(label_selector_of, selectors):
        for other in ordered:
            if objects.name(other) != objects.name(role) and selector.matches(objects.labels(other)):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return Plan(rules=None if rules == (role.get("rules") or []) else rules)


class ClusterRoleAggregationController:
    """Reconciles one ClusterRole by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._roles = context.informer(ROLE_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        """Any change may concern any aggregated role."""
        return [objects.name(role) for role in self._roles.list() if role.get("aggregationRule")]

    async def reconcile(self, key: str) -> Result:
        role = self._roles.get(key)
        if role is None:
            self._context.expectations.forget(key)
            return DONE
        todo = plan(role, self._roles.list())
        if todo.rules is not None:
            updated = await self._context.client.update(CLUSTERROLES, {**role, "rules": list(todo.rules)})
            self._context.expectations.wrote(key, self._roles, updated)
        return DONE


def _conforms(context: Context) -> Controller:
    return ClusterRoleAggregationController(context)
