"""Subresources that write a part of the object: ``approval``, ``ephemeralcontainers``, ``finalize``, ``resize``.

What the part is and what may be written there is said in the kind's file, by the hooks of its ``Subresource``.
"""

from __future__ import annotations

from collections.abc import Mapping

from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.get import get
from steersman.apiserver.endpoints.patch import patching
from steersman.apiserver.endpoints.update import updating
from steersman.apiserver.served import Served
from steersman.apiserver.updating import Strategy
from steersman.meta.errors import FieldError
from steersman.meta.objects import Object
from steersman.schema.gatedfields import drop_gated_fields


def part(name: str) -> Mapping[str, Endpoint]:
    """The endpoints of one such subresource, by verb."""

    def prepare(served: Served, new: Object, old: Object) -> None:
        drop_gated_fields(served.kind.definition, new, old)
        hook = served.kind.subresource(name).prepare_update
        if hook is not None:
            hook(new, old)

    def errors(served: Served, new: Object, old: Object) -> list[FieldError]:
        hook = served.kind.subresource(name).validate_update
        return [] if hook is None else hook(new, old)

    strategy = Strategy(subresource=name, prepare=prepare, errors=errors)
    return {"get": get, "update": updating(strategy), "patch": patching(strategy)}
