"""``pods/ephemeralcontainers``: add containers for debugging to a running pod."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.get import get
from steersman.apiserver.endpoints.patch import patching
from steersman.apiserver.endpoints.update import updating
from steersman.apiserver.served import Served
from steersman.apiserver.updating import Strategy, raise_generation
from steersman.meta.errors import FieldError, forbidden
from steersman.meta.objects import Object


def _prepare(served: Served, new: Object, old: Object) -> None:
    """Everything but the ephemeral containers stays; of the metadata, what a status update may change."""
    wanted = (new.get("spec") or {}).get("ephemeralContainers")
    new["spec"] = dict(old["spec"])
    if wanted:
        new["spec"]["ephemeralContainers"] = wanted
    else:
        new["spec"].pop("ephemeralContainers", None)
    if "status" in old:
        new["status"] = old["status"]
    else:
        new.pop("status", None)
    raise_generation(served, new, old)


def _errors(served: Served, new: Object, old: Object) -> list[FieldError]:
    field = "spec.ephemeralContainers"
    wanted = {entry.get("name"): entry for entry in new["spec"].get("ephemeralContainers") or ()}
    errors: list[FieldError] = []
    for entry in old["spec"].get("ephemeralContainers") or ():
        name = entry.get("name")
        if name not in wanted:
            errors.append(forbidden(field, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif wanted[name] != entry:
            errors.append(forbidden(field, f'existing ephemeral containers "{name}" may not be changed\n'))
    return errors + served.kind.validate(new)


_STRATEGY = Strategy(subresource="ephemeralcontainers", prepare=_prepare, errors=_errors)
VERBS: Mapping[str, Endpoint] = {"get": get, "update": updating(_STRATEGY), "patch": patching(_STRATEGY)}
