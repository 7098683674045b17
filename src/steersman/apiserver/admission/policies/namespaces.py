"""The namespace that a request is in, as expressions see it."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, Reader
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES


def namespace_of(request: AdmissionRequest, reader: Reader) -> Object | None:
    """None for what is in none, as a namespace itself. Raises ``NotFound``."""
    if not request.namespace or request.kind.resource == NAMESPACES:
        return None
    found = reader.get(NAMESPACES, "", request.namespace)
    if found is None:
        raise NotFound.of(NAMESPACES, request.namespace)
    return found
