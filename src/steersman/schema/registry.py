"""The kinds that one API server serves, found by resource or by kind, in upstream's order of groups and versions.

Immutable: a server whose kinds change (CustomResourceDefinitions) builds a new registry with ``with_kinds``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from steersman.schema.kind import Kind, Subresource

GROUP_ORDER: Sequence[str] = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "storagemigration.k8s.io",
)
"""Order of groups in discovery, which decides what an ambiguous short name means to kubectl (upstream: the priorities of
the aggregator's APIServices). Other groups follow by name."""

_POSITION: Mapping[str, int] = {group: position for position, group in enumerate(GROUP_ORDER)}
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?", re.ASCII)
_STABILITY = {"alpha": 0, "beta": 1, None: 2}


def version_priority(version: str) -> tuple[int, int, int, int]:
    """Sort key of versions, preferred last: stable above beta above alpha, then by number; other names below all of them.

    Source: "Version priority" of the CustomResourceDefinition documentation.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return (0, 0, 0, 0)
    major, stage, minor = match.groups()
    return (1, _STABILITY[stage], int(major), int(minor or 0))


class Registry:
    """Kinds by their names. Raises ``ValueError`` where two kinds claim one resource or one kind name."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._by_resource: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str, str], Kind] = {}
        for kind in kinds:
            resource = kind.resource
            _claim(self._by_resource, (resource.group, resource.version, resource.plural), kind)
            _claim(self._by_kind, (resource.group, resource.version, resource.kind), kind)
        self.kinds: tuple[Kind, ...] = tuple(kinds)

    def with_kinds(self, kinds: Sequence[Kind]) -> Registry:
        """A registry that serves ``kinds`` too."""
        return Registry((*self.kinds, *kinds))

    def lookup(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind served below ``/apis/<group>/<version>/<plural>``; None where nothing is."""
        return self._by_resource.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> Kind | None:
        """The kind that an object's ``apiVersion`` and ``kind`` name."""
        return self._by_kind.get((group, version, kind))

    def by_api_version(self, api_version: str, kind: str) -> Kind | None:
        """As ``by_kind``, with group and version as objects write them: ``v1``, ``apps/v1``."""
        group, _, version = api_version.rpartition("/")
        return self._by_kind.get((group, version, kind))

    def preferred(self, group: str, plural: str) -> Kind | None:
        """A resource in the first of its group's versions that has it."""
        for version in self.versions(group):
            kind = self.lookup(group, version, plural)
            if kind is not None:
                return kind
        return None

    def preferred_kind(self, group: str, kind: str) -> Kind | None:
        """A kind in the first of its group's versions that has it."""
        for version in self.versions(group):
            found = self.by_kind(group, version, kind)
            if found is not None:
                return found
        return None

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """In discovery's order; the core group, an empty string, is first."""
        present = {kind.resource.group for kind in self.kinds}
        return tuple(sorted(present, key=lambda group: (_POSITION.get(group, len(_POSITION)), group)))

    @cached_property
    def _versions(self) -> Mapping[str, tuple[str, ...]]:
        versions: dict[str, set[str]] = {}
        for kind in self.kinds:
            versions.setdefault(kind.resource.group, set()).add(kind.resource.version)
        return {
            group: tuple(sorted(sorted(names), key=version_priority, reverse=True)) for group, names in versions.items()
        }

    def versions(self, group: str) -> tuple[str, ...]:
        """A group's served versions, the preferred one first; empty for an unknown group."""
        return self._versions.get(group, ())

    @cached_property
    def _by_group_version(self) -> Mapping[tuple[str, str], tuple[Kind, ...]]:
        found: dict[tuple[str, str], list[Kind]] = {}
        for kind in self.kinds:
            found.setdefault((kind.resource.group, kind.resource.version), []).append(kind)
        return {key: tuple(sorted(kinds, key=lambda kind: kind.resource.plural)) for key, kinds in found.items()}

    def kinds_of(self, group: str, version: str) -> tuple[Kind, ...]:
        """The kinds of one group and version by plural, as discovery lists them; empty where none is served."""
        return self._by_group_version.get((group, version), ())


def subresource(kind: Kind, name: str) -> Subresource | None:
    """The subresource ``name`` of ``kind``; None where it has none of that name."""
    for entry in kind.subresources:
        if entry.name == name:
            return entry
    return None


def _claim(table: dict[tuple[str, str, str], Kind], key: tuple[str, str, str], kind: Kind) -> None:
    if key in table:
        group, version, name = key
        raise ValueError(f"{name} of {group or 'core'}/{version} is registered twice")
    table[key] = kind
