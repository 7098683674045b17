"""The discovery paths. The aggregated documents are kept encoded until the served kinds change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from steersman.apiserver import respond
from steersman.apiserver.aggregation import groupversions
from steersman.apiserver.aggregation.aggregator import Aggregator
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.call import Call
from steersman.apiserver.router import PathHandler, unserved
from steersman.meta.objects import Object
from steersman.meta.wire import Response
from steersman.schema import discovery
from steersman.schema.discovery import AggregatedVersion

_AGGREGATED = "apidiscovery.k8s.io"
_AGGREGATED_KIND = "APIGroupDiscoveryList"


class Discovery:
    """Answers ``/api``, ``/apis`` and what is below them that is no resource."""

    def __init__(self, kinds: ServedKinds, aggregator: Aggregator, *, server_address: str) -> None:
        self._kinds = kinds
        self._aggregator = aggregator
        self._server_address = server_address
        self._state: tuple[object, ...] = ()
        self._encoded: dict[tuple[bool, str], tuple[bytes, str]] = {}
        self._groups: dict[str, Object] = {}

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {"/api": self.core_group, "/apis": self.groups}

    @property
    def prefixes(self) -> Mapping[str, PathHandler]:
        return {"/api/": self.below, "/apis/": self.below}

    def group_paths(self) -> list[str]:
        """``/apis/<group>`` and ``/apis/<group>/<version>`` of everything that is served."""
        found: list[str] = []
        for name, group in self._listed().items():
            found += [f"/apis/{name}", *(f"/apis/{entry['groupVersion']}" for entry in group["versions"])]
        return found

    async def core_group(self, call: Call) -> Response:
        version = _wants_aggregated(call)
        if version is not None:
            return self._aggregated(call, version, core=True)
        return _document(call, discovery.api_versions(self._kinds.registry, self._server_address))

    async def groups(self, call: Call) -> Response:
        version = _wants_aggregated(call)
        if version is not None:
            return self._aggregated(call, version, core=False)
        groups = list(self._listed().values())
        return _document(call, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})

    async def below(self, call: Call) -> Response:
        """``/api/v1``, ``/apis/<group>``, ``/apis/<group>/<version>``."""
        registry = self._kinds.registry
        root, *parts = call.info.path.strip("/").split("/")
        group = "" if root == "api" else parts.pop(0)
        found = None
        if root == "apis" and not group:
            return unserved(self._kinds, call)
        if not parts and group:
            listed = self._listed().get(group)
            found = {"kind": "APIGroup", "apiVersion": "v1", **listed} if listed else None
        elif len(parts) == 1:
            found = discovery.api_resource_list(registry, group, parts[0])
        return unserved(self._kinds, call) if found is None else _document(call, found)

    def _fresh(self) -> None:
        """Forget what was made of something else than what is served now."""
        aggregator = self._aggregator
        state = (self._kinds.registry, aggregator.directory.revision, aggregator.discovery.generation)
        if state != self._state:
            self._state = state
            self._encoded.clear()
            self._groups.clear()

    def _listed(self) -> Mapping[str, Object]:
        self._fresh()
        if not self._groups:
            listed = groupversions.listed(self._kinds.registry, self._aggregator.directory.all())
            self._groups = {group: discovery.group_of(group, versions) for group, versions in listed}
        return self._groups

    def _aggregated(self, call: Call, version: AggregatedVersion, *, core: bool) -> Response:
        self._fresh()
        known = self._encoded.get((core, version))
        if known is None:
            body = msgspec.json.encode(self._document(version, core=core))
            known = self._encoded[core, version] = (body, f'"{hashlib.sha512(body).hexdigest().upper()}"')
        body, etag = known
        headers = respond.headers(call, discovery.aggregated_media_type(version))
        headers |= {"etag": etag, "vary": "Accept", "cache-control": "public"}
        if etag in call.header("if-none-match"):
            return Response(status=304, headers=headers)
        return Response(headers=headers, body=body)

    def _document(self, version: AggregatedVersion, *, core: bool) -> Object:
        registry, aggregator = self._kinds.registry, self._aggregator
        if core:
            return discovery.aggregated(registry, core=True, version=version)
        groups = groupversions.discovered(registry, aggregator.directory.all(), aggregator.discovery)
        return discovery.aggregated_of(groups, version=version)


def _document(call: Call, document: Object) -> Response:
    """Raises ``NotAcceptable``: a document has one shape."""
    return respond.value(call, document, form=respond.wanted_document(call, document))


def _wants_aggregated(call: Call) -> AggregatedVersion | None:
    """The version of the aggregated document that the client prefers to the older form, if it does."""
    for clause in call.header("accept").split(","):
        media_type, *parameters = (part.strip() for part in clause.split(";"))
        wanted = dict(part.partition("=")[::2] for part in parameters)
        if media_type == "application/json" and not wanted.get("as"):
            return None
        is_aggregated = wanted.get("g") == _AGGREGATED and wanted.get("as") == _AGGREGATED_KIND
        if is_aggregated and media_type == "application/json":
            if wanted.get("v") == "v2":
                return "v2"
            if wanted.get("v") == "v2beta1":
                return "v2beta1"
    return None
