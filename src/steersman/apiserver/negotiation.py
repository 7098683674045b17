"""Content negotiation: which representation a client accepts, which media type its body has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from steersman.meta.errors import NotAcceptable, UnsupportedMediaType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

SUPPORTED: Sequence[str] = (JSON, YAML, PROTOBUF)
"""What requests and responses can be, preferred first."""
PRODUCED: tuple[str, ...] = (JSON, YAML, PROTOBUF)
"""What the routes of one object answer with."""
PRODUCED_OF_MANY: tuple[str, ...] = (*PRODUCED, f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
"""What the routes of collections answer with."""
WITHOUT_PROTOBUF: Sequence[str] = (JSON, YAML)
"""For kinds that have no protobuf message: custom ones."""

Shape = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]
_SHAPES: frozenset[str] = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})
_SHAPE_VERSIONS = frozenset({"v1", "v1beta1"})
_META_GROUP = "meta.k8s.io"


class Representation(Struct, frozen=True):
    """How objects are sent: a media type, and optionally as another kind of ``meta.k8s.io``."""

    media_type: str = JSON
    shape: Shape = ""
    shape_version: str = "v1"
    pretty: bool = False

    @property
    def is_plain(self) -> bool:
        """The object's own JSON, as it is stored."""
        return not self.shape and self.media_type == JSON and not self.pretty


class Clause(Struct, frozen=True):
    media_type: str
    parameters: tuple[tuple[str, str], ...]
    quality: float

    def parameter(self, name: str) -> str:
        return dict(self.parameters).get(name, "")


@lru_cache(maxsize=512)
def representation(
    accept: str, pretty: bool = False, has_protobuf: bool = True, has_table: bool = True, has_shapes: bool = True
) -> Representation:
    """The best representation for an Accept header. ``has_protobuf``: of the object as it is; ``has_table``: it can be
    shown in one; ``has_shapes``: it can be sent as another kind at all. Raises ``NotAcceptable``.

    A Table has no protobuf form; PartialObjectMetadata has one whatever it is made of.
    """
    if not accept:
        return Representation(pretty=pretty)
    for clause in clauses(accept):
        media_type = _produced(clause.media_type)
        if media_type is None:
            continue
        wants_pretty = pretty or clause.parameter("pretty") == "1"
        shape = clause.parameter("as")
        if (shape == "Table" and not has_table) or (shape and not has_shapes):
            continue
        if media_type == PROTOBUF and (shape == "Table" or not (shape or has_protobuf)):
            continue
        if not shape:
            return Representation(media_type, pretty=wants_pretty)
        version = clause.parameter("v")
        if shape in _SHAPES and clause.parameter("g") == _META_GROUP and version in _SHAPE_VERSIONS:
            return Representation(media_type, shape, version, wants_pretty)  # type: ignore[arg-type]
    accepted = SUPPORTED if has_protobuf else WITHOUT_PROTOBUF
    raise NotAcceptable(f"only the following media types are accepted: {', '.join(accepted)}")


@lru_cache(maxsize=512)
def representation_or_default(accept: str, pretty: bool = False, has_protobuf: bool = True) -> Representation:
    """As ``representation``, for errors, which are sent to everybody, as what they are."""
    try:
        return representation(accept, pretty, has_protobuf, has_shapes=False)
    except NotAcceptable:
        return Representation(pretty=pretty)


@lru_cache(maxsize=512)
def require_produced(accept: str, produced: tuple[str, ...]) -> None:
    """What upstream's router asks before a built-in kind's handler runs: a media type that is named, ``*/*``, or none.

    Patterns such as ``application/*`` are none to it. Raises ``NotAcceptable``.
    """
    if not accept:
        return
    for clause in accept.split(","):
        media_type = clause.partition(";")[0].strip()
        if media_type == "*/*" or media_type in produced:
            return
    message = f"406: Not Acceptable\n\nAvailable representations: {', '.join(produced)}"
    raise NotAcceptable(message, details={})


@lru_cache(maxsize=512)
def first_offered(accept: str, offers: tuple[str, ...]) -> str | None:
    """Of media types that are served as they are, the one that the client prefers; None where it accepts none of them."""
    for clause in clauses(accept or "*/*"):
        for offer in offers:
            if clause.media_type in (offer, "*/*", f"{offer.partition('/')[0]}/*"):
                return offer
    return None


@lru_cache(maxsize=512)
def body_media_type(content_type: str, has_protobuf: bool = True) -> str:
    """The media type of a body, JSON where the client does not say. Raises ``UnsupportedMediaType``."""
    named, *parameters = content_type.split(";")
    media_type = named.strip().lower() or JSON
    accepted = SUPPORTED if has_protobuf else WITHOUT_PROTOBUF
    if media_type not in accepted or not all("=" in parameter or not parameter.strip() for parameter in parameters):
        raise unsupported(accepted)
    return media_type


def unsupported(media_types: Sequence[str]) -> UnsupportedMediaType:
    """415, naming what is understood."""
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(media_types)}"
    )


def _produced(pattern: str) -> str | None:
    if pattern in ("*/*", "application/*"):
        return JSON
    return pattern if pattern in SUPPORTED else None


def clauses(accept: str) -> list[Clause]:
    """What an Accept header asks for, preferred first."""
    found = []
    for text in accept.split(","):
        media_type, *parameters = (part.strip() for part in text.split(";"))
        if not media_type:
            continue
        pairs = tuple(
            (name.strip(), value.strip().strip('"')) for name, _, value in (p.partition("=") for p in parameters)
        )
        try:
            quality = float(dict(pairs).get("q", "1"))
        except ValueError:
            quality = 0.0
        found.append(Clause(media_type.lower(), pairs, quality))
    return sorted((clause for clause in found if clause.quality > 0), key=lambda clause: -clause.quality)
