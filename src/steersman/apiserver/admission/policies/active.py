"""The policies that are in force: those with bindings, compiled anew only where one of the objects changes.

``ActivePolicies.matching(request)`` is what each write asks. Which rules match depends on little (operation, resource, scope), so
that is remembered; names, selectors, bindings and conditions are looked at each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from steersman.apiserver.admission.api import AdmissionRequest, Reader
from steersman.apiserver.admission.matching import Target, Versions, is_exempt
from steersman.apiserver.admission.policies.policy import Binding, Policy
from steersman.meta.objects import Object
from steersman.meta.resources import Resource

_REMEMBERED = 4096
"""Kinds of requests whose rules are remembered; beyond that many all are looked at anew."""
_REVIEWS = frozenset(
    {
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    }
)
"""Questions that a cluster does not work without: no policy is asked about them."""

P = TypeVar("P", bound=Policy)
C = TypeVar("C", bound=Policy | Binding)


class Active(Struct, Generic[P], frozen=True, kw_only=True):
    """A policy with its bindings, in the order of their names."""

    policy: P
    bindings: Sequence[Binding]


class Candidate(Struct, Generic[P], frozen=True, kw_only=True):
    """A policy whose rules match a request."""

    active: Active[P]
    target: Target


_Shape = tuple[str, Resource, str, bool]
_Possible = tuple[Active[P], Target | None]
"""A policy and what it is about; None: that depends on the name."""


class ActivePolicies(Generic[P]):
    """Policies of one kind, in the order of their names."""

    def __init__(
        self,
        reader: Reader,
        versions: Versions,
        policies: Resource,
        bindings: Resource,
        compiled: Callable[[Object], P],
    ) -> None:
        self._reader = reader
        self._versions = versions
        self._resources = (policies, bindings)
        self._compiled = compiled
        self._revisions = (-1, -1)
        self._known: Mapping[str, P] = {}
        self._known_bindings: Mapping[str, Binding] = {}
        self._active: tuple[Active[P], ...] = ()
        self._found: dict[_Shape, tuple[_Possible[P], ...]] = {}
        self._generation = -1

    def matching(self, request: AdmissionRequest) -> Sequence[Candidate[P]]:
        """The policies whose rules match, not yet whose selectors do."""
        policies, bindings = self._resources
        revision = self._reader.revision(policies)
        if not self._known and revision == self._revisions[0]:
            return ()
        revisions = (revision, self._reader.revision(bindings))
        if revisions != self._revisions:
            self._compile()
            self._revisions = revisions
        if not self._active or _is_excluded(request):
            return ()
        found: list[Candidate[P]] = []
        for active, remembered in self._possible(request):
            target = remembered or active.policy.matcher.target(request, self._versions)
            if target is not None:
                found.append(Candidate(active=active, target=target))
        return found

    def _possible(self, request: AdmissionRequest) -> Sequence[_Possible[P]]:
        """Those whose rules match the kind of request, whatever its name."""
        if self._generation != self._versions.generation:
            self._generation = self._versions.generation
            self._found.clear()
        shape = (request.operation, request.kind.resource, request.subresource, bool(request.namespace))
        found = self._found.get(shape)
        if found is None:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            found = self._found[shape] = tuple(self._find(request))
        return found

    def _find(self, request: AdmissionRequest) -> Iterator[_Possible[P]]:
        for active in self._active:
            matcher = active.policy.matcher
            target = None if matcher.looks_at_names else matcher.target(request, self._versions)
            if target is not None or matcher.looks_at_names:
                yield active, target

    def _compile(self) -> None:
        """Objects that have not changed keep what was compiled of them."""
        policies, bindings = self._resources
        self._known = _kept(self._known, self._reader.list(policies), self._compiled)
        listed = self._reader.list(bindings) if self._known else ()
        self._known_bindings = _kept(self._known_bindings, listed, Binding)
        bound: dict[str, list[Binding]] = {}
        for _, binding in sorted(self._known_bindings.items()):
            bound.setdefault(binding.policy, []).append(binding)
        self._active = tuple(
            Active(policy=policy, bindings=tuple(bound[name]))
            for name, policy in sorted(self._known.items())
            if name in bound
        )
        self._found.clear()


def _kept(known: Mapping[str, C], objects: Sequence[Object], compiled: Callable[[Object], C]) -> Mapping[str, C]:
    """By name, what was compiled of these objects already or is now."""
    found: dict[str, C] = {}
    for obj in objects:
        name = obj["metadata"]["name"]
        before = known.get(name)
        found[name] = before if before is not None and before.object is obj else compiled(obj)
    return found


def _is_excluded(request: AdmissionRequest) -> bool:
    resource = request.kind.resource
    return (resource.group, resource.plural) in _REVIEWS or is_exempt(request)
