"""Which groups and versions the cluster serves, whoever serves them, in the order that their priorities say.

The older discovery documents list APIServices; the aggregated ones list what servers say of themselves. Source: upstream's apisHandler and its
aggregated discovery manager.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from steersman.apiserver.aggregation.apiservice import CONTINUOUSLY, CUSTOM_PRIORITY, PRIORITIES, APIService
from steersman.apiserver.aggregation.remotediscovery import RemoteDiscovery
from steersman.meta.objects import Object
from steersman.schema.discovery import version_discovery
from steersman.schema.registry import Registry, version_priority

REGISTRATION_GROUP = "apiregistration.k8s.io"
_REGISTRATION_PRIORITY = (20001, 0)
"""Above everything that an APIService can have."""


class _Entry(Struct, frozen=True, kw_only=True):
    group: str
    version: str
    group_priority: int
    version_priority: int
    discovery: Object | None = None


def listed(registry: Registry, services: Iterable[APIService]) -> list[tuple[str, list[str]]]:
    """Groups other than the core one, each with its versions, the preferred one first."""
    entries = {
        (service.group, service.version): _Entry(
            group=service.group,
            version=service.version,
            group_priority=service.group_priority,
            version_priority=service.version_priority,
        )
        for service in services
        if service.group and not _is_gone(registry, service)
    }
    for group, version in _local(registry):
        if (group, version) not in entries:
            entries[group, version] = _entry(group, version)
    ordered = sorted(entries.values(), key=lambda entry: (-entry.group_priority, f"{entry.version}.{entry.group}"))
    groups: dict[str, list[_Entry]] = {}
    for entry in ordered:
        groups.setdefault(entry.group, []).append(entry)
    return [(group, [entry.version for entry in _by_version(members)]) for group, members in groups.items()]


def discovered(
    registry: Registry, services: Iterable[APIService], remote: RemoteDiscovery
) -> list[tuple[str, list[Object]]]:
    """Groups other than the core one, each with the APIVersionDiscoveries of its versions."""
    entries: dict[tuple[str, str], _Entry] = {}
    for service in services:
        found = remote.version(service) if service.service is not None else None
        if found is not None and service.group:
            entries[service.group, service.version] = _Entry(
                group=service.group,
                version=service.version,
                group_priority=service.group_priority,
                version_priority=service.version_priority,
                discovery=found,
            )
    for group, version in _local(registry):
        if (group, version) not in entries:
            entries[group, version] = _entry(group, version)
    groups: dict[str, list[_Entry]] = {}
    for entry in entries.values():
        groups.setdefault(entry.group, []).append(entry)
    ordered = sorted(groups, key=lambda group: (-max(entry.group_priority for entry in groups[group]), group))
    return [
        (
            group,
            [
                entry.discovery or version_discovery(registry, group, entry.version)
                for entry in _by_version(groups[group])
            ],
        )
        for group in ordered
    ]


def _local(registry: Registry) -> list[tuple[str, str]]:
    return [(group, version) for group in registry.groups if group for version in registry.versions(group)]


def _entry(group: str, version: str) -> _Entry:
    default = _REGISTRATION_PRIORITY if group == REGISTRATION_GROUP else CUSTOM_PRIORITY
    first, second = PRIORITIES.get((group, version), default)
    return _Entry(group=group, version=version, group_priority=first, version_priority=second)


def _by_version(entries: Sequence[_Entry]) -> list[_Entry]:
    by_name = sorted(entries, key=lambda entry: entry.version)
    return sorted(by_name, key=lambda entry: (entry.version_priority, version_priority(entry.version)), reverse=True)


def _is_gone(registry: Registry, service: APIService) -> bool:
    """A custom resource's version that is not served (any more, or yet): its APIService follows in a moment."""
    return (
        service.service is None
        and service.managed == CONTINUOUSLY
        and service.version not in registry.versions(service.group)
    )
