"""Writes of status that leave metadata alone."""

from __future__ import annotations

from steersman.meta.objects import Object

_KEPT = ("deletionTimestamp", "generation", "selfLink", "labels", "annotations", "finalizers", "ownerReferences")


def keep_metadata(new: Object, old: Object) -> None:
    """What a client may set of metadata stays as it was: several kinds' ``status`` takes no labels and the like."""
    now, before = new["metadata"], old["metadata"]
    for name in _KEPT:
        if name in before:
            now[name] = before[name]
        else:
            now.pop(name, None)
