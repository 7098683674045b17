"""The OpenAPI documents of one registry, as bytes: built when first asked for, then kept.

Building v2 takes a good tenth of a second of CPU, a v3 document some milliseconds; nothing is built at start-up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, reduce
from typing import Any

import msgspec
from msgspec import Struct

from steersman.schema import openapi_merging, openapi_paths, openapi_protobuf, openapi_v2, openapi_v3
from steersman.schema.customresources.publishing import v2_form
from steersman.schema.definitions import Definition
from steersman.schema.openapi_operation import Operation
from steersman.schema.registry import Registry


class Encoded(Struct, frozen=True, kw_only=True):
    """A document as it goes out."""

    body: bytes
    gzip: bytes
    etag: str
    """SHA-512 of the body in upper case hexadecimal digits, without quotes."""


class OpenAPI:
    """Documents for ``registry``.

    ``custom`` holds the definitions of kinds that are not built in, by the names that their ``Kind.definition`` and
    ``Kind.listed_definition`` use, in the form of ``customresources.publishing``. ``release`` is the server's version: it is part
    of the hashes by which clients cache v3 documents. ``others`` are v2 documents of other servers, to be merged in that order;
    ``elsewhere`` the URLs of v3 documents, by path, that others serve.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        release: str = "",
        custom: Mapping[str, Definition] | None = None,
        others: Sequence[Mapping[str, Any]] = (),
        elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        self._registry = registry
        self._release = release
        self._others = others
        self._elsewhere = elsewhere or {}
        self._custom = dict(custom or {})
        self._v3: dict[str, Encoded] = {}

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
        """``/openapi/v3``: the documents, each with the hash by which clients cache it."""
        paths = {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={self.v3_hash(path)}"} for path in self._sources}
        paths |= {path: {"serverRelativeURL": url} for path, url in self._elsewhere.items()}
        return encoded(msgspec.json.encode({"paths": dict(sorted(paths.items()))}))

    def v3(self, path: str) -> Encoded | None:
        """``/openapi/v3/<path>``, e.g. of ``apis/apps/v1``; None where there is no such document."""
        make = self._sources.get(path)
        if make is None:
            return None
        found = self._v3.get(path)
        if found is None:
            group, _, version = path.removeprefix("apis/").rpartition("/")
            document = openapi_v3.document(
                make(),
                self._v3_schema,
                group=group,
                version=version,
                server_version=self._version,
                is_custom=path.startswith("apis/") and openapi_paths.is_custom(self._registry, group, version),
            )
            found = self._v3[path] = encoded(msgspec.json.encode(document))
        return found

    def v3_hash(self, path: str) -> str:
        """Changes whenever the document may have changed. Empty for an unknown path.

        Computed from what the document is made of rather than from its bytes, so that the index costs nothing.
        """
        if path not in self._sources:
            return ""
        made_of = [self._release, path, *sorted(self._served(path))]
        return hashlib.sha512(msgspec.json.encode(made_of)).hexdigest().upper()

    def _served(self, path: str) -> list[str]:
        return [
            msgspec.json.encode(
                [
                    kind.resource.plural,
                    kind.definition,
                    sorted(kind.verbs),
                    [(entry.name, sorted(entry.verbs), entry.kind) for entry in kind.subresources],
                    self._custom.get(kind.definition),
                ]
            ).decode()
            for kind in self._registry.kinds
            if openapi_paths.group_version_path(kind.resource.group, kind.resource.version) == path
        ]

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


def encoded(body: bytes) -> Encoded:
    """A document's bytes in the forms in which they go out."""
    from isal import igzip  # only a server that is asked for documents needs it

    return Encoded(body=body, gzip=igzip.compress(body, mtime=0), etag=hashlib.sha512(body).hexdigest().upper())
