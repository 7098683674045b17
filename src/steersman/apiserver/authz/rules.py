"""RBAC rules as predicates: does a rule cover a request, and does a set of rules cover another.

Source: "Using RBAC Authorization" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.apiserver.authz.api import Attributes

ALL = "*"


class Rule(Struct, frozen=True):
    """One PolicyRule, its lists as sets."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        return cls(
            frozenset(rule.get("verbs") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resources") or ()),
            frozenset(rule.get("resourceNames") or ()),
            tuple(rule.get("nonResourceURLs") or ()),
        )

    def allows(self, attributes: Attributes) -> bool:
        if attributes.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not attributes.is_resource:
            return any(_url_matches(pattern, attributes.path) for pattern in self.urls)
        return (
            (attributes.group in self.groups or ALL in self.groups)
            and self._has_resource(attributes.resource, attributes.subresource)
            and (not self.names or attributes.name in self.names)
        )

    def _has_resource(self, resource: str, subresource: str) -> bool:
        if ALL in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources

    def covers(self, other: Rule) -> bool:
        """Every request that ``other`` (one verb, one group, one resource or URL) allows, this rule allows too."""
        if not (ALL in self.verbs or other.verbs <= self.verbs):
            return False
        if other.urls:
            return all(any(_url_covers(mine, theirs) for mine in self.urls) for theirs in other.urls)
        return (
            (ALL in self.groups or other.groups <= self.groups)
            and all(self._covers_resource(resource) for resource in other.resources)
            and (not self.names or (bool(other.names) and other.names <= self.names))
        )

    def _covers_resource(self, resource: str) -> bool:
        if resource in self.resources or ALL in self.resources:
            return True
        _, slash, subresource = resource.partition("/")
        return bool(slash) and f"*/{subresource}" in self.resources

    def split(self) -> list[Rule]:
        """Rules of one verb and one group and resource (and name) or one URL that together say the same."""
        parts: list[Rule] = []
        for verb in sorted(self.verbs):
            one = frozenset({verb})
            parts += [Rule(one, urls=(url,)) for url in self.urls]
            parts += [
                Rule(one, frozenset({group}), frozenset({resource}), frozenset({name}) if name else frozenset())
                for group in sorted(self.groups)
                for resource in sorted(self.resources)
                for name in sorted(self.names) or [""]
            ]
        return parts

    def as_object(self) -> dict[str, Any]:
        """As a PolicyRule, for messages and reviews."""
        if self.urls:
            return {"verbs": sorted(self.verbs), "nonResourceURLs": [*self.urls]}
        rule: dict[str, Any] = {
            "verbs": sorted(self.verbs),
            "apiGroups": sorted(self.groups),
            "resources": sorted(self.resources),
        }
        if self.names:
            rule["resourceNames"] = sorted(self.names)
        return rule


def uncovered(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Which of ``wanted``, split into single permissions, nothing in ``owned`` covers."""
    have = tuple(owned)
    return [part for rule in wanted for part in rule.split() if not any(mine.covers(part) for mine in have)]


def describe(rules: Sequence[Rule]) -> str:
    """Missing rules as upstream prints them: ``{APIGroups:[""], Resources:["pods"], Verbs:["get"]}``."""

    def listed(values: Iterable[str]) -> str:
        return "[" + " ".join(f'"{value}"' for value in sorted(values)) + "]"

    texts = []
    for rule in rules:
        if rule.urls:
            texts.append(f"{{NonResourceURLs:{listed(rule.urls)}, Verbs:{listed(rule.verbs)}}}")
            continue
        names = f", ResourceNames:{listed(rule.names)}" if rule.names else ""
        texts.append(
            f"{{APIGroups:{listed(rule.groups)}, Resources:{listed(rule.resources)}{names}, Verbs:{listed(rule.verbs)}}}"
        )
    return "\n".join(texts)


def _url_matches(pattern: str, path: str) -> bool:
    if pattern in (ALL, path):
        return True
    return pattern.endswith("*") and path.startswith(pattern[:-1])


def _url_covers(mine: str, theirs: str) -> bool:
    return _url_matches(mine, theirs.removesuffix("*")) if mine.endswith("*") else mine == theirs
