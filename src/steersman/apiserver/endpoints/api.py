"""What an endpoint is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import Expected
from steersman.apiserver.served import Served
from steersman.meta.wire import Response
from steersman.schema.structural import compiled

Endpoint = Callable[[API, Served, Call], Awaitable[Response]]
"""Answers one verb on one resource or subresource. Raises ``APIError``."""


def expected_kind(api: API, served: Served) -> Expected:
    """Bodies of the served kind itself."""
    resource = served.resource
    return Expected(
        group=resource.group,
        version=resource.version,
        kind=resource.kind,
        structure=lambda: served.structure,
        is_registered=_is_registered(api),
        is_custom=served.kind.is_custom,
    )


def expected_definition(api: API, group: str, version: str, kind: str, definition: str) -> Expected:
    """Bodies of another kind, by the name of its OpenAPI definition."""
    return Expected(
        group=group,
        version=version,
        kind=kind,
        structure=lambda: compiled(definition),
        is_registered=_is_registered(api),
    )


def _is_registered(api: API) -> Callable[[str, str], bool]:
    registry = api.kinds.registry

    def is_registered(api_version: str, kind: str) -> bool:
        return registry.by_api_version(api_version, kind) is not None

    return is_registered
