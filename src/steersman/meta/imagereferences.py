"""References to images: ``[domain/]path[:tag][@digest]``, and what a short one means.

The grammar and the meaning of a missing domain, path prefix and tag are those of the distribution project's reference
package, by which container runtimes and kubectl go.
"""

from __future__ import annotations

import re

from msgspec import Struct

DEFAULT_DOMAIN = "docker.io"
OFFICIAL_PREFIX = "library/"
DEFAULT_TAG = "latest"
MAX_NAME_LENGTH = 255

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?)/)?"
    rf"(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}", re.ASCII)


class ImageReference(Struct, frozen=True, kw_only=True):
    """An image's name, whole: with its domain, and with a tag where neither tag nor digest was given."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Without tag and digest."""
        return f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"


def parse(text: str) -> ImageReference:
    """``busybox`` is ``docker.io/library/busybox:latest``. Raises ``ValueError`` for what is no reference."""
    if _IDENTIFIER.fullmatch(text):
        raise ValueError(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    match = _REFERENCE.fullmatch(_with_domain(text))
    if match is None:
        lowered = _REFERENCE.fullmatch(_with_domain(text.lower()))
        raise ValueError("repository name must be lowercase" if lowered else "invalid reference format")
    domain, path, tag, digest = match["domain"], match["path"], match["tag"] or "", match["digest"] or ""
    if len(path) > MAX_NAME_LENGTH:
        raise ValueError(f"repository name must not be more than {MAX_NAME_LENGTH} characters")
    if not tag and not digest:
        tag = DEFAULT_TAG
    return ImageReference(domain=domain, path=path, tag=tag, digest=digest)


def _with_domain(text: str) -> str:
    """A first component is a domain only with a dot, a port, an upper-case letter, or as ``localhost``."""
    first, slash, rest = text.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost" or first != first.lower()):
        first, rest = DEFAULT_DOMAIN, text
    elif first == "index.docker.io":
        first = DEFAULT_DOMAIN
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = OFFICIAL_PREFIX + rest
    return f"{first}/{rest}"
