"""Discovery documents: what a server serves, in the older form (a document per group and version) and aggregated.

Plain values made from a registry; the server encodes and caches them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from steersman.meta.objects import Object
from steersman.schema.kind import Kind, Subresource
from steersman.schema.registry import Registry

AggregatedVersion = Literal["v2", "v2beta1"]
"""Versions of ``apidiscovery.k8s.io``."""

_HASHED_VERSIONS: Mapping[tuple[str, str], str] = {
    ("apiextensions.k8s.io", "customresourcedefinitions"): "v1beta1",
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"): "v1beta1",
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"): "v1beta1",
}
"""Resources whose storageVersionHash upstream computes from an older version than it stores here."""


def aggregated_media_type(version: AggregatedVersion) -> str:
    return f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def api_versions(registry: Registry, server_address: str) -> Object:
    """``/api``; ``server_address`` is ``host:port`` as clients reach the server."""
    return {
        "kind": "APIVersions",
        "versions": list(registry.versions("")),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def api_group_list(registry: Registry) -> Object:
    """``/apis``."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(registry, group) for group in registry.groups if group],
    }


def api_group(registry: Registry, group: str) -> Object | None:
    """``/apis/<group>``; None where the group is not served."""
    if not group or group not in registry.groups:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, group)}


def _group(registry: Registry, group: str) -> Object:
    return group_of(group, registry.versions(group))


def group_of(group: str, names: Sequence[str]) -> Object:
    """A group of ``/apis`` with its versions, the preferred one first."""
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in names]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def api_resource_list(registry: Registry, group: str, version: str) -> Object | None:
    """``/api/v1`` and ``/apis/<group>/<version>``; None where that is not served."""
    kinds = registry.kinds_of(group, version)
    if not kinds:
        return None
    resources: list[Object] = []
    for kind in kinds:
        resources.append(_resource(kind))
        resources.extend(_subresource(kind, entry) for entry in sorted(kind.subresources, key=lambda entry: entry.name))
    resources.sort(key=lambda entry: str(entry["name"]))
    identity = {"kind": "APIResourceList", "apiVersion": "v1"} if group else {"kind": "APIResourceList"}
    return {**identity, "groupVersion": f"{group}/{version}" if group else version, "resources": resources}


def _resource(kind: Kind) -> Object:
    entry: Object = {
        "name": kind.resource.plural,
        "singularName": kind.singular,
        "namespaced": kind.resource.namespaced,
        "kind": kind.resource.kind,
        "verbs": sorted(kind.listed_verbs or kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.is_stored:
        entry["storageVersionHash"] = storage_version_hash(kind)
    return entry


def _subresource(kind: Kind, subresource: Subresource) -> Object:
    entry: Object = {
        "name": f"{kind.resource.plural}/{subresource.name}",
        "singularName": "",
        "namespaced": kind.resource.namespaced,
    }
    if subresource.version:
        entry["group"] = subresource.group
        entry["version"] = subresource.version
    entry["kind"] = subresource.kind or kind.resource.kind
    entry["verbs"] = sorted(subresource.verbs)
    return entry


def storage_version_hash(kind: Kind) -> str:
    """Changes when the version does in which objects are stored; equal for all versions that are served from one store."""
    group = kind.resource.group if kind.storage_group is None else kind.storage_group
    version = _HASHED_VERSIONS.get((kind.resource.group, kind.resource.plural))
    name = f"{group}/{version or kind.storage_version or kind.resource.version}/{kind.resource.kind}"
    return base64.b64encode(hashlib.sha256(name.encode()).digest()[:8]).decode()


def aggregated(registry: Registry, *, core: bool, version: AggregatedVersion = "v2") -> Object:
    """The whole of ``/apis`` (or, with ``core``, of ``/api``) in one document."""
    groups = [group for group in registry.groups if (group == "") is core]
    items = [
        (group, [version_discovery(registry, group, name) for name in registry.versions(group)]) for group in groups
    ]
    return aggregated_of(items, version=version)


def aggregated_of(groups: Sequence[tuple[str, Sequence[Object]]], *, version: AggregatedVersion = "v2") -> Object:
    """The document of groups with their APIVersionDiscoveries, in their order."""
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [
            {"metadata": {"name": group} if group else {}, "versions": list(versions)} for group, versions in groups
        ],
    }


def version_discovery(registry: Registry, group: str, version: str) -> Object:
    """The APIVersionDiscovery of what ``registry`` serves."""
    return {
        "version": version,
        "resources": [_resource_discovery(kind) for kind in registry.kinds_of(group, version)],
        "freshness": "Current",
    }


def _resource_discovery(kind: Kind) -> Object:
    entry: Object = {
        "resource": kind.resource.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.resource.kind},
        "scope": "Namespaced" if kind.resource.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.listed_verbs or kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = _subresource_discoveries(kind, kind.subresources)
    return entry


def _subresource_discoveries(kind: Kind, subresources: Sequence[Subresource]) -> list[dict[str, Any]]:
    return [
        {
            "subresource": subresource.name,
            "responseKind": {
                "group": subresource.group,
                "version": subresource.version,
                "kind": subresource.kind or kind.resource.kind,
            },
            "verbs": sorted(subresource.verbs),
        }
        for subresource in sorted(subresources, key=lambda entry: entry.name)
    ]
