"""Views on API objects. Objects are plain JSON dicts; these functions name what readers look for in them.

An object that came from a cache or a watch is shared and must not be changed: copy along the path that changes
(``with_metadata``, ``{**obj, "status": …}``), never deeply.
"""

from collections.abc import Mapping
from typing import Any

from steersman.meta.resources import Resource

Object = dict[str, Any]
"""An API object as decoded JSON."""


def metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj.get("metadata") or {}


def name(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("name") or "")


def namespace(obj: Mapping[str, Any]) -> str:
    """Empty for objects of the cluster."""
    return str(metadata(obj).get("namespace") or "")


def uid(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("uid") or "")


def resource_version(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("resourceVersion") or "")


def generation(obj: Mapping[str, Any]) -> int:
    return int(metadata(obj).get("generation") or 0)


def labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return metadata(obj).get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return metadata(obj).get("annotations") or {}


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    return metadata(obj).get("finalizers") or []


def owner_references(obj: Mapping[str, Any]) -> list[Object]:
    return metadata(obj).get("ownerReferences") or []


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """A deletionTimestamp is set: the object goes once its finalizers and grace period are over."""
    return bool(metadata(obj).get("deletionTimestamp"))


def key_of(obj: Mapping[str, Any]) -> str:
    """``namespace/name``, or ``name`` for objects of the cluster: the key of queues and caches."""
    space = namespace(obj)
    return f"{space}/{name(obj)}" if space else name(obj)


def make_key(namespace: str, name: str) -> str:
    """The key that ``key_of`` gives an object of this namespace (may be empty) and name."""
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """``key`` as (namespace, name); the namespace is empty for objects of the cluster."""
    space, _, own_name = key.rpartition("/")
    return space, own_name


def controller_of(obj: Mapping[str, Any]) -> Object | None:
    """The owner reference whose ``controller`` is true; an object has at most one."""
    for reference in owner_references(obj):
        if reference.get("controller"):
            return reference
    return None


def is_controlled_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid(owner)


def controller_reference(owner: Mapping[str, Any], resource: Resource) -> Object:
    """An owner reference by which ``owner`` (of ``resource``) controls a dependent and blocks its own deletion."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name(owner),
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def with_metadata(obj: Mapping[str, Any], **changes: Any) -> Object:
    """A copy of ``obj`` whose metadata has ``changes``; a value of None removes the field."""
    new = {**metadata(obj), **changes}
    return {**obj, "metadata": {key: value for key, value in new.items() if value is not None}}


def condition(obj: Mapping[str, Any], kind: str) -> Object | None:
    """The entry of ``status.conditions`` whose type is ``kind``."""
    for entry in (obj.get("status") or {}).get("conditions") or []:
        if entry.get("type") == kind:
            found: Object = entry
            return found
    return None


def is_true(obj: Mapping[str, Any], kind: str) -> bool:
    """The condition ``kind`` of ``obj`` has status True."""
    entry = condition(obj, kind)
    return entry is not None and entry.get("status") == "True"
