"""The OpenAPI paths, for the kinds that are served now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from steersman.apiserver import respond
from steersman.apiserver.aggregation.aggregator import Aggregator
from steersman.apiserver.aggregation.remoteopenapi import RemoteDocuments
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.call import Call
from steersman.apiserver.router import PathHandler, not_found
from steersman.apiserver.version import GIT_VERSION
from steersman.meta.wire import Response
from steersman.schema import openapi_protobuf

if TYPE_CHECKING:
    from steersman.schema.openapi import Encoded, OpenAPI


class OpenAPIPaths:
    def __init__(self, kinds: ServedKinds, aggregator: Aggregator) -> None:
        self._kinds = kinds
        self._aggregator = aggregator
        self._made_of: tuple[object, ...] = ()
        self._documents: OpenAPI | None = None

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {"/openapi/v2": self.v2, "/openapi/v3": self.v3_index}

    @property
    def prefixes(self) -> Mapping[str, PathHandler]:
        return {"/openapi/v3/": self.v3}

    def documents(self) -> OpenAPI:
        """Those of the kinds that are served now, here and by extension servers."""
        from steersman.schema.openapi import OpenAPI  # only a server that is asked for documents needs it

        remote = self._aggregator.openapi
        made_of = (self._kinds.registry, remote.generation)
        if self._documents is None or made_of != self._made_of:
            self._made_of = made_of
            found = remote.documents()
            self._documents = OpenAPI(
                self._kinds.registry,
                release=GIT_VERSION,
                custom=self._kinds.custom_definitions,
                others=[documents.v2 for documents in found],
                elsewhere={path: url for documents in found for path, url in documents.index().items()},
            )
        return self._documents

    async def v2(self, call: Call) -> Response:
        documents = self.documents()
        accept = call.header("accept")
        if not any(name in accept for name in openapi_protobuf.ACCEPTED_MEDIA_TYPES):
            found = await asyncio.to_thread(lambda: documents.v2)
            return _response(call, found, "application/json")
        found = await asyncio.to_thread(lambda: documents.v2_protobuf)
        return _response(call, found, openapi_protobuf.MEDIA_TYPE)

    async def v3_index(self, call: Call) -> Response:
        return _response(call, self.documents().v3_index, "application/json")

    async def v3(self, call: Call) -> Response:
        documents = self.documents()
        path = call.info.path.removeprefix("/openapi/v3/").rstrip("/")
        remote = self._aggregator.openapi.of_path(path)
        if remote is not None:
            return await self._remote(call, remote, path)
        wanted, current = call.query("hash"), documents.v3_hash(path)
        if not current:
            return not_found(call)
        if wanted and wanted != current:
            return _moved(call, f"/openapi/v3/{path}?hash={current}")
        found = await asyncio.to_thread(documents.v3, path)
        if found is None:
            return not_found(call)
        response = _response(call, found, "application/json")
        return _immutable(response) if wanted else response

    async def _remote(self, call: Call, remote: RemoteDocuments, path: str) -> Response:
        """An extension server's document: from that server, or made from its v2 document where it has no other."""
        if remote.v3_index is not None:
            return await self._aggregator.servers.proxy(call, remote.service)
        from steersman.schema.openapi import encoded

        location, wanted = remote.index()[path], call.query("hash")
        if wanted and not location.endswith(f"={wanted}"):
            return _moved(call, location)
        response = _response(call, encoded(remote.converted), "application/json")
        return _immutable(response) if wanted else response


def _moved(call: Call, location: str) -> Response:
    headers = respond.headers(call, "text/html; charset=utf-8")
    return Response(status=301, headers={**headers, "location": location})


def _immutable(response: Response) -> Response:
    headers = {**response.headers, "cache-control": "public, immutable"}
    return Response(status=response.status, headers=headers, body=response.body)


def _response(call: Call, document: Encoded, content_type: str) -> Response:
    etag = f'"{document.etag}"'
    headers = respond.headers(call, content_type) | {"etag": etag, "vary": "Accept-Encoding, Accept"}
    if etag in call.header("if-none-match"):
        return Response(status=304, headers=headers)
    if "gzip" in call.header("accept-encoding") and not call.is_in_process:
        return Response(headers=headers | {"content-encoding": "gzip"}, body=document.gzip)
    return Response(headers=headers, body=document.body)
