"""Which conversions between versions of custom resources this server does.

Strategy None changes the name of the version. Webhooks are not called yet: definitions that need one are refused by name,
unless they have one version only and nothing is ever converted.
"""

from __future__ import annotations

from steersman.apiserver.api import Reservation, StorageHook
from steersman.apiserver.call import Call
from steersman.meta.errors import Invalid, forbidden
from steersman.meta.objects import Object
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS

_UNSUPPORTED = "strategy Webhook is not supported by this server yet where there are several versions"


class ConversionStrategies:
    """Looks at definitions as they are written."""

    async def begin_create(self, call: Call, obj: Object, *, dry_run: bool) -> Reservation | None:
        _check(obj)
        return None

    async def begin_update(self, call: Call, obj: Object, old: Object, *, dry_run: bool) -> Reservation | None:
        _check(obj)
        return None

    async def after_delete(self, obj: Object) -> None:
        return None


def _check(crd: Object) -> None:
    """Raises ``Invalid``."""
    spec = crd.get("spec") or {}
    if (spec.get("conversion") or {}).get("strategy") == "Webhook" and len(spec.get("versions") or ()) > 1:
        resource = CUSTOMRESOURCEDEFINITIONS
        errors = [forbidden("spec.conversion.strategy", _UNSUPPORTED)]
        raise Invalid.of(resource.kind, resource.group, crd["metadata"].get("name") or "", errors)


def _conforms() -> StorageHook:
    return ConversionStrategies()
