"""Whether a webhook or a policy is about a request: its rules, its match policy and its selectors.

``Matcher`` is one webhook's, or one policy's ``matchConstraints``, or one binding's ``matchResources``, compiled. What it finds is a
``Target``: the resource that its rule means, which for ``matchPolicy: Equivalent`` can be another version of the one in the URL.
Source: "Matching requests" in the documentation of dynamic admission control.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from steersman.apiserver.admission.api import AdmissionRequest, Reader
from steersman.meta.errors import InternalError, NotFound
from steersman.meta.objects import Object, labels
from steersman.meta.resources import NAMESPACES, Resource
from steersman.meta.selectors import EVERYTHING, LabelSelector, SelectorError, label_selector_of
from steersman.schema.kind import Kind

_ANY = "*"
_CONFIGURATION = "admissionregistration.k8s.io"
_EXEMPT = frozenset(
    {
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    }
)


class GroupVersionKind(Struct, frozen=True):
    group: str
    version: str
    kind: str

    @classmethod
    def of(cls, api_version: str, kind: str) -> GroupVersionKind:
        group, _, version = api_version.rpartition("/")
        return cls(group, version, kind)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.api_version}, Kind={self.kind}"


class Target(Struct, frozen=True):
    """A resource as a rule names it, and the kind in which whoever has the rule wants to see the objects."""

    resource: Resource
    kind: GroupVersionKind


class Versions(Protocol):
    """The other versions of what a request is about."""

    @property
    def generation(self) -> int:
        """A number that rises whenever kinds come or go, so that what was found can be kept."""

    def equivalents(self, kind: Kind, subresource: str) -> Sequence[Target]:
        """Every version of the resource that has the subresource, its own included, in the order of discovery."""

    async def convert(self, kind: Kind, obj: Object, to: GroupVersionKind) -> Object:
        """An object of the resource in another of its kinds. Raises ``APIError`` where that fails."""

    def decode(self, kind: Kind, obj: Object, of: GroupVersionKind) -> Object:
        """An object that somebody changed, brought into the shape of its kind: what the kind does not have is dropped (not yet of
        custom resources), what it has by default is there. A copy of its own. Raises ``APIError`` where types are wrong."""


class Versioned(Struct, frozen=True, kw_only=True):
    """A request as one webhook or policy sees it: in the version that its rule asks for."""

    request: AdmissionRequest
    target: Target
    obj: Object | None
    old: Object | None


def kind_of(kind: Kind, subresource: str) -> GroupVersionKind:
    """What the objects of a request are: the subresource's own kind (Scale, Eviction, PodExecOptions) where it has one."""
    resource = kind.resource
    if subresource:
        part = next((part for part in kind.subresources if part.name == subresource), None)
        if part is not None and part.kind:
            group = part.group or (resource.group if not part.version else "")
            return GroupVersionKind(group, part.version or resource.version, part.kind)
    return GroupVersionKind(resource.group, resource.version, resource.kind)


def is_exempt(request: AdmissionRequest) -> bool:
    """The configuration of admission itself: nothing that it says applies to it, or nobody could ever mend it."""
    resource = request.kind.resource
    return resource.group == _CONFIGURATION and resource.kind in _EXEMPT


async def versioned(request: AdmissionRequest, target: Target, versions: Versions) -> Versioned:
    """``request`` with its objects converted to what ``target`` wants. Raises ``APIError``."""
    obj, old = request.obj, request.old
    if kind_of(request.kind, request.subresource) != target.kind:
        obj = None if obj is None else await versions.convert(request.kind, obj, target.kind)
        old = None if old is None else await versions.convert(request.kind, old, target.kind)
    return Versioned(request=request, target=target, obj=obj, old=old)


class Rule(Struct, frozen=True, kw_only=True):
    """RuleWithOperations, and NamedRuleWithOperations with its ``names``."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    """(plural, subresource)."""
    scope: str = "*"
    """``*``, ``Cluster`` or ``Namespaced``."""
    names: frozenset[str] = frozenset()
    """Empty: all."""

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        split = (entry.partition("/") for entry in rule.get("resources") or ())
        return cls(
            operations=frozenset(rule.get("operations") or ()),
            groups=frozenset(rule.get("apiGroups") or ()),
            versions=frozenset(rule.get("apiVersions") or ()),
            resources=tuple((plural, subresource) for plural, _, subresource in split),
            scope=rule.get("scope") or _ANY,
            names=frozenset(rule.get("resourceNames") or ()),
        )

    def matches(self, request: AdmissionRequest, resource: Resource) -> bool:
        """``resource`` is the request's own or an equivalent one."""
        return (
            _names(self.operations, request.operation)
            and any(
                plural in (_ANY, resource.plural) and subresource in (_ANY, request.subresource)
                for plural, subresource in self.resources
            )
            and _names(self.groups, resource.group)
            and _names(self.versions, resource.version)
            and self._has_scope(request, resource)
            and (not self.names or request.name in self.names)
        )

    def _has_scope(self, request: AdmissionRequest, resource: Resource) -> bool:
        if self.scope == _ANY:
            return True
        is_namespaced = bool(request.namespace) and resource != NAMESPACES
        return is_namespaced == (self.scope == "Namespaced")


