"""Continue tokens: where a list goes on, and at which revision; opaque to clients, in upstream's form."""

from __future__ import annotations

import base64
import posixpath
import string

import msgspec
from msgspec import Struct

from steersman.apiserver.jsonsyntax import syntax_error
from steersman.meta.errors import BadRequest

INCONSISTENT = -1
"""A token's revision that stands for "whatever is there now"."""
_VERSION = "meta.k8s.io/v1"
_NOT_VALID = "invalid continue token: continue key is not valid: "
_ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")


class Continuation(Struct, frozen=True, kw_only=True):
    start: str
    """The first key that may follow."""
    revision: int


class _Token(msgspec.Struct):
    v: str = ""
    rv: int = 0
    start: str = ""


def encode_continue(after: str, prefix: str, revision: int) -> str:
    """The token of a list of ``prefix`` whose last key was ``after``."""
    return encode_start(f"{after}\0", prefix, revision)


def encode_start(start: str, prefix: str, revision: int) -> str:
    """The token of a list of ``prefix`` that goes on at ``start``."""
    token = _Token(v=_VERSION, rv=revision, start=start.removeprefix(prefix))
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def decode_continue(text: str, prefix: str) -> Continuation:
    """Raises ``BadRequest`` for what is no token of a list of ``prefix``."""
    wrong = next((index for index, char in enumerate(text) if char not in _ALPHABET), None)
    if wrong is None and len(text) % 4 == 1:
        wrong = len(text) - 1
    if wrong is not None:
        raise BadRequest(f"{_NOT_VALID}illegal base64 data at input byte {wrong}")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    try:
        token = msgspec.json.decode(raw, type=_Token)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadRequest(f"{_NOT_VALID}{syntax_error(raw) or error}") from error
    if token.v != _VERSION:
        raise BadRequest(f"{_NOT_VALID}server does not recognize this encoded version {token.v}")
    if token.rv == 0:
        raise BadRequest(f"{_NOT_VALID}incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not token.start:
        raise BadRequest(f"{_NOT_VALID}encoded start key empty (version meta.k8s.io/v1)")
    key = token.start if token.start.startswith("/") else f"/{token.start}"
    if posixpath.normpath(key) != key or key.startswith("//"):
        raise BadRequest(f"{_NOT_VALID}{token.start}")
    return Continuation(start=prefix + key[1:], revision=token.rv)
