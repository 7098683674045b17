"""One operation of the API, as both OpenAPI documents are written from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
STATUS = f"{META}.Status"
DELETE_OPTIONS = f"{META}.DeleteOptions"
PATCH = f"{META}.Patch"
PATCH_MEDIA_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)

Produces = Literal["object", "list", "text", "any", "json", "keys", "custom"]
"""Which media types answer: those of objects, those and streams of a watch, those and plain text, any, JSON, a JSON key set, or
those of custom resources."""
OBJECTS = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
CUSTOM_OBJECTS = ("application/json", "application/yaml")
STREAMS = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")


class Operation(Struct, frozen=True, kw_only=True):
    """One method of one path."""

    path: str
    method: str
    """In lower case, as OpenAPI has it."""
    id: str
    description: str
    action: str
    """x-kubernetes-action; empty outside of resources."""
    tag: str
    group_version_kind: tuple[str, str, str] | None
    query: Sequence[str] = ()
    """Names of query parameters, described in ``openapi_parameters``."""
    body: str = ""
    """Definition of the request body; empty: none."""
    answers: str = ""
    """Definition of a successful response; empty: a string."""
    codes: Sequence[int] = (200,)
    """Status codes of success."""
    produces: Produces = "object"
    consumes: Sequence[str] = ("*/*",)

    @property
    def path_parameters(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
