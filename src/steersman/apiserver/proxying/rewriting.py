"""What a proxied answer needs so that a browser can follow it: redirects and links point back through the proxy.

Source: upstream's ``util/proxy`` transport.
"""

from __future__ import annotations

import posixpath
import re
import zlib
from collections.abc import Callable, Mapping
from html import escape, unescape
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "a": ("href",), "applet": ("codebase",), "area": ("href",), "audio": ("src",), "base": ("href",),
    "blockquote": ("cite",), "body": ("background",), "button": ("formaction",), "command": ("icon",), "del": ("cite",),
    "embed": ("src",), "form": ("action",), "frame": ("longdesc", "src"), "head": ("profile",), "html": ("manifest",),
    "iframe": ("longdesc", "src"), "img": ("longdesc", "src", "usemap"), "input": ("src", "usemap", "formaction"),
    "ins": ("cite",), "link": ("href",), "object": ("classid", "codebase", "data", "usemap"), "q": ("cite",),
    "script": ("src",), "source": ("src",), "video": ("poster", "src"),
}  # fmt: skip
_TAG = re.compile(rb"<([a-zA-Z]+)(\s[^<>]*)>")
_ATTRIBUTE = re.compile(rb"(\s)([a-zA-Z-]+)(\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s\"'>]+)")
CORS_HEADERS = frozenset(
    {
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
    }
)


class Rewriter(Struct, frozen=True, kw_only=True):
    """``host`` is the backend's authority; links to it begin with ``prefix`` for the client, which asked for ``requested``."""

    host: str
    prefix: str
    requested: str = ""

    def url(self, text: str) -> str:
        """An absolute link through the proxy; relative ones and those to other hosts stay."""
        try:
            parts = urlsplit(text)
        except ValueError:
            return text
        if parts.netloc not in ("", self.host, self.requested) or not parts.path.startswith("/"):
            return text
        is_requested = bool(parts.netloc) and parts.netloc == self.requested
        scheme, netloc = (parts.scheme, parts.netloc) if is_requested else ("", "")
        if parts.path.startswith(self.prefix):
            return urlunsplit((scheme, netloc, parts.path, parts.query, parts.fragment))
        joined = posixpath.normpath(f"{self.prefix}/{parts.path}")
        if parts.path.endswith("/"):
            joined += "/"
        return urlunsplit((scheme, netloc, joined, parts.query, parts.fragment))

    def html(self, body: bytes) -> bytes:
        """Every link in a page rewritten."""

        def tag(match: re.Match[bytes]) -> bytes:
            names = _ATTRIBUTES.get(match[1].decode().lower())
            if names is None:
                return match[0]

            def attribute(found: re.Match[bytes]) -> bytes:
                if found[2].decode().lower() not in names:
                    return found[0]
                value = found[4]
                quote = value[:1] if value[:1] in (b'"', b"'") else b""
                text = (
                    value.strip(quote).decode(errors="surrogateescape")
                    if quote
                    else value.decode(errors="surrogateescape")
                )
                rewritten = self.url(unescape(text))
                if rewritten == unescape(text):
                    return found[0]
                encoded = escape(rewritten).encode(errors="surrogateescape")
                return b"%b%b%b%b%b%b" % (found[1], found[2], found[3], quote, encoded, quote)

            return b"<%b%b>" % (match[1], _ATTRIBUTE.sub(attribute, match[2]))

        return _TAG.sub(tag, body)


def recoded(body: bytes, encoding: str, change: Callable[[bytes], bytes], *, limit_bytes: int) -> bytes:
    """``body`` changed within its content encoding (none, gzip, deflate); as it is where it is longer than ``limit_bytes``.

    Raises ``zlib.error`` for a body that is not so encoded. Deflate is raw, as upstream's.
    """
    if not encoding:
        return change(body)
    bits = 31 if encoding == "gzip" else -15
    decompressor = zlib.decompressobj(wbits=bits)
    page = decompressor.decompress(body, limit_bytes)
    if decompressor.unconsumed_tail:
        return body
    compressor = zlib.compressobj(wbits=bits)
    return compressor.compress(change(page)) + compressor.flush()
