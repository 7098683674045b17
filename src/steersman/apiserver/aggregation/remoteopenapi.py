"""The OpenAPI documents of extension servers, for merging into this server's.

Of v2 each contributes the paths of its APIService. Of v3 its index is read, and its documents are passed on as it serves them; a server
that only has v2 has it converted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from steersman.aio.backoff import ItemBackoff
from steersman.aio.clock import Clock
from steersman.apiserver.aggregation.apiservice import APIService
from steersman.apiserver.aggregation.directory import Directory
from steersman.apiserver.aggregation.extensionservers import ExtensionServers
from steersman.apiserver.aggregation.refreshing import LookFailed, Refresher
from steersman.apiserver.authn.api import User
from steersman.apiserver.proxying.backend import Fetched
from steersman.meta.errors import BadRequest
from steersman.schema import openapi_merging

if TYPE_CHECKING:
    from steersman.schema.openapi import V3Document

REFRESH_INTERVAL_S = 60.0
TIMEOUT_S = 60.0
READER = User(name="system:aggregator")
_JSON = {"accept": "application/json"}


class RemoteDocuments(Struct, frozen=True, dict=True):
    """What one APIService's server publishes."""

    service: APIService
    v2: Mapping[str, Any]
    """Its own paths and what they refer to; empty where it publishes none."""
    v2_etag: str
    v3_index: Mapping[str, str] | None
    """Path (``apis/<group>/<version>``) -> URL with the hash; None where the server has no v3."""

    @cached_property
    def converted(self) -> V3Document:
        """The v3 document of a server that has none."""
        from steersman.schema.openapi import V3Document, encoded  # only a server that is asked for documents needs it

        return V3Document(json=encoded(msgspec.json.encode(openapi_merging.to_v3(dict(self.v2)))))

    def index(self) -> Mapping[str, str]:
        """The v3 documents of the APIService, by path."""
        own = self.service.path.lstrip("/")
        if self.v3_index is not None:
            return {path: url for path, url in self.v3_index.items() if path == own}
        if not self.v2:
            return {}
        from steersman.schema.openapi import v3_url

        return {own: v3_url(own, self.converted.json.etag)}


class RemoteOpenAPI:
    """Documents of every remote APIService, kept fresh by ``refresher``."""

    def __init__(self, directory: Directory, servers: ExtensionServers, *, clock: Clock) -> None:
        self._directory = directory
        self._servers = servers
        self._documents: dict[str, RemoteDocuments] = {}
        self.generation = 0
        """Rises with every change of ``documents``."""
        self.refresher = Refresher(
            "openapi", self.look, clock=clock, interval_s=REFRESH_INTERVAL_S, backoff=ItemBackoff(1.0, 60.0), workers=1
        )

    def documents(self) -> list[RemoteDocuments]:
        """Those of the highest priority first."""
        groups: dict[str, int] = {}
        for found in self._documents.values():
            service = found.service
            groups[service.group] = max(groups.get(service.group, 0), service.group_priority)
        return sorted(
            self._documents.values(),
            key=lambda found: (-groups[found.service.group], -found.service.version_priority, found.service.name),
        )

    def of_path(self, path: str) -> RemoteDocuments | None:
        """Whose v3 document ``path`` (``apis/<group>/<version>``) is."""
        return next((found for found in self._documents.values() if path in found.index()), None)

    async def look(self, name: str) -> bool:
        """Bring ``name`` up to date; whether there is something to look at again. Raises ``BackendError`` and ``LookFailed``."""
        service = self._directory.get(name)
        if service is None or service.service is None:
            if self._documents.pop(name, None) is not None:
                self.generation += 1
            return False
        known = self._documents.get(name)
        index = await self._v3_index(service)
        failure: LookFailed | None = None
        try:
            v2, etag = await self._v2(service, known)
        except LookFailed as error:  # one form of its documents says nothing against the other
            failure = error
            v2, etag = (known.v2, "") if known is not None else ({}, "")
        found = RemoteDocuments(service=service, v2=v2, v2_etag=etag, v3_index=index)
        if found != known:
            self._documents[name] = found
            self.generation += 1
        if failure is not None:
            raise failure
        return True

    async def _v3_index(self, service: APIService) -> Mapping[str, str] | None:
        answer = await self._servers.fetch(service, "/openapi/v3", user=READER, headers=_JSON, timeout_s=TIMEOUT_S)
        if answer.status == 404:
            return None
        paths = _decoded(answer).get("paths")
        if not isinstance(paths, dict):
            raise LookFailed("/openapi/v3 is no index of documents")
        return {
            path: entry["serverRelativeURL"]
            for path, entry in paths.items()
            if isinstance(entry, dict) and isinstance(entry.get("serverRelativeURL"), str)
        }

    async def _v2(self, service: APIService, known: RemoteDocuments | None) -> tuple[Mapping[str, Any], str]:
        headers = dict(_JSON)
        if known is not None and known.v2_etag:
            headers["if-none-match"] = known.v2_etag
        answer = await self._servers.fetch(service, "/openapi/v2", user=READER, headers=headers, timeout_s=TIMEOUT_S)
        if answer.status == 304 and known is not None:
            return known.v2, known.v2_etag
        if answer.status == 404:
            return {}, ""
        document = _decoded(answer)
        own = await asyncio.to_thread(_own, document, f"{service.path}/")
        return own, answer.headers.get("etag", "")


def _own(document: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The part of a document whose paths begin with ``prefix``, known to be such that it can be served in every form.

    Raises ``LookFailed``: nobody's document may spoil that of the cluster.
    """
    from steersman.schema import openapi_protobuf, openapi_v3_protobuf  # only servers with extensions need it

    try:
        own = openapi_merging.filtered(document, lambda path: path.startswith(prefix))
        openapi_protobuf.encode(own)
        openapi_v3_protobuf.encode(openapi_merging.to_v3(own))
    except (AttributeError, BadRequest, KeyError, RecursionError, TypeError, ValueError) as error:
        raise LookFailed(f"the OpenAPI document is malformed: {error!r}") from error
    return own


def _decoded(answer: Fetched) -> dict[str, Any]:
    if answer.status != 200:
        raise LookFailed(f"failed to retrieve openAPI spec, http error: {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise LookFailed(f"the OpenAPI document is malformed: {error}") from error
