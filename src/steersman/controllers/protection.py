"""Finalizers that hold an object as long as something uses it: what protection of claims, volumes and address ranges share."""

from __future__ import annotations

from steersman.meta import objects
from steersman.meta.objects import Object


def with_finalizer(obj: Object, finalizer: str, *, is_used: bool) -> Object:
    """``obj`` as it should be: held while it is not being deleted or is used, else let go; ``obj`` itself where it is so."""
    have = objects.finalizers(obj)
    if not objects.is_deleting(obj):
        return obj if finalizer in have else objects.with_metadata(obj, finalizers=[*have, finalizer])
    if finalizer in have and not is_used:
        return objects.with_metadata(obj, finalizers=[name for name in have if name != finalizer] or None)
    return obj
