"""Discovery documents, computed from a registry of kinds. Pure.

Source: the API reference of metav1.APIGroupList and APIResourceList, and KEP-3352 (aggregated discovery).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Literal

from steersman.meta.objects import Object
from steersman.schema.kind import Kind, Subresource
from steersman.schema.registry import Registry

AggregatedVersion = Literal["v2", "v2beta1"]


def storage_version_hash(kind: Kind) -> str:
    """Tells clients whether two resources are stored as the same kind."""
    group = kind.resource.group if kind.storage_group is None else kind.storage_group
    version = kind.storage_version or kind.resource.version
    digest = hashlib.sha256(f"{group}/{version}/{kind.resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def api_versions(server_address: str) -> Object:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def _group(registry: Registry, group: str) -> Object:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in registry.versions(group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def api_group(registry: Registry, group: str) -> Object:
    """``/apis/<group>``."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, group)}


def api_group_list(registry: Registry) -> Object:
    """``/apis``."""
    groups = [_group(registry, group) for group in registry.groups if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_resource_list(registry: Registry, group: str, version: str) -> Object:
    """``/api/v1`` and ``/apis/<group>/<version>``."""
    resources: list[Object] = []
    for kind in registry.kinds_of(group, version):
        resources.append(_resource(kind))
        resources += [_subresource(kind, entry) for entry in sorted(kind.subresources, key=lambda entry: entry.name)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _resource(kind: Kind) -> Object:
    resource: Object = {
        "name": kind.resource.plural,
        "singularName": kind.singular,
        "namespaced": kind.resource.namespaced,
        "kind": kind.resource.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if kind.is_stored:
        resource["storageVersionHash"] = storage_version_hash(kind)
    return resource


def _subresource(kind: Kind, entry: Subresource) -> Object:
    described: Object = {
        "name": f"{kind.resource.plural}/{entry.name}",
        "singularName": "",
        "namespaced": kind.resource.namespaced,
    }
    if entry.group:
        described["group"] = entry.group
    if entry.version:
        described["version"] = entry.version
    return {**described, "kind": entry.kind or kind.resource.kind, "verbs": list(entry.verbs)}


def aggregated(registry: Registry, groups: Sequence[str], version: AggregatedVersion) -> Object:
    """Everything about ``groups`` in one document."""
    items = [_aggregated_group(registry, group) for group in groups]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _aggregated_group(registry: Registry, group: str) -> Object:
    metadata: Object = {"name": group} if group else {}
    return {
        "metadata": {**metadata, "creationTimestamp": None},
        "versions": [
            {
                "version": version,
                "resources": [_aggregated_resource(kind) for kind in registry.kinds_of(group, version)],
                "freshness": "Current",
            }
            for version in registry.versions(group)
        ],
    }


def _aggregated_resource(kind: Kind) -> Object:
    resource = kind.resource
    described: Object = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        described["shortNames"] = list(kind.short_names)
    if kind.categories:
        described["categories"] = list(kind.categories)
    if kind.subresources:
        described["subresources"] = [
            {
                "subresource": entry.name,
                "responseKind": {
                    "group": entry.group if entry.kind else resource.group,
                    "version": entry.version or resource.version,
                    "kind": entry.kind or resource.kind,
                },
                "verbs": list(entry.verbs),
            }
            for entry in sorted(kind.subresources, key=lambda entry: entry.name)
        ]
    return described
