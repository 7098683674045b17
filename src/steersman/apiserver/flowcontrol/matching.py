"""Which FlowSchema a request belongs to, compiled from the objects once per change of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.apiserver.authn.api import User
from steersman.apiserver.requestinfo import RequestInfo

_ALL = "*"
_SERVICE_ACCOUNT = "system:serviceaccount:"


class _Values(Struct, frozen=True, kw_only=True):
    """A list of values, or everything."""

    everything: bool
    values: frozenset[str]

    @classmethod
    def of(cls, values: Sequence[str] | None) -> _Values:
        found = tuple(values or ())
        return cls(everything=found == (_ALL,), values=frozenset(found))

    def __contains__(self, value: str) -> bool:
        return self.everything or value in self.values


class _ResourceRule(Struct, frozen=True, kw_only=True):
    verbs: _Values
    groups: _Values
    resources: _Values
    namespaces: _Values
    cluster_scope: bool

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> _ResourceRule:
        return cls(
            verbs=_Values.of(rule.get("verbs")),
            groups=_Values.of(rule.get("apiGroups")),
            resources=_Values.of(rule.get("resources")),
            namespaces=_Values.of(rule.get("namespaces")),
            cluster_scope=bool(rule.get("clusterScope")),
        )

    def matches(self, info: RequestInfo) -> bool:
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        return (
            info.verb in self.verbs
            and resource in self.resources
            and info.group in self.groups
            and (info.namespace in self.namespaces if info.namespace else self.cluster_scope)
        )


class _PathRule(Struct, frozen=True, kw_only=True):
    verbs: _Values
    paths: frozenset[str]
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> _PathRule:
        paths: Sequence[str] = rule.get("nonResourceURLs") or ()
        prefixes = tuple(stem if (stem := path.removesuffix(_ALL)).endswith("/") else f"{stem}/" for path in paths)
        return cls(verbs=_Values.of(rule.get("verbs")), paths=frozenset(paths), prefixes=prefixes)

    def matches(self, info: RequestInfo) -> bool:
        if info.verb not in self.verbs:
            return False
        return _ALL in self.paths or info.path in self.paths or info.path.startswith(self.prefixes)


class _Subjects(Struct, frozen=True, kw_only=True):
    users: frozenset[str]
    groups: frozenset[str]
    account_namespaces: tuple[str, ...]
    """Prefixes of the names of all service accounts of some namespaces."""

    @classmethod
    def of(cls, subjects: Sequence[Mapping[str, Any]]) -> _Subjects:
        users: set[str] = set()
        groups: set[str] = set()
        prefixes: list[str] = []
        for subject in subjects:
            match subject.get("kind"):
                case "User":
                    users.add((subject.get("user") or {}).get("name") or "")
                case "Group":
                    groups.add((subject.get("group") or {}).get("name") or "")
                case "ServiceAccount":
                    account = subject.get("serviceAccount") or {}
                    prefix = f"{_SERVICE_ACCOUNT}{account.get('namespace')}:"
                    if account.get("name") == _ALL:
                        prefixes.append(prefix)
                    else:
                        users.add(f"{prefix}{account.get('name')}")
        return cls(users=frozenset(users), groups=frozenset(groups), account_namespaces=tuple(prefixes))

    def include(self, user: User) -> bool:
        if user.name in self.users or _ALL in self.users or _ALL in self.groups:
            return True
        return not self.groups.isdisjoint(user.groups) or user.name.startswith(self.account_namespaces)


class _Rule(Struct, frozen=True, kw_only=True):
    subjects: _Subjects
    resources: tuple[_ResourceRule, ...]
    paths: tuple[_PathRule, ...]

    def matches(self, user: User, info: RequestInfo) -> bool:
        if not self.subjects.include(user):
            return False
        rules: Sequence[_ResourceRule | _PathRule] = self.resources if info.is_resource else self.paths
        return any(rule.matches(info) for rule in rules)


class FlowSchema(Struct, frozen=True, kw_only=True):
    """A FlowSchema, ready to match."""

    name: str
    uid: str
    precedence: int
    level: str
    """Name of its priority level."""
    distinguisher: str
    """ByUser, ByNamespace, or nothing: all its requests are one flow."""
    rules: tuple[_Rule, ...]

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> FlowSchema:
        metadata, spec = obj.get("metadata") or {}, obj.get("spec") or {}
        rules = tuple(
            _Rule(
                subjects=_Subjects.of(rule.get("subjects") or ()),
                resources=tuple(_ResourceRule.of(entry) for entry in rule.get("resourceRules") or ()),
                paths=tuple(_PathRule.of(entry) for entry in rule.get("nonResourceRules") or ()),
            )
            for rule in spec.get("rules") or ()
        )
        return cls(
            name=metadata.get("name") or "",
            uid=metadata.get("uid") or "",
            precedence=spec.get("matchingPrecedence") or 1000,
            level=(spec.get("priorityLevelConfiguration") or {}).get("name") or "",
            distinguisher=(spec.get("distinguisherMethod") or {}).get("type") or "",
            rules=rules,
        )

    def matches(self, user: User, info: RequestInfo) -> bool:
        return any(rule.matches(user, info) for rule in self.rules)

    def flow_of(self, user: User, info: RequestInfo) -> str:
        """What tells the schema's flows apart."""
        if self.distinguisher == "ByUser":
            return user.name
        return info.namespace if self.distinguisher == "ByNamespace" else ""