def _names(wanted: frozenset[str], have: str) -> bool:
    return have in wanted or _ANY in wanted


class Matcher(Struct, frozen=True, kw_only=True):
    """Compiled once, then asked of every request."""

    rules: tuple[Rule, ...]
    excluded: tuple[Rule, ...] = ()
    takes_equivalents: bool
    namespaces: LabelSelector = EVERYTHING
    objects: LabelSelector = EVERYTHING
    problem: str = ""
    """Why a selector cannot be used; requests that the rules match are refused with it."""

    @classmethod
    def of_webhook(cls, webhook: Mapping[str, Any]) -> Matcher:
        return cls._of(webhook, webhook.get("rules") or (), ())

    @classmethod
    def of_match_resources(cls, matching: Mapping[str, Any]) -> Matcher:
        """A policy's ``matchConstraints``, a binding's ``matchResources``. Without rules it is about everything."""
        rules: Iterable[Mapping[str, Any]] = matching.get("resourceRules") or (_EVERYTHING,)
        return cls._of(matching, rules, matching.get("excludeResourceRules") or ())

    @classmethod
    def _of(
        cls, source: Mapping[str, Any], rules: Iterable[Mapping[str, Any]], excluded: Iterable[Mapping[str, Any]]
    ) -> Matcher:
        problem, selectors = "", [EVERYTHING, EVERYTHING]
        for index, field in enumerate(("namespaceSelector", "objectSelector")):
            try:
                selectors[index] = label_selector_of(source.get(field))
            except SelectorError as error:
                problem = str(error)
        return cls(
            rules=tuple(Rule.of(rule) for rule in rules),
            excluded=tuple(Rule.of(rule) for rule in excluded),
            takes_equivalents=source.get("matchPolicy") == "Equivalent",
            namespaces=selectors[0],
            objects=selectors[1],
            problem=problem,
        )

    @property
    def looks_at_names(self) -> bool:
        """Whether requests that are alike but for their names can have different targets."""
        return any(rule.names for rule in (*self.rules, *self.excluded))

    def match(self, request: AdmissionRequest, versions: Versions, reader: Reader) -> Target | None:
        """What the request is to whoever has these rules; None: not their business.

        Raises ``NotFound`` where the namespace whose labels count is not there.
        """
        target = self.target(request, versions)
        return target if target is not None and self.selects(request, reader) else None

    def target(self, request: AdmissionRequest, versions: Versions) -> Target | None:
        """What the rules say. It depends on nothing but operation, resource, subresource, scope, whether there is a namespace,
        and (``looks_at_names``) the name, so that callers can keep it as long as no kinds come or go."""
        if self.excluded and self._find(self.excluded, request, versions) is not None:
            return None
        return self._find(self.rules, request, versions)

    def _find(self, rules: Sequence[Rule], request: AdmissionRequest, versions: Versions) -> Target | None:
        """The rules' own version of the resource first, then equivalent ones, earlier rules before later ones."""
        own = request.kind.resource
        if any(rule.matches(request, own) for rule in rules):
            return Target(own, kind_of(request.kind, request.subresource))
        if not self.takes_equivalents:
            return None
        others = [
            target for target in versions.equivalents(request.kind, request.subresource) if target.resource != own
        ]
        for rule in rules:
            for target in others:
                if rule.matches(request, target.resource):
                    return target
        return None

    def selects(self, request: AdmissionRequest, reader: Reader) -> bool:
        """Whether namespace and object have the labels that are wanted. Raises ``NotFound`` and ``InternalError``."""
        if self.problem:
            raise InternalError(self.problem)
        if not self.objects.is_everything and not (
            _is_selected(self.objects, request.obj) or _is_selected(self.objects, request.old)
        ):
            return False
        if self.namespaces.is_everything or not (request.namespace or request.kind.resource.plural == "namespaces"):
            return True
        return self.namespaces.matches(namespace_labels(request, reader))


_EVERYTHING: Mapping[str, Any] = {
    "operations": [_ANY], "apiGroups": [_ANY], "apiVersions": [_ANY], "resources": ["*/*"], "scope": _ANY,
}  # fmt: skip


def _is_selected(selector: LabelSelector, obj: Object | None) -> bool:
    """Options of a CONNECT or a DELETE are no objects and have no labels."""
    return obj is not None and "metadata" in obj and selector.matches(labels(obj))


def namespace_labels(request: AdmissionRequest, reader: Reader) -> Mapping[str, str]:
    """Labels of the namespace that a request is in; of a namespace that is written, the new ones. Raises ``NotFound``."""
    is_written = request.operation in ("CREATE", "UPDATE") and not request.subresource
    if request.kind.resource.plural == "namespaces" and is_written:
        return labels(request.obj or {})
    namespace = reader.get(NAMESPACES, "", request.namespace)
    if namespace is None:
        raise NotFound.of(NAMESPACES, request.namespace)
    return labels(namespace)
