"""API errors: one class is one Status reason and code, with upstream's wording where clients match on it.

Sources: metav1.StatusReason in the API reference, and the messages kube-apiserver sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from steersman.meta.quoting import quoted
from steersman.meta.resources import Resource

FieldErrorType = Literal[
    "FieldValueRequired",
    "FieldValueInvalid",
    "FieldValueNotSupported",
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueNotFound",
    "FieldValueTypeInvalid",
    "InternalError",
]

_FIELD_ERROR_TEXT: Mapping[FieldErrorType, str] = {
    "FieldValueRequired": "Required value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueNotFound": "Not found",
    "FieldValueTypeInvalid": "Invalid value",
    "InternalError": "Internal error",
}
OMITTED: Any = ...
"""A bad value that messages leave out."""
_WITHOUT_VALUE = frozenset({"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"})


class FieldError(Struct, frozen=True):
    """One thing wrong with one field: upstream's ``field.Error``."""

    type: FieldErrorType
    field: str
    detail: str = ""
    value: Any = None
    forgiven: bool = False
    """It was wrong before the update, too: the client is warned, the update goes on."""

    @property
    def body(self) -> str:
        """Without the field: ``Invalid value: -1: must be greater than or equal to 0``."""
        text = _FIELD_ERROR_TEXT[self.type]
        if self.type not in _WITHOUT_VALUE and self.value is not OMITTED:
            text = f"{text}: {render_value(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def render_value(value: Any) -> str:
    """A bad value as upstream shows it: strings quoted, numbers and booleans bare, the rest as JSON."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    text = msgspec.json.encode(value).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, detail)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, detail, value)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """``Unsupported value: "x": supported values: "a", "b"``."""
    listed = ", ".join(f'"{entry}"' for entry in supported)
    return FieldError("FieldValueNotSupported", field, f"supported values: {listed}", value)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, "", value)


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, detail)


def too_long(field: str, max_length: int) -> FieldError:
    return FieldError("FieldValueTooLong", field, f"may not be more than {max_length} bytes")


def internal(field: str, detail: str) -> FieldError:
    return FieldError("InternalError", field, detail)


def not_found(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", field, "", value)


class APIError(Exception):
    """A request failed as an API server fails it. ``status()`` is the body of the response."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = ""

    def __init__(
        self, message: str, *, details: Mapping[str, Any] | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self._shows_details = details is not None  # upstream's failures without a resource say `details: {}`
        self.retry_after_s = retry_after_s
        if retry_after_s is not None:
            self.details.setdefault("retryAfterSeconds", retry_after_s)

    @property
    def http_code(self) -> int:
        return self.code

    def status(self) -> dict[str, Any]:
        """A ``v1.Status`` object with this failure."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details or self._shows_details:
            status["details"] = self.details
        status["code"] = self.http_code
        return status

    def causes(self) -> Sequence[Mapping[str, Any]]:
        causes: Sequence[Mapping[str, Any]] = self.details.get("causes") or []
        return causes


def _details(resource: Resource | None, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name} if name else {}
    if resource is not None:
        if resource.group:
            details["group"] = resource.group
        details["kind"] = resource.plural
    return details


class BadRequest(APIError):
    """400: the request is malformed."""

    code, reason = 400, "BadRequest"


class Unauthorized(APIError):
    """401: who is asking is not known."""

    code, reason = 401, "Unauthorized"

    def __init__(self, message: str = "Unauthorized") -> None:
        super().__init__(message)


class Forbidden(APIError):
    """403: who is asking may not do that, or a policy refuses it."""

    code, reason = 403, "Forbidden"

    @classmethod
    def of(cls, resource: Resource, name: str, why: str) -> Forbidden:
        """``pods "a" is forbidden: <why>``."""
        subject = f"{resource.group_resource} {quoted(name)}" if name else resource.group_resource
        return cls(f"{subject} is forbidden: {why}", details=_details(resource, name))


class NotFound(APIError):
    """404: no such object."""

    code, reason = 404, "NotFound"

    @classmethod
    def of(cls, resource: Resource, name: str) -> NotFound:
        return cls(f"{resource.group_resource} {quoted(name)} not found", details=_details(resource, name))

    @classmethod
    def path(cls) -> NotFound:
        """No such path or resource is served."""
        return cls("the server could not find the requested resource", details={})


class MethodNotAllowed(APIError):
    """405: the resource does not have that verb."""

    code, reason = 405, "MethodNotAllowed"

    @classmethod
    def of(cls, resource: Resource, verb: str) -> MethodNotAllowed:
        return cls(
            f'{verb} is not supported on resources of kind "{resource.group_resource}"', details=_details(resource, "")
        )


class NotAcceptable(APIError):
    """406: no media type that the client accepts can be produced."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(APIError):
    """409: an object of that name exists."""

    code, reason = 409, "AlreadyExists"

    @classmethod
    def of(cls, resource: Resource, name: str) -> AlreadyExists:
        return cls(f"{resource.group_resource} {quoted(name)} already exists", details=_details(resource, name))


class Conflict(APIError):
    """409: the object has changed since it was read, or its state does not allow the operation."""

    code, reason = 409, "Conflict"

    @classmethod
    def of(cls, resource: Resource, name: str, why: str) -> Conflict:
        """``Operation cannot be fulfilled on pods "a": <why>``."""
        return cls(
            f"Operation cannot be fulfilled on {resource.group_resource} {quoted(name)}: {why}",
            details=_details(resource, name),
        )

    @classmethod
    def modified(cls, resource: Resource, name: str) -> Conflict:
        """The optimistic lock failed."""
        return cls.of(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )


class Gone(APIError):
    """410: no longer available at this address."""

    code, reason = 410, "Gone"


class Expired(APIError):
    """410: the requested revision or continuation is compacted away; list again."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(APIError):
    """413: the body exceeds the server's limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(APIError):
    """415: the body's media type is not understood."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(APIError):
    """422: the object violates its schema or semantics."""

    code, reason = 422, "Invalid"

    @classmethod
    def of(cls, kind: str, group: str, name: str, errors: Sequence[FieldError]) -> Invalid:
        """``Pod "a" is invalid: spec.x: Required value`` with one cause per field error, as upstream aggregates them."""
        texts = list(dict.fromkeys(str(error) for error in errors))
        text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        qualified = f"{kind}.{group}" if group else kind
        details: dict[str, Any] = {"name": name} if name else {}
        if group:
            details["group"] = group
        if kind:
            details["kind"] = kind
        details["causes"] = [{"reason": error.type, "message": error.body, "field": error.field} for error in errors]
        return cls(f"{qualified} {quoted(name)} is invalid: {text}", details=details)


class TooManyRequests(APIError):
    """429: try again later."""

    code, reason = 429, "TooManyRequests"


class InternalError(APIError):
    """500: a defect of the server or of something it depends on."""

    code, reason = 500, "InternalError"


class ServerTimeout(APIError):
    """500: the operation could not be completed now; retry."""

    code, reason = 500, "ServerTimeout"


class ServiceUnavailable(APIError):
    """503: not ready, or a backend does not answer."""

    code, reason = 503, "ServiceUnavailable"


class Timeout(APIError):
    """504: the request took too long. Upstream's messages begin with ``Timeout: ``."""

    code, reason = 504, "Timeout"


class OtherStatus(APIError):
    """A failure whose reason this module has no class for; code and reason are as received."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        super().__init__(str(status.get("message") or "unknown failure"), details=status.get("details"))
        self._status = dict(status)

    @property
    def http_code(self) -> int:
        return int(self._status.get("code") or 500)

    def status(self) -> dict[str, Any]:
        return self._status


_CLASSES: Sequence[type[APIError]] = (
    BadRequest, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict, Gone, Expired,
    RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError, ServerTimeout,
    ServiceUnavailable, Timeout,
)  # fmt: skip
_BY_REASON: Mapping[str, type[APIError]] = {cls.reason: cls for cls in _CLASSES}


def from_status(status: Mapping[str, Any]) -> APIError:
    """The exception that a received ``v1.Status`` stands for."""
    reason = str(status.get("reason") or "")
    if reason == "Unauthorized":
        return Unauthorized(str(status.get("message") or "Unauthorized"))
    known = _BY_REASON.get(reason)
    if known is None:
        return OtherStatus(status)
    details = status.get("details") or {}
    return known(str(status.get("message") or reason), details=details, retry_after_s=details.get("retryAfterSeconds"))
