"""The OpenAPI paths, for the kinds that are served now. What makes documents is loaded when one is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING

from steersman.aio.clock import Clock
from steersman.apiserver import respond
from steersman.apiserver.aggregation.aggregator import Aggregator
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.call import Call
from steersman.apiserver.negotiation import first_offered
from steersman.apiserver.router import PathHandler, not_found
from steersman.apiserver.version import GIT_VERSION
from steersman.meta.wire import Response

if TYPE_CHECKING:
    from steersman.schema.openapi import Encoded, OpenAPI

_JSON = "application/json"
_INDEX = "text/plain; charset=utf-8"
"""What upstream says of its index of v3 documents, which is JSON."""
_IMMUTABLE_FOR_S = 365 * 86400


class OpenAPIPaths:
    """``clock`` gives the dates until which documents may be kept."""

    def __init__(self, kinds: ServedKinds, aggregator: Aggregator, *, clock: Clock) -> None:
        self._kinds = kinds
        self._aggregator = aggregator
        self._clock = clock
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
        from steersman.schema.openapi import OpenAPI

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
                earlier=self._documents,
            )
        return self._documents

    async def v2(self, call: Call) -> Response:
        from steersman.schema import openapi_protobuf

        documents = self.documents()
        media_type = first_offered(call.header("accept"), (_JSON, *openapi_protobuf.ACCEPTED_MEDIA_TYPES))
        if media_type is None:
            return _not_acceptable(call)
        if media_type == _JSON:
            found = await asyncio.to_thread(lambda: documents.v2)
            return _response(call, found, _JSON)
        found = await asyncio.to_thread(lambda: documents.v2_protobuf)
        return _response(call, found, openapi_protobuf.MEDIA_TYPE)

    async def v3_index(self, call: Call) -> Response:
        documents = self.documents()
        return _response(call, await asyncio.to_thread(lambda: documents.v3_index), _INDEX)

    async def v3(self, call: Call) -> Response:
        from steersman.schema import openapi_v3_protobuf

        path = call.info.path.removeprefix("/openapi/v3/").rstrip("/")
        remote = self._aggregator.openapi.of_path(path)
        if remote is not None and remote.v3_index is not None:
            return await self._aggregator.servers.proxy(call, remote.service)
        documents = self.documents()
        found = remote.converted if remote is not None else await asyncio.to_thread(documents.v3, path)
        if found is None:
            return not_found(call)
        media_type = first_offered(call.header("accept"), (_JSON, *openapi_v3_protobuf.ACCEPTED_MEDIA_TYPES))
        if media_type is None:
            return _not_acceptable(call)
        wanted = call.query("hash")
        if wanted and wanted != found.json.etag:
            return _moved(call, path, found.json.etag)
        if media_type == _JSON:
            response = _response(call, found.json, _JSON)
        else:
            document = await asyncio.to_thread(lambda: found.protobuf)
            response = _response(call, document, openapi_v3_protobuf.MEDIA_TYPE)
        return self._immutable(response) if wanted else response

    def _immutable(self, response: Response) -> Response:
        expires = formatdate(self._clock.now() + _IMMUTABLE_FOR_S, usegmt=True)
        headers = {**response.headers, "cache-control": "public, immutable", "expires": expires}
        return Response(status=response.status, headers=headers, body=response.body)


def _moved(call: Call, path: str, etag: str) -> Response:
    """The client's hash is not that of the document: it has changed."""
    from steersman.schema.openapi import v3_url

    headers = respond.headers(call, _JSON) | {"etag": f'"{etag}"', "vary": "Accept", "location": v3_url(path, etag)}
    return Response(status=301, headers=headers)


def _not_acceptable(call: Call) -> Response:
    headers = respond.headers(call, _JSON) | {"vary": "Accept"}
    del headers["content-type"]
    return Response(status=406, headers=headers)


def _response(call: Call, document: Encoded, content_type: str) -> Response:
    etag = f'"{document.etag}"'
    headers = respond.headers(call, content_type) | {"etag": etag, "vary": "Accept-Encoding, Accept"}
    if etag in call.header("if-none-match"):
        return Response(status=304, headers=headers)
    if "gzip" in call.header("accept-encoding") and not call.is_in_process:
        return Response(headers=headers | {"content-encoding": "gzip"}, body=document.gzip)
    return Response(headers=headers, body=document.body)
