"""Pods from templates, templates compared and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import Resource

POD_TEMPLATE_HASH = "pod-template-hash"
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and none of 0, 1, 3: no hash reads as a word."""
_SORTED = msgspec.json.Encoder(order="sorted")


def pod_from(template: Mapping[str, Any], owner: Mapping[str, Any], resource: Resource) -> Object:
    """A pod to create for ``owner`` (of ``resource``), named by the server after it."""
    metadata = template.get("metadata") or {}
    prefix = f"{objects.name(owner)}-"
    made: Object = {
        "generateName": prefix if len(prefix) <= 253 else objects.name(owner),
        "namespace": objects.namespace(owner),
        "ownerReferences": [objects.controller_reference(owner, resource)],
    }
    for field in ("labels", "annotations", "finalizers"):
        if metadata.get(field):
            made[field] = metadata[field]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": template.get("spec") or {}}


def without_hash(template: Mapping[str, Any]) -> Object:
    """``template`` without the label by which a Deployment tells its ReplicaSets apart."""
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != POD_TEMPLATE_HASH}
    metadata.pop("labels", None)
    if labels:
        metadata["labels"] = labels
    return {**template, "metadata": {key: value for key, value in metadata.items() if value}}


def equal_without_hash(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """The templates make the same pods; absent and empty lists are the same, as upstream's semantic equality has it."""
    if one.get("spec") is other.get("spec") and one.get("metadata") is other.get("metadata"):
        return True
    return semantically_equal(without_hash(one), without_hash(other))


def semantically_equal(one: Any, other: Any) -> bool:
    """Equal, where null, absent and an empty list are the same."""
    return bool(_semantic(one) == _semantic(other))


def template_hash(template: Mapping[str, Any], collision_count: int | None = None) -> str:
    """Ten safe characters that depend on everything in ``template`` and on how often the hash has collided."""
    digest = hashlib.blake2b(_SORTED.encode(_semantic(template)), digest_size=8)
    if collision_count is not None:
        digest.update(collision_count.to_bytes(4, "little"))
    value, text = int.from_bytes(digest.digest(), "little"), ""
    for _ in range(10):
        value, index = divmod(value, len(_SAFE))
        text += _SAFE[index]
    return text


def _semantic(value: Any) -> Any:
    """``value`` without nulls and empty lists, which mean the same as absence (an empty map, as in ``emptyDir``, does not)."""
    if isinstance(value, dict):
        items = ((key, _semantic(entry)) for key, entry in value.items())
        return {key: entry for key, entry in items if entry is not None and entry != []}
    if isinstance(value, list):
        return [_semantic(entry) for entry in value]
    return value
