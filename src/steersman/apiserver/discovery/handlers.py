"""The discovery paths. Documents are kept encoded until the served kinds change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import msgspec

from steersman.apiserver import respond
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.call import Call
from steersman.apiserver.discovery import documents
from steersman.apiserver.discovery.documents import AggregatedVersion
from steersman.apiserver.router import PathHandler, not_found
from steersman.meta.objects import Object
from steersman.meta.wire import Response
from steersman.schema.registry import Registry

_AGGREGATED = "apidiscovery.k8s.io"
_AGGREGATED_KIND = "APIGroupDiscoveryList"


class Discovery:
    """Answers ``/api``, ``/apis`` and what is below them that is no resource."""

    def __init__(self, kinds: ServedKinds, *, server_address: str) -> None:
        self._kinds = kinds
        self._server_address = server_address
        self._registry: Registry | None = None
        self._encoded: dict[tuple[str, str], tuple[bytes, str]] = {}

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {"/api": self.core_group, "/apis": self.groups}

    @property
    def prefixes(self) -> Mapping[str, PathHandler]:
        return {"/api/": self.below, "/apis/": self.below}

    async def core_group(self, call: Call) -> Response:
        version = _wants_aggregated(call)
        if version is not None:
            return self._aggregated(call, ("",), version)
        return respond.value(call, documents.api_versions(self._server_address))

    async def groups(self, call: Call) -> Response:
        registry = self._kinds.registry
        version = _wants_aggregated(call)
        if version is not None:
            return self._aggregated(call, tuple(group for group in registry.groups if group), version)
        return respond.value(call, documents.api_group_list(registry))

    async def below(self, call: Call) -> Response:
        """``/api/v1``, ``/apis/<group>``, ``/apis/<group>/<version>``."""
        registry = self._kinds.registry
        root, *parts = call.info.path.strip("/").split("/")
        group = "" if root == "api" else parts.pop(0)
        if not parts and group and registry.versions(group):
            return respond.value(call, documents.api_group(registry, group))
        if len(parts) == 1 and parts[0] in registry.versions(group):
            return respond.value(call, documents.api_resource_list(registry, group, parts[0]))
        return not_found(call)

    def _aggregated(self, call: Call, groups: tuple[str, ...], version: AggregatedVersion) -> Response:
        registry = self._kinds.registry
        if registry is not self._registry:
            self._registry = registry
            self._encoded.clear()
        body, etag = self._document(
            (groups[0] if len(groups) == 1 else "*", version), lambda: documents.aggregated(registry, groups, version)
        )
        content_type = f"application/json;g={_AGGREGATED};v={version};as={_AGGREGATED_KIND}"
        headers = respond.headers(call, content_type) | {"etag": etag, "vary": "Accept", "cache-control": "public"}
        if etag in call.header("if-none-match"):
            return Response(status=304, headers=headers)
        return Response(headers=headers, body=body)

    def _document(self, key: tuple[str, str], make: Callable[[], Object]) -> tuple[bytes, str]:
        found = self._encoded.get(key)
        if found is None:
            body = msgspec.json.encode(make())
            found = self._encoded[key] = (body, f'"{hashlib.sha256(body).hexdigest().upper()}"')
        return found


def _wants_aggregated(call: Call) -> AggregatedVersion | None:
    """The first version of the aggregated document in the Accept header; clients name it before the plain one."""
    for clause in call.header("accept").split(","):
        media_type, *parameters = (part.strip() for part in clause.split(";"))
        wanted = dict(part.partition("=")[::2] for part in parameters)
        if media_type == "application/json" and not wanted.get("as"):
            return None
        if wanted.get("g") == _AGGREGATED and wanted.get("as") == _AGGREGATED_KIND:
            if wanted.get("v") == "v2" and media_type == "application/json":
                return "v2"
            if wanted.get("v") == "v2beta1" and media_type == "application/json":
                return "v2beta1"
    return None
