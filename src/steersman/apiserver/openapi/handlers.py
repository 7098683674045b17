"""The OpenAPI paths, for the kinds that are served now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from steersman.apiserver import respond
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.call import Call
from steersman.apiserver.router import PathHandler, not_found
from steersman.apiserver.version import GIT_VERSION
from steersman.meta.wire import Response
from steersman.schema import openapi_protobuf
from steersman.schema.registry import Registry

if TYPE_CHECKING:
    from steersman.schema.openapi import Encoded, OpenAPI


class OpenAPIPaths:
    def __init__(self, kinds: ServedKinds) -> None:
        self._kinds = kinds
        self._registry: Registry | None = None
        self._documents: OpenAPI | None = None

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {"/openapi/v2": self.v2, "/openapi/v3": self.v3_index}

    @property
    def prefixes(self) -> Mapping[str, PathHandler]:
        return {"/openapi/v3/": self.v3}

    def documents(self) -> OpenAPI:
        """Those of the kinds that are served now."""
        from steersman.schema.openapi import OpenAPI  # only a server that is asked for documents needs it

        registry = self._kinds.registry
        if self._documents is None or registry is not self._registry:
            self._registry = registry
            self._documents = OpenAPI(registry, release=GIT_VERSION, custom=self._kinds.custom_definitions)
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
        wanted, current = call.query("hash"), documents.v3_hash(path)
        if not current:
            return not_found(call)
        if wanted and wanted != current:
            headers = respond.headers(call, "text/html; charset=utf-8")
            return Response(status=301, headers={**headers, "location": f"/openapi/v3/{path}?hash={current}"})
        found = await asyncio.to_thread(documents.v3, path)
        if found is None:
            return not_found(call)
        response = _response(call, found, "application/json")
        if not wanted:
            return response
        immutable = {**response.headers, "cache-control": "public, immutable"}
        return Response(status=response.status, headers=immutable, body=response.body)


def _response(call: Call, document: Encoded, content_type: str) -> Response:
    etag = f'"{document.etag}"'
    headers = respond.headers(call, content_type) | {"etag": etag, "vary": "Accept-Encoding, Accept"}
    if etag in call.header("if-none-match"):
        return Response(status=304, headers=headers)
    if "gzip" in call.header("accept-encoding") and not call.is_in_process:
        return Response(headers=headers | {"content-encoding": "gzip"}, body=document.gzip)
    return Response(headers=headers, body=document.body)
