"""How a request fails because of a policy: the Status that clients get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from steersman.apiserver.admission.api import AdmissionRequest
from steersman.meta.errors import APIError, Forbidden, InternalError
from steersman.meta.quoting import quoted

_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}


class Denied(APIError):
    """A policy says no, with a reason of its own."""

    def __init__(self, message: str, *, details: dict[str, Any], code: int, reason: str) -> None:
        super().__init__(message, details=details)
        self._code = code
        self._reason = reason

    @property
    def http_code(self) -> int:
        return self._code

    def status(self) -> dict[str, Any]:
        return {**super().status(), "reason": self._reason}


class Refusal(Struct, frozen=True, kw_only=True):
    """One policy's, or one binding's."""

    policy: str
    binding: str = ""
    message: str
    reason: str = ""


def denied_by_validation(request: AdmissionRequest, refusal: Refusal) -> Denied:
    """Only the first refusal of a request is told."""
    by = f"ValidatingAdmissionPolicy '{refusal.policy}'"
    if refusal.binding:
        by += f" with binding '{refusal.binding}'"
    text = f"{by} denied request: {refusal.message}"
    forbidden = Forbidden.of(request.kind.resource, name_of(request), text)
    reason = refusal.reason or "Invalid"
    details = {**forbidden.details, "causes": [{"message": text}]}
    return Denied(forbidden.message, details=details, code=_CODES.get(reason, 422), reason=reason)


def denied_by_mutation(request: AdmissionRequest, refusals: Sequence[Refusal]) -> Denied:
    """The first refusal gives the message; all are causes. The code is 403, whatever the reason: so is upstream's."""
    texts = [
        f"policy '{refusal.policy}' with binding '{refusal.binding}' denied request: {refusal.message}"
        if refusal.binding
        else f"policy {quoted(refusal.policy)} denied request: {refusal.message}"
        for refusal in refusals
    ]
    forbidden = Forbidden.of(request.kind.resource, name_of(request), "")
    details = {**forbidden.details, "causes": [{"message": text} for text in texts]}
    return Denied(texts[0], details=details, code=forbidden.code, reason=refusals[0].reason or forbidden.reason)


def internal(why: str) -> InternalError:
    """500: what a policy made cannot be read, whatever its failure policy."""
    return InternalError(f"Internal error occurred: {why}", details={"causes": [{"message": why}]})


def name_of(request: AdmissionRequest) -> str:
    """What messages call the object of a request."""
    if request.name:
        return request.name
    metadata = (request.obj or {}).get("metadata") or {}
    return metadata.get("name") or metadata.get("generateName") or "Unknown"
