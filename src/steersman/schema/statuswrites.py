"""Writes of status that leave metadata alone."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.meta.objects import Object

_KEPT = ("deletionTimestamp", "generation", "selfLink", "labels", "annotations", "finalizers", "ownerReferences")


def keep_metadata(new: Object, old: Object) -> None:
    """What a client may set of metadata stays as it was: several kinds' ``status`` takes no labels and the like."""
    _keep(new, old, _KEPT)


def keep_labels(new: Object, old: Object) -> None:
    """As ``keep_metadata``, but only the labels."""
    _keep(new, old, ("labels",))


def keep_labels_and_annotations(new: Object, old: Object) -> None:
    """As ``keep_metadata``, but only these."""
    _keep(new, old, ("labels", "annotations"))


def _keep(new: Object, old: Object, names: Sequence[str]) -> None:
    now, before = new["metadata"], old["metadata"]
    for name in names:
        if name in before:
            now[name] = before[name]
        else:
            now.pop(name, None)
