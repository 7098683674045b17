"""What extension servers say that they serve: their part of the aggregated discovery documents.

A version is Current where the last look succeeded and Stale where it did not: what was known before is shown then. Source: upstream's
discovery manager.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steersman.aio.backoff import ItemBackoff
from steersman.aio.clock import Clock
from steersman.apiserver.aggregation.apiservice import APIService
from steersman.apiserver.aggregation.directory import Directory
from steersman.apiserver.aggregation.extensionservers import ExtensionServers
from steersman.apiserver.aggregation.refreshing import LookFailed, Refresher
from steersman.apiserver.authn.api import MASTERS_GROUP, User
from steersman.apiserver.proxying.backend import BackendError, Fetched
from steersman.apiserver.webhooks.api import ServiceReference
from steersman.meta.objects import Object
from steersman.schema.discovery import aggregated_media_type

REFRESH_INTERVAL_S = 60.0
READER = User(name="system:kube-aggregator", groups=(MASTERS_GROUP,))
_ACCEPT = f"{aggregated_media_type('v2')},{aggregated_media_type('v2beta1')}"
_NO_KIND = {"group": "", "version": "", "kind": ""}
_Versions = Mapping[tuple[str, str], Object]
"""(group, version) -> APIVersionDiscovery."""


class RemoteDiscovery:
    """Discovery of every remote APIService, kept fresh by ``refresher``."""

    def __init__(self, directory: Directory, servers: ExtensionServers, *, clock: Clock) -> None:
        self._directory = directory
        self._servers = servers
        self._versions: dict[str, Object] = {}
        self._known: dict[ServiceReference, tuple[str, _Versions]] = {}
        self.generation = 0
        """Rises with every change of what ``version`` answers."""
        self.refresher = Refresher(
            "discovery", self.look, clock=clock, interval_s=REFRESH_INTERVAL_S, backoff=ItemBackoff(0.5, 60.0)
        )

    def version(self, service: APIService) -> Object | None:
        """The APIVersionDiscovery of what ``service`` serves; None where nobody has looked yet."""
        return self._versions.get(service.name)

    async def look(self, name: str) -> bool:
        """Bring ``name`` up to date; whether there is something to look at again. Raises ``BackendError`` and ``LookFailed``."""
        service = self._directory.get(name)
        if service is None or service.service is None:
            if self._versions.pop(name, None) is not None:
                self.generation += 1
            self._forget_unused()
            return False
        failure: BackendError | LookFailed | None = None
        try:
            versions = await self._fetch(service, service.service)
        except (BackendError, LookFailed) as error:
            failure = error
            versions = self._known.get(service.service, ("", {}))[1]
        entry = dict(versions.get((service.group, service.version)) or {"version": service.version})
        entry["freshness"] = "Stale" if failure else "Current"
        if failure is not None and "resources" not in entry and name in self._versions:
            entry = {**self._versions[name], "freshness": "Stale"}
        if self._versions.get(name) != entry:
            self._versions[name] = entry
            self.generation += 1
        if failure is not None:
            raise failure
        return True

    async def _fetch(self, service: APIService, reference: ServiceReference) -> _Versions:
        etag, known = self._known.get(reference, ("", {}))
        headers = {"accept": _ACCEPT}
        if etag:
            headers["if-none-match"] = etag
        answer = await self._servers.fetch(service, "/apis", user=READER, headers=headers)
        if answer.status == 304 and etag:
            return known
        if answer.status == 503:
            raise LookFailed(
                f"service {reference.namespace}/{reference.name}:{reference.port} returned non-success response code: 503"
            )
        if answer.status == 200 and _is_aggregated(answer.headers.get("content-type", "")):
            versions = _versions(_decoded(answer))
            self._known[reference] = (answer.headers.get("etag", ""), versions)
            return versions
        return await self._fetch_older(service)

    async def _fetch_older(self, service: APIService) -> _Versions:
        """From a server that has no aggregated discovery, one version at a time."""
        headers = {"accept": "application/json"}
        answer = await self._servers.fetch(service, service.discovery_path, user=READER, headers=headers)
        if answer.status != 200:
            raise LookFailed(f"failed to download legacy discovery for {service.discovery_path}: {answer.status}")
        resources = _decoded(answer).get("resources")
        if not isinstance(resources, list):
            raise LookFailed(f"{service.discovery_path} is no APIResourceList")
        found: Object = {"version": service.version, "resources": converted(resources)}
        return {(service.group, service.version): found}

    def _forget_unused(self) -> None:
        used = {service.service for service in self._directory.remotes()}
        for reference in self._known.keys() - used:
            del self._known[reference]


def _is_aggregated(content_type: str) -> bool:
    parameters = dict(part.strip().partition("=")[::2] for part in content_type.split(";")[1:])
    return parameters.get("as") == "APIGroupDiscoveryList" and parameters.get("g") == "apidiscovery.k8s.io"


def _decoded(answer: Fetched) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise LookFailed(f"the discovery document is malformed: {error}") from error


def _versions(document: Mapping[str, Any]) -> _Versions:
    found: dict[tuple[str, str], Object] = {}
    try:
        for group in document.get("items") or ():
            for version in group.get("versions") or ():
                resources = [_with_kinds(entry) for entry in version.get("resources") or ()]
                found[group["metadata"]["name"], version["version"]] = {"version": version["version"], "resources": resources}  # fmt: skip
    except (AttributeError, KeyError, TypeError) as error:
        raise LookFailed(f"the discovery document is malformed: {error!r}") from error
    return found


def _with_kinds(resource: Mapping[str, Any]) -> Object:
    """Clients of 1.26 cannot do without a ``responseKind``."""
    found: Object = {**resource, "responseKind": resource.get("responseKind") or _NO_KIND}
    if resource.get("subresources"):
        found["subresources"] = [
            {**entry, "responseKind": entry.get("responseKind") or _NO_KIND} for entry in resource["subresources"]
        ]
    return found


def converted(resources: Sequence[Mapping[str, Any]]) -> list[Object]:
    """The resources of an APIResourceList as aggregated discovery has them. Raises ``BackendError`` and ``LookFailed``."""
    found: dict[str, Object] = {}
    try:
        for resource in resources:
            if "/" not in resource["name"]:
                found[resource["name"]] = _resource(resource)
        for resource in resources:
            parent, slash, subresource = resource["name"].partition("/")
            if slash:
                owner = found.setdefault(
                    parent, {"resource": parent, "scope": _scope(resource), "responseKind": _NO_KIND, "verbs": []}
                )
                owner.setdefault("subresources", []).append(
                    {"subresource": subresource, "responseKind": _kind(resource), "verbs": resource.get("verbs") or []}
                )
    except (AttributeError, KeyError, TypeError) as error:
        raise LookFailed(f"the discovery document is malformed: {error!r}") from error
    return list(found.values())


def _resource(resource: Mapping[str, Any]) -> Object:
    entry: Object = {
        "resource": resource["name"],
        "responseKind": _kind(resource),
        "scope": _scope(resource),
        "singularResource": resource.get("singularName") or "",
        "verbs": resource.get("verbs") or [],
    }
    for name in ("shortNames", "categories"):
        if resource.get(name):
            entry[name] = resource[name]
    return entry


def _scope(resource: Mapping[str, Any]) -> str:
    return "Namespaced" if resource.get("namespaced") else "Cluster"


def _kind(resource: Mapping[str, Any]) -> Object:
    return {name: resource.get(name) or "" for name in ("group", "version", "kind")}
