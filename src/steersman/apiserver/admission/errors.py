"""How plugins refuse requests, and how they fail where upstream's do not say that the request is forbidden."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.apiserver.admission.api import AdmissionRequest
from steersman.meta.errors import APIError, Forbidden


class Unwrapped(APIError):
    """500 without a reason, as upstream hands out errors that its plugins do not wrap."""

    code, reason = 500, ""


def name_of(request: AdmissionRequest) -> str:
    """What messages call the object of a request; while its name is yet to be generated, what it will begin with."""
    if request.name:
        return request.name
    metadata = (request.obj or {}).get("metadata") or {}
    return metadata.get("name") or metadata.get("generateName") or "Unknown"


def refused(request: AdmissionRequest, why: str) -> Forbidden:
    """``pods "web-" is forbidden: <why>``."""
    return Forbidden.of(request.kind.resource, name_of(request), why)


def aggregated(failures: Sequence[str]) -> str:
    """Several failures in one text, each once."""
    different = list(dict.fromkeys(failures))
    return different[0] if len(different) == 1 else f"[{', '.join(different)}]"
