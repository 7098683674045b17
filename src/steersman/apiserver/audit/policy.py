"""Audit policy: which level of detail a request is recorded at. Source: audit.k8s.io/v1 and upstream's checker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from msgspec import Struct

from steersman.apiserver.authz.api import Attributes
from steersman.meta.names import subdomain_errors

Level = Literal["None", "Metadata", "Request", "RequestResponse"]
Stage = Literal["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]
LEVELS: Sequence[Level] = get_args(Level)
STAGES: Sequence[Stage] = get_args(Stage)
API_VERSION = "audit.k8s.io/v1"
_POLICY_FIELDS = frozenset({"apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"})
_RULE_FIELDS = frozenset(
    {"level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages", "omitManagedFields"}
)  # fmt: skip
_RESOURCE_FIELDS = frozenset({"group", "resources", "resourceNames"})


class InvalidPolicy(ValueError):
    """The document is no audit policy; the text names the field."""


class AuditDecision(Struct, frozen=True, kw_only=True):
    """What is recorded of one request."""

    level: Level
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    def reaches(self, level: Level) -> bool:
        return LEVELS.index(self.level) >= LEVELS.index(level)


class GroupResources(Struct, frozen=True, kw_only=True):
    group: str = ""
    resources: Sequence[str] = ()
    names: frozenset[str] = frozenset()

    def matches(self, attributes: Attributes) -> bool:
        if self.group not in ("*", attributes.group):
            return False
        if not self.resources:
            return True
        if self.names and attributes.name not in self.names:
            return False
        resource, subresource = attributes.resource, attributes.subresource
        accepted = {"*", f"{resource}/{subresource}" if subresource else resource, f"{resource}/*"}
        if subresource:
            accepted.add(f"*/{subresource}")
        return any(entry in accepted for entry in self.resources)


class Rule(Struct, frozen=True, kw_only=True):
    decision: AuditDecision
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    resources: Sequence[GroupResources] = ()
    urls: Sequence[str] = ()

    def matches(self, attributes: Attributes) -> bool:
        if self.users and attributes.user.name not in self.users:
            return False
        if self.groups and self.groups.isdisjoint(attributes.user.groups):
            return False
        if self.verbs and attributes.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return self._matches_resource(attributes)
        if self.urls:
            return not attributes.is_resource and any(_is_below(attributes.path, url) for url in self.urls)
        return True

    def _matches_resource(self, attributes: Attributes) -> bool:
        if not attributes.is_resource or (self.namespaces and attributes.namespace not in self.namespaces):
            return False
        return not self.resources or any(entry.matches(attributes) for entry in self.resources)


class Policy(Struct, frozen=True, kw_only=True):
    """Rules in order: the first that matches decides."""

    rules: Sequence[Rule]
    otherwise: AuditDecision
    unknown_fields: Sequence[str] = ()
    """Fields that mean nothing: upstream warns of them."""

    def decide(self, attributes: Attributes) -> AuditDecision:
        for rule in self.rules:
            if rule.matches(attributes):
                return rule.decision
        return self.otherwise


def _is_below(path: str, url: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


def load(text: str | bytes) -> Policy:
    """The policy of a YAML or JSON document. Raises ``InvalidPolicy``."""
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidPolicy(f"failed decoding: {error}") from error
    return parse(document)


def parse(document: Any) -> Policy:
    """The policy of a decoded document. Raises ``InvalidPolicy``."""
    if not isinstance(document, dict):
        raise InvalidPolicy("failed decoding: the document is no object")
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, "Policy"):
        shown = f"{document.get('apiVersion') or ''}, Kind={document.get('kind') or ''}"
        raise InvalidPolicy(f"unknown group version field {shown} in policy")
    unknown = [name for name in document if name not in _POLICY_FIELDS]
    omitted = _stages(document, "")
    omit_managed_fields = _flag(document, "omitManagedFields", "", False)
    rules = _list(document, "rules", "")
    if not rules:
        raise InvalidPolicy("loaded illegal policy with 0 rules")
    found = []
    for index, rule in enumerate(rules):
        path = f"rules[{index}]"
        if not isinstance(rule, dict):
            raise InvalidPolicy(f"{path}: Invalid value: {rule!r}: must be an object")
        unknown += [f"{path}.{name}" for name in rule if name not in _RULE_FIELDS]
        found.append(_rule(rule, path, omitted, omit_managed_fields, unknown))
    otherwise = AuditDecision(level="None", omit_stages=omitted, omit_managed_fields=omit_managed_fields)
    return Policy(rules=tuple(found), otherwise=otherwise, unknown_fields=tuple(unknown))


def _rule(rule: Mapping[str, Any], path: str, omitted: frozenset[str], omits: bool, unknown: list[str]) -> Rule:
    level = rule.get("level")
    if not level:
        raise InvalidPolicy(f"{path}.level: Required value")
    if level not in LEVELS:
        supported = ", ".join(f'"{name}"' for name in LEVELS)
        raise InvalidPolicy(f'{path}.level: Unsupported value: "{level}": supported values: {supported}')
    urls = _texts(rule, "nonResourceURLs", path)
    for index, url in enumerate(urls):
        _check_url(url, f"{path}.nonResourceURLs[{index}]")
    resources = [_resources(entry, f"{path}.resources[{index}]", unknown) for index, entry in enumerate(_list(rule, "resources", path))]  # fmt: skip
    namespaces = _texts(rule, "namespaces", path)
    if urls and (resources or namespaces):
        why = "rules cannot apply to both regular resources and non-resource URLs"
        raise InvalidPolicy(f"{path}.nonResourceURLs: Invalid value: {list(urls)}: {why}")
    return Rule(
        decision=AuditDecision(
            level=level,
            omit_stages=omitted | _stages(rule, path),
            omit_managed_fields=_flag(rule, "omitManagedFields", path, omits),
        ),
        users=frozenset(_texts(rule, "users", path)),
        groups=frozenset(_texts(rule, "userGroups", path)),
        verbs=frozenset(_texts(rule, "verbs", path)),
        namespaces=frozenset(namespaces),
        resources=tuple(resources),
        urls=urls,
    )


def _resources(entry: Any, path: str, unknown: list[str]) -> GroupResources:
    if not isinstance(entry, dict):
        raise InvalidPolicy(f"{path}: Invalid value: {entry!r}: must be an object")
    unknown += [f"{path}.{name}" for name in entry if name not in _RESOURCE_FIELDS]
    group = entry.get("group") or ""
    if group not in ("", "*"):
        wrong = subdomain_errors(str(group))
        if wrong:
            raise InvalidPolicy(f'{path}.group: Invalid value: "{group}": {",".join(wrong)}')
    resources, names = _texts(entry, "resources", path), _texts(entry, "resourceNames", path)
    if names and not resources:
        why = "using resourceNames requires at least one resource"
        raise InvalidPolicy(f"{path}.resourceNames: Invalid value: {list(names)}: {why}")
    return GroupResources(group=group, resources=resources, names=frozenset(names))


def _check_url(url: str, path: str) -> None:
    if url == "*":
        return
    if not url.startswith("/"):
        raise InvalidPolicy(f"{path}: Invalid value: \"{url}\": non-resource URL rules must begin with a '/' character")
    if "*" in url[:-1]:
        why = "non-resource URL wildcards '*' must be the final character of the rule"
        raise InvalidPolicy(f'{path}: Invalid value: "{url}": {why}')


def _stages(source: Mapping[str, Any], path: str) -> frozenset[str]:
    found = _texts(source, "omitStages", path)
    for index, stage in enumerate(found):
        if stage not in STAGES:
            where = f"{path}.omitStages[{index}]".lstrip(".")
            raise InvalidPolicy(f'{where}: Invalid value: "{stage}": allowed stages are {",".join(STAGES)}')
    return frozenset(found)


def _list(source: Mapping[str, Any], name: str, path: str) -> Sequence[Any]:
    found = source.get(name)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise InvalidPolicy(f"{path}.{name}: Invalid value: {found!r}: must be a list".lstrip("."))
    return found


def _texts(source: Mapping[str, Any], name: str, path: str) -> tuple[str, ...]:
    found = _list(source, name, path)
    if not all(isinstance(entry, str) for entry in found):
        raise InvalidPolicy(f"{path}.{name}: Invalid value: {found!r}: must be a list of strings".lstrip("."))
    return tuple(found)


def _flag(source: Mapping[str, Any], name: str, path: str, default: bool) -> bool:
    found = source.get(name)
    if found is not None and not isinstance(found, bool):
        raise InvalidPolicy(f"{path}.{name}: Invalid value: {found!r}: must be a boolean".lstrip("."))
    return default if found is None else found
