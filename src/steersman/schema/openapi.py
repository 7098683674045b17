"""The OpenAPI documents of one registry, as bytes: built when first asked for, then kept.

Building v2 takes a good tenth of a second of CPU, all v3 documents together as long; nothing is built at start-up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, reduce
from typing import Any

import msgspec
from msgspec import Struct

from steersman.schema import (
    openapi_merging,
    openapi_paths,
    openapi_protobuf,
    openapi_v2,
    openapi_v3,
    openapi_v3_protobuf,
)
from steersman.schema.customresources.publishing import v2_form
from steersman.schema.definitions import Definition
from steersman.schema.kind import Kind
from steersman.schema.openapi_operation import Operation
from steersman.schema.registry import Registry


class Encoded(Struct, frozen=True, kw_only=True, dict=True):
    """A document as it goes out."""

    body: bytes
    etag: str
    """SHA-512 in upper case hexadecimal digits, without quotes: of the body, or of the JSON that this is another form of."""

    @cached_property
    def gzip(self) -> bytes:
        from isal import igzip  # only a server that is asked for documents needs it

        return igzip.compress(self.body, mtime=0)


class V3Document(Struct, frozen=True, kw_only=True, dict=True):
    """The document of one group and version."""

    json: Encoded
    made_of: object = None
    """What decides about its text besides the program: equal parts make equal documents."""

    @cached_property
    def protobuf(self) -> Encoded:
        """As ``openapi_v3_protobuf.MEDIA_TYPE``, under the JSON's ETag: the hash in its URL leads to both forms."""
        return Encoded(body=openapi_v3_protobuf.encode(msgspec.json.decode(self.json.body)), etag=self.json.etag)


class OpenAPI:
    """Documents for ``registry``.

    ``custom`` holds the definitions of kinds that are not built in, by the names that their ``Kind.definition`` and
    ``Kind.listed_definition`` use, in the form of ``customresources.publishing``. ``release`` is the server's version. ``others``
    are v2 documents of other servers, to be merged in that order; ``elsewhere`` the URLs of v3 documents, by path, that others
    serve. ``earlier``: the documents of the same server before something changed; those that did not change are taken from there.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        release: str = "",
        custom: Mapping[str, Definition] | None = None,
        others: Sequence[Mapping[str, Any]] = (),
        elsewhere: Mapping[str, str] | None = None,
        earlier: OpenAPI | None = None,
    ) -> None:
        self._registry = registry
        self._release = release
        self._others = others
        self._elsewhere = elsewhere or {}
        self._custom = dict(custom or {})
        self._v3: dict[str, V3Document] = {}
        known: dict[str, V3Document] = {} if earlier is None else {**earlier._earlier, **earlier._v3}
        self._earlier: dict[str, V3Document] = {
            path: document for path, document in known.items() if path in self._sources
        }

    @property
    def _version(self) -> str:
        """``1.36`` of ``v1.36.0+abc``; what upstream writes where no release is known."""
        return ".".join(self._release.removeprefix("v").split(".")[:2]) or "unversioned"

    @cached_property
    def v2(self) -> Encoded:
        """``/openapi/v2`` as JSON."""
        return encoded(msgspec.json.encode(self._v2_document()))

    @cached_property
    def v2_protobuf(self) -> Encoded:
        """``/openapi/v2`` as ``openapi_protobuf.MEDIA_TYPE``."""
        return encoded(openapi_protobuf.encode(self._v2_document()))

    def _v2_document(self) -> dict[str, Any]:
        operations = [operation for make in self._sources.values() for operation in make()]
        custom = {name: v2_form(definition) for name, definition in self._custom.items()}
        own = openapi_v2.document(operations, openapi_v2.reached(operations, custom), version=self._version)
        return reduce(openapi_merging.merged, map(dict, self._others), own)

    @cached_property
    def v3_index(self) -> Encoded:
        """``/openapi/v3``: the documents, each with the hash by which clients cache it. All of them are made for it."""
        paths = {path: {"serverRelativeURL": v3_url(path, self._made(path).json.etag)} for path in self._sources}
        paths |= {path: {"serverRelativeURL": url} for path, url in self._elsewhere.items()}
        return encoded(msgspec.json.encode({"paths": dict(sorted(paths.items()))}))

    def v3(self, path: str) -> V3Document | None:
        """``/openapi/v3/<path>``, e.g. of ``apis/apps/v1``; None where there is no such document."""
        return self._made(path) if path in self._sources else None

    def _made(self, path: str) -> V3Document:
        found = self._v3.get(path)
        if found is not None:
            return found
        group, _, version = path.removeprefix("apis/").rpartition("/")
        made_of = self._parts(path)
        found = self._earlier.pop(path, None)
        if found is None or found.made_of != made_of:
            document = openapi_v3.document(
                self._sources[path](),
                self._v3_schema,
                group=group,
                version=version,
                server_version=self._version,
                is_custom=path.startswith("apis/") and openapi_paths.is_custom(self._registry, group, version),
            )
            found = V3Document(json=encoded(msgspec.json.encode(document)), made_of=made_of)
        self._v3[path] = found
        return found

    def _parts(self, path: str) -> object:
        """The kinds below ``path`` with the definitions of those that are not built in. Of a server, the rest does not change."""
        kinds = self._kinds.get(path, ())
        names = (name for kind in kinds for name in (kind.definition, kind.listed_definition))
        return kinds, tuple(self._custom.get(name) for name in names)

    @cached_property
    def _kinds(self) -> Mapping[str, tuple[Kind, ...]]:
        """By the path of their document."""
        return {
            openapi_paths.group_version_path(group, version): tuple(self._registry.kinds_of(group, version))
            for group in self._registry.groups
            for version in self._registry.versions(group)
        }

    def _v3_schema(self, name: str) -> Definition:
        own = self._custom.get(name)
        return openapi_v3.schema(name) if own is None else openapi_v3.converted(own)

    @cached_property
    def _sources(self) -> Mapping[str, Callable[[], list[Operation]]]:
        """What makes the operations of each v3 document, by its path."""
        sources: dict[str, Callable[[], list[Operation]]] = {
            path: lambda operations=operations: operations  # type: ignore[misc]
            for path, operations in openapi_paths.server_operations().items()
        }
        built_in = {kind.resource.group for kind in self._registry.kinds if not kind.is_custom}
        for group in self._registry.groups:
            if group in built_in:
                sources[f"apis/{group}" if group else "api"] = lambda group=group: openapi_paths.group_operations(group)  # type: ignore[misc]
            for version in self._registry.versions(group):
                sources[openapi_paths.group_version_path(group, version)] = (
                    lambda group=group, version=version: openapi_paths.operations(self._registry, group, version)  # type: ignore[misc]
                )
        return sources


def v3_url(path: str, etag: str) -> str:
    """Where the v3 document of ``path`` can be had for good; ``etag``: of its JSON."""
    return f"/openapi/v3/{path}?hash={etag}"


def encoded(body: bytes) -> Encoded:
    """A document's bytes with their hash."""
    return Encoded(body=body, etag=hashlib.sha512(body).hexdigest().upper())
