"""ControllerRevisions: the templates that a DaemonSet or StatefulSet had, so that it can be rolled back.

A revision's data is a strategic merge patch that replaces ``spec.template``, as ``kubectl rollout undo`` applies it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.client.api import Client
from steersman.client.informer import Informer
from steersman.controllers.expectations import Expectations
from steersman.controllers.podtemplate import semantically_equal, template_hash
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CONTROLLERREVISIONS, Resource

HASH_LABEL = "controller.kubernetes.io/hash"
REVISION_LABEL = "controller-revision-hash"
LONGEST_PREFIX = 223


def data_of(owner: Mapping[str, Any]) -> Object:
    """With keys in order: clients compare revisions byte by byte with what they would have written."""
    data: Object = _sorted({"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}})
    return data


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(entry) for entry in value] if isinstance(value, list) else value


def template_of(revision: Mapping[str, Any]) -> Object:
    template = dict(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


def with_revision(owner: Object, revision: Mapping[str, Any]) -> Object:
    """``owner`` as it was at ``revision``."""
    return {**owner, "spec": {**owner["spec"], "template": template_of(revision)}}


def in_order(revisions: Iterable[Object]) -> list[Object]:
    return sorted(
        revisions,
        key=lambda entry: (entry["revision"], entry["metadata"].get("creationTimestamp") or "", objects.name(entry)),
    )


def equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return semantically_equal(one.get("data"), other.get("data"))


def is_twin(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Another revision with the same data."""
    return objects.name(one) != objects.name(other) and equal(one, other)


def make(owner: Object, resource: Resource, number: int, collision_count: int, hash_label: str) -> Object:
    """The revision of the owner's present template. ``hash_label`` is by which its pods will name it."""
    data = data_of(owner)
    digest = template_hash(data, collision_count or None)
    labels = {**((owner["spec"]["template"].get("metadata") or {}).get("labels") or {}), hash_label: digest}
    metadata: Object = {
        "name": f"{objects.name(owner)[:LONGEST_PREFIX]}-{digest}",
        "namespace": objects.namespace(owner),
        "labels": labels,
        "ownerReferences": [objects.controller_reference(owner, resource)],
    }
    if objects.annotations(owner):
        metadata["annotations"] = dict(objects.annotations(owner))
    return {
        "apiVersion": CONTROLLERREVISIONS.api_version,
        "kind": CONTROLLERREVISIONS.kind,
        "metadata": metadata,
        "data": data,
        "revision": number,
    }


class Wanted(Struct, frozen=True, kw_only=True):
    """Which revision is the owner's present one; at most one of ``create`` and ``renumber`` makes it so."""

    update: Object
    create: bool = False
    renumber: bool = False


def wanted(owner: Object, resource: Resource, revisions: Sequence[Object], hash_label: str) -> Wanted:
    """``revisions`` in order. An older equal one becomes the newest again."""
    collision_count = (owner.get("status") or {}).get("collisionCount") or 0
    number = revisions[-1]["revision"] + 1 if revisions else 1
    made = make(owner, resource, number, collision_count, hash_label)
    equals = [entry for entry in revisions if equal(entry, made)]
    if not equals:
        return Wanted(update=made, create=True)
    if equals[-1] is revisions[-1]:
        return Wanted(update=equals[-1])
    return Wanted(update={**equals[-1], "revision": number}, renumber=True)


def surplus(revisions: Sequence[Object], live: Iterable[str], limit: int | None) -> list[Object]:
    """The oldest revisions beyond ``limit`` of those that nothing uses; ``live`` are the names of those in use."""
    in_use = set(live)
    unused = [entry for entry in revisions if objects.name(entry) not in in_use]
    return unused[: max(len(unused) - limit, 0)] if limit is not None and limit >= 0 else []


class History(Struct, frozen=True, kw_only=True):
    """Writes revisions."""

    client: Client
    revisions: Informer
    expectations: Expectations

    async def establish(self, key: str, chosen: Wanted) -> Object | None:
        """The revision as it is stored; None where its name is taken by another template (the hash collided)."""
        if chosen.renumber:
            written = await self.client.update(CONTROLLERREVISIONS, chosen.update)
        elif chosen.create:
            try:
                written = await self.client.create(CONTROLLERREVISIONS, chosen.update)
            except AlreadyExists:
                made = chosen.update
                there = await self.client.get(
                    CONTROLLERREVISIONS, objects.name(made), namespace=objects.namespace(made)
                )
                return there if equal(there, made) else None
        else:
            return chosen.update
        self.expectations.wrote(key, self.revisions, written)
        return written

    async def delete(self, key: str, revision: Object) -> None:
        try:
            await self.client.delete(
                CONTROLLERREVISIONS, objects.name(revision), namespace=objects.namespace(revision),
                uid=objects.uid(revision),
            )  # fmt: skip
        except NotFound:
            return
        self.expectations.deleted(key, self.revisions, revision)
