"""``pods/resize``: change the resources of a running pod's containers (KEP-1287)."""

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

_CHANGEABLE = ("resources", "resizePolicy")


def _prepare(served: Served, new: Object, old: Object) -> None:
    """Only the resources and resize policies of containers that exist are taken from ``new``."""
    spec = dict(old["spec"])
    for field in ("containers", "initContainers"):
        wanted = {entry.get("name"): entry for entry in (new.get("spec") or {}).get(field) or ()}
        if old["spec"].get(field):
            spec[field] = [_resized(entry, wanted.get(entry.get("name"), entry)) for entry in old["spec"][field]]
    new["spec"] = spec
    if "status" in old:
        new["status"] = old["status"]
    else:
        new.pop("status", None)
    raise_generation(served, new, old)


def _resized(old: Object, wanted: Object) -> Object:
    kept = {key: value for key, value in old.items() if key not in _CHANGEABLE}
    return {**kept, **{key: wanted[key] for key in _CHANGEABLE if key in wanted}}


def _errors(served: Served, new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    if (old.get("status") or {}).get("qosClass") and _qos_inputs_removed(new, old):
        errors.append(forbidden("spec", "resource limits and requests cannot be removed"))
    return errors + served.kind.validate(new)


def _qos_inputs_removed(new: Object, old: Object) -> bool:
    for before, after in zip(old["spec"].get("containers") or (), new["spec"].get("containers") or (), strict=True):
        had, have = before.get("resources") or {}, after.get("resources") or {}
        for field in ("requests", "limits"):
            if set(had.get(field) or ()) - set(have.get(field) or ()):
                return True
    return False


_STRATEGY = Strategy(subresource="resize", prepare=_prepare, errors=_errors)
VERBS: Mapping[str, Endpoint] = {"get": get, "update": updating(_STRATEGY), "patch": patching(_STRATEGY)}
