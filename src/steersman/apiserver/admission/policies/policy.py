"""Policies and bindings, compiled from their objects: each once, what is expensive when it is first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct

from steersman.apiserver.admission.matchconditions import MatchConditions
from steersman.apiserver.admission.matching import Matcher
from steersman.meta.objects import Object
from steersman.schema.groups.admissionregistration.expressions import Expression
from steersman.schema.groups.admissionregistration.policyexpressions import PolicyExpressions


class ParamKind(Struct, frozen=True, kw_only=True):
    api_version: str
    kind: str

    def __str__(self) -> str:
        """As Go prints a GroupVersionKind."""
        group, _, version = self.api_version.rpartition("/")
        return f"{group}/{version}, Kind={self.kind}"


class Policy:
    """What policies of both kinds have in common. Immutable."""

    def __init__(self, obj: Object) -> None:
        spec = obj["spec"]
        self.object = obj
        self.name: str = obj["metadata"]["name"]
        self.matcher = Matcher.of_match_resources(spec.get("matchConstraints") or {})
        self.ignores_failures = spec.get("failurePolicy") == "Ignore"
        kind = spec.get("paramKind")
        self.param_kind = None if kind is None else ParamKind(api_version=kind["apiVersion"], kind=kind["kind"])
        self._spec: Mapping[str, Any] = spec

    @cached_property
    def conditions(self) -> MatchConditions:
        return MatchConditions.of(self._spec.get("matchConditions") or (), has_params=self.param_kind is not None)

    @cached_property
    def variables(self) -> Mapping[str, Expression]:
        found: dict[str, Expression] = {}
        for variable in self._spec.get("variables") or ():
            found[variable["name"]] = self._expressions.add_variable(variable["name"], variable["expression"])
        return found

    @cached_property
    def _expressions(self) -> PolicyExpressions:
        return PolicyExpressions(has_params=self.param_kind is not None, has_variables=True)

    def _compiler(self) -> PolicyExpressions:
        """Of what is written with the variables."""
        assert self.variables is not None
        return self._expressions


class Binding:
    """Where a policy is in force."""

    def __init__(self, obj: Object) -> None:
        spec = obj["spec"]
        self.object = obj
        self.name: str = obj["metadata"]["name"]
        self.policy: str = spec["policyName"]
        matching = spec.get("matchResources")
        self.matcher = None if matching is None else Matcher.of_match_resources(matching)
        self.param_ref: Mapping[str, Any] | None = spec.get("paramRef")
        self.actions: Sequence[str] = spec.get("validationActions") or ()
        """Of bindings of validating policies."""
