"""Kubernetes' URLs: ``url``, ``isURL`` and what a URL consists of, by the rules of Go's ``net/url``."""

from __future__ import annotations

import re
from typing import ClassVar
from urllib.parse import quote, unquote, unquote_plus

from msgspec import Struct

from steersman.cel import types
from steersman.cel.costs import traversal
from steersman.cel.declarations import Library, function, member, overload
from steersman.cel.errors import EvaluationError
from steersman.cel.types import BOOL, STRING, Type

URL_TYPE = types.object_of("kubernetes.URL")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.ASCII | re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT = re.compile(r"(?::[0-9]*)?", re.ASCII)
_USER_INFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*", re.ASCII)
_HOST_CHARACTER = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"%\u0080-\U0010ffff]*")
_SAFE_IN_PATH = "/!$&'()*+,;=:@-._~[]"


class URL(Struct, frozen=True):
    cel_type: ClassVar[Type] = URL_TYPE

    scheme: str
    host: str
    path: str
    """As it is written, escapes included."""
    query: str
    fragment: str = ""
    user: str = ""

    def hostname(self) -> str:
        host = self.host
        if host.startswith("["):
            return host[1:].partition("]")[0]
        return host.rpartition(":")[0] if ":" in host else host

    def port(self) -> str:
        tail = self.host.rpartition("]")[2] if self.host.startswith("[") else self.host
        return tail.rpartition(":")[2] if ":" in tail else ""

    def escaped_path(self) -> str:
        """As written if that is a valid encoding, else encoded anew."""
        if re.fullmatch(r"(?:[A-Za-z0-9\-_.~$&+,/:;=@!'()*\[\]]|%[0-9A-Fa-f]{2})*", self.path):
            return self.path
        return quote(unquote(self.path), safe=_SAFE_IN_PATH.replace("[", "").replace("]", ""))

    def queries(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for part in self.query.split("&"):
            if not part or ";" in part or _BAD_ESCAPE.search(part):
                continue
            key, _, value = part.partition("=")
            found.setdefault(unquote_plus(key), []).append(unquote_plus(value))
        return found


def parse_url(text: str) -> URL:
    """An absolute URL or an absolute path. Raises ``ValueError`` with Go's words."""
    quoted = f'parse "{text}"'
    if any(ord(character) < 0x20 or character == "\x7f" for character in text):
        raise ValueError(f"{quoted}: net/url: invalid control character in URL")
    if not text:
        raise ValueError(f"{quoted}: empty url")
    if text.startswith(":"):
        raise ValueError(f"{quoted}: missing protocol scheme")
    match = _SCHEME.fullmatch(text)
    scheme, rest = (match[1].lower(), match[2]) if match is not None else ("", text)
    if match is None and ":" in text.partition("/")[0]:
        raise ValueError(f"{quoted}: first path segment in URL cannot contain colon")
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme and rest:
            return URL(scheme, "", "", query, fragment)
        raise ValueError(f"{quoted}: invalid URI for request")
    user = host = ""
    if (scheme or not rest.startswith("///")) and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        user, _, host = authority.rpartition("@")
        _check_authority(quoted, user, host)
    bad = _BAD_ESCAPE.search(rest)
    if bad is not None:
        raise ValueError(f'{quoted}: invalid URL escape "{rest[bad.start() : bad.start() + 3]}"')
    return URL(scheme, unquote(host) if "%" in host else host, rest, query, fragment, user)


def _check_authority(quoted: str, user: str, host: str) -> None:
    if not _USER_INFO.fullmatch(user):
        raise ValueError(f"{quoted}: net/url: invalid userinfo")
    if host.startswith("["):
        inside, closing, port = host.rpartition("]")
        if not closing or not inside:
            raise ValueError(f"{quoted}: missing ']' in host")
    else:
        name, colon, number = host.partition(":") if host.count(":") == 1 else ("", "", "")
        port = colon + number if name or colon else host[host.rfind(":") :] if ":" in host else ""
        if host.count(":") > 1:
            port = host[host.index(":") :]
    if not _PORT.fullmatch(port):
        raise ValueError(f'{quoted}: invalid port "{port}" after host')
    if " " in host or not _HOST_CHARACTER.fullmatch(host):
        bad = next(character for character in host if not _HOST_CHARACTER.fullmatch(character))
        raise ValueError(f'{quoted}: invalid character "{bad}" in host name')
    escape = re.search(r"%(?!25)", host) if not host.startswith("[") else None
    if escape is not None:
        raise ValueError(f'{quoted}: invalid URL escape "{host[escape.start() : escape.start() + 3]}"')


def _url(text: str) -> URL:
    try:
        return parse_url(text)
    except ValueError as error:
        raise EvaluationError(f"URL parse error during conversion from string: {error}") from error


def _is_url(text: str) -> bool:
    try:
        parse_url(text)
    except ValueError:
        return False
    return True


LIBRARY = Library(
    name="kubernetes.urls",
    functions=(
        function("url", overload("string_to_url", STRING, to=URL_TYPE, do=_url, cost=traversal(keeps_size=True))),
        function("isURL", overload("is_url_string", STRING, to=BOOL, do=_is_url)),
        function("getScheme", member("url_get_scheme", URL_TYPE, to=STRING, do=lambda url: url.scheme)),
        function("getHost", member("url_get_host", URL_TYPE, to=STRING, do=lambda url: url.host)),
        function("getHostname", member("url_get_hostname", URL_TYPE, to=STRING, do=URL.hostname)),
        function("getPort", member("url_get_port", URL_TYPE, to=STRING, do=URL.port)),
        function("getEscapedPath", member("url_get_escaped_path", URL_TYPE, to=STRING, do=URL.escaped_path)),
        function(
            "getQuery",
            member("url_get_query", URL_TYPE, to=types.map_of(STRING, types.list_of(STRING)), do=URL.queries),
        ),
    ),
    types=(URL_TYPE,),
)
