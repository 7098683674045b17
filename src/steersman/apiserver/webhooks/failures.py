"""Failures of webhook calls in client-go's words, which users search for and tests match on."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping

import msgspec

from steersman.apiserver.webhooks.api import CallFailed
from steersman.meta.objects import Object
from steersman.meta.quoting import quoted

_MESSAGES: Mapping[int, str] = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
_BODY_IS_MESSAGE = frozenset({403, 406, 415})
_SHOWN_CHARACTERS = 2048
_decoder = msgspec.json.Decoder()


def network_failure(error: BaseException, authority: str) -> str:
    """Why no response came: the last part of Go's ``Post "…": dial tcp …``."""
    cause: BaseException = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    match cause:
        case socket.gaierror():
            return f"dial tcp: lookup {authority.rpartition(':')[0]}: no such host"
        case TimeoutError():
            return f"dial tcp {authority}: i/o timeout"
        case ssl.SSLCertVerificationError():
            return f"tls: failed to verify certificate: x509: {_certificate_problem(cause)}"
        case ssl.SSLError():
            return f"tls: {(cause.reason or str(cause)).replace('_', ' ').lower()}"
        case ConnectionResetError():
            return "read: connection reset by peer"
        case OSError(errno=int(number)):
            return f"dial tcp {authority}: connect: {os.strerror(number).lower()}"
        case _:
            return str(cause) or type(cause).__name__


def _certificate_problem(error: ssl.SSLCertVerificationError) -> str:
    text = error.verify_message or ""
    if "expired" in text or "not yet valid" in text:
        return f"certificate has expired or is not yet valid: {text}"
    if "mismatch" in text:
        return text[:1].lower() + text[1:]
    return "certificate signed by unknown authority"


def bad_response(status: int, body: bytes) -> CallFailed:
    """What a response outside 2xx says, for which a Status in its body counts before its code."""
    found = _status_of(body)
    if found is not None and found.get("message"):
        return CallFailed(str(found["message"]), code=int(found.get("code") or status), status=found)
    return CallFailed(_message(status, body.decode(errors="replace")[:_SHOWN_CHARACTERS] or "unknown"), code=status)


def _message(status: int, text: str) -> str:
    if status in _BODY_IS_MESSAGE:
        return text
    if status in _MESSAGES:
        return _MESSAGES[status]
    if status >= 500:
        return f"an error on the server ({quoted(text)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"


def _status_of(body: bytes) -> Object | None:
    try:
        value = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_failure = isinstance(value, dict) and value.get("kind") == "Status" and value.get("status") != "Success"
    return value if is_failure else None
