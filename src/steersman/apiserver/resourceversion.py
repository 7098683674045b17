"""resourceVersions that clients send: read as upstream reads them, refused in its words."""

from __future__ import annotations

from steersman.meta.errors import APIError
from steersman.meta.quoting import quoted

_LIMIT = 1 << 64


class MalformedVersion(APIError):
    """500 without a reason, as upstream's storage answers where nobody before it has looked at the version."""

    code, reason = 500, ""

    @classmethod
    def of_parameter(cls, error: MalformedVersion, text: str) -> MalformedVersion:
        """Of the query, which names the parameter; of an object's metadata it does not."""
        return cls(f"resourceVersion: Invalid value: {quoted(text)}: {error.message}")


def parse(text: str) -> int:
    """A version; 0 where there is none. Raises ``MalformedVersion`` for what is no 64-bit number."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise MalformedVersion(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
    version = int(text) if len(text) <= 4096 else _LIMIT
    if version >= _LIMIT:
        raise MalformedVersion(f"strconv.ParseUint: parsing {quoted(text)}: value out of range")
    return version


def parse_parameter(text: str) -> int:
    """As ``parse``, of a request's query."""
    try:
        return parse(text)
    except MalformedVersion as error:
        raise MalformedVersion.of_parameter(error, text) from error
