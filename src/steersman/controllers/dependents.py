"""Which owners a change of a dependent concerns: the one it refers to, the one it referred to, and those that may adopt it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from steersman.client.informer import Change, Informer
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.selectors import LabelSelector, SelectorError, label_selector_of


def selector_of(owner: Mapping[str, Any]) -> LabelSelector | None:
    """The owner's ``spec.selector``; None where it cannot be understood or is absent."""
    try:
        return label_selector_of((owner.get("spec") or {}).get("selector"))
    except SelectorError:
        return None


def owners_of(
    change: Change, owners: Informer, *, selector: Callable[[Mapping[str, Any]], LabelSelector | None] = selector_of
) -> Iterable[str]:
    """Keys of the ``owners`` that ``change`` of a dependent concerns."""
    new, old = change.new, change.old
    current = objects.controller_of(new) if new is not None else None
    former = objects.controller_of(old) if old is not None else None
    keys = []
    if former is not None and (current is None or former["uid"] != current["uid"]):
        keys += _referred(owners, objects.namespace(change.object), former)
    if current is not None:
        keys += _referred(owners, objects.namespace(change.object), current)
    elif new is not None and not objects.is_deleting(new) and _may_be_adopted_now(old, new, former):
        keys += adopters_of(new, owners, selector=selector)
    return keys


def adopters_of(
    orphan: Object, owners: Informer, *, selector: Callable[[Mapping[str, Any]], LabelSelector | None] = selector_of
) -> list[str]:
    """Keys of the owners in the orphan's namespace whose selector matches it."""
    labels = objects.labels(orphan)
    if not labels:
        return []
    found = []
    for owner in owners.by_namespace(objects.namespace(orphan)):
        matcher = selector(owner)
        if matcher is not None and not matcher.is_everything and matcher.matches(labels):
            found.append(objects.key_of(owner))
    return found


def _referred(owners: Informer, namespace: str, reference: Mapping[str, Any]) -> list[str]:
    if reference.get("kind") != owners.resource.kind:
        return []
    key = objects.make_key(namespace, reference["name"])
    owner = owners.get(key)
    return [key] if owner is not None and objects.uid(owner) == reference["uid"] else []


def _may_be_adopted_now(old: Object | None, new: Object, former: Object | None) -> bool:
    return old is None or former is not None or objects.labels(old) != objects.labels(new)
