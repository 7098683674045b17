"""Deleting an object: at once, after its grace period, or when its finalizers are gone.

``plan`` is pure: it says what has to happen to an object; ``delete_object`` makes it happen.
Source: upstream's registry/rest (BeforeDelete) and generic registry (Delete).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from steersman.apiserver.admitting import admission_request
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.objectmeta import FOREGROUND, ORPHAN
from steersman.apiserver.options import DeleteOptions
from steersman.apiserver.respond import Unstored
from steersman.apiserver.served import Entity, Served
from steersman.apiserver.updating import MAX_ATTEMPTS
from steersman.meta import times
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object, with_metadata
from steersman.meta.resources import NAMESPACES, Resource
from steersman.store.objects import Modified
from steersman.store.stored import Stored

_GarbagePolicy = Literal["delete", "orphan", "unsupported"]
_DEFAULT_POLICY: Mapping[tuple[str, str], _GarbagePolicy] = {
    ("", "replicationcontrollers"): "orphan",
    ("batch", "jobs"): "orphan",
    ("", "events"): "unsupported",
    ("events.k8s.io", "events"): "unsupported",
}
"""What happens to dependents when the client does not say; ``delete`` for all others."""


_PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


def warn_of_orphans(served: Served, call: Call, options: DeleteOptions) -> None:
    """Whoever deletes jobs without saying what becomes of their pods is told."""
    is_job = (served.resource.group, served.resource.plural) == ("batch", "jobs")
    if is_job and not options.propagation and options.orphan_dependents is None:
        call.warn(_PODS_STAY)


class Plan(Struct, frozen=True, kw_only=True):
    """What a deletion does now: nothing more (``pending``), an update, an update and then the end, or the end at once."""

    action: Literal["pending", "update", "update and delete", "delete"]
    obj: Object
    """What is stored by the update; else the object as it is."""


class Deleted(Struct, frozen=True, kw_only=True):
    """``entity`` as it last was; ``is_gone`` false where it only was marked."""

    entity: Entity
    is_gone: bool


def plan(served: Served, obj: Object, options: DeleteOptions, now_s: float) -> Plan:
    """How to delete ``obj``."""
    if served.resource.plural == "namespaces" and not served.resource.group:
        first = _plan_namespace(obj, options, now_s)
        if first is not None:
            return first
    if served.kind.begin_deletion is not None and not obj["metadata"].get("deletionTimestamp"):
        obj = served.kind.begin_deletion(obj, now_s)
    graceful = _grace(served, obj, options, now_s)
    if graceful == "pending":
        return Plan(action="pending", obj=obj)
    changed = graceful if isinstance(graceful, dict) else obj
    finalizers = _finalizers(served.resource, obj, options)
    if finalizers != list(obj["metadata"].get("finalizers") or ()):
        changed = with_metadata(changed, finalizers=finalizers or None)
    if graceful is None:
        if not finalizers:
            return Plan(action="delete", obj=obj)
        return Plan(action="update", obj=_marked(changed, now_s, raises=served.kind.begin_deletion is None))
    if finalizers or changed["metadata"].get("deletionGracePeriodSeconds"):
        return Plan(action="update", obj=changed)
    return Plan(action="update and delete", obj=changed)


def _plan_namespace(obj: Object, options: DeleteOptions, now_s: float) -> Plan | None:
    """A namespace first becomes Terminating; its controller empties it and takes ``kubernetes`` off its finalizers."""
    if obj["metadata"].get("deletionTimestamp"):
        return Plan(action="pending", obj=obj) if (obj.get("spec") or {}).get("finalizers") else None
    finalizers = [name for name in obj["metadata"].get("finalizers") or () if name not in (ORPHAN, FOREGROUND)]
    if options.propagation == "Orphan" or options.orphan_dependents:
        finalizers.append(ORPHAN)
    if options.propagation == "Foreground" or options.orphan_dependents is False:
        finalizers.append(FOREGROUND)
    marked = with_metadata(obj, deletionTimestamp=times.format_time(now_s), finalizers=finalizers or None)
    marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return Plan(action="update", obj=marked)


def _grace(served: Served, obj: Object, options: DeleteOptions, now_s: float) -> Object | Literal["pending"] | None:
    """The object marked for graceful deletion; ``pending`` where nothing changes; None where no grace applies."""
    kind = served.kind
    if kind.grace_period_s is None:
        return None
    metadata = obj["metadata"]
    asked_s = options.grace_period_s
    if asked_s is not None and asked_s < 0:
        asked_s = 1
    deadline = metadata.get("deletionTimestamp")
    if deadline:
        current_s = metadata.get("deletionGracePeriodSeconds")
        if not current_s:
            return None
        if asked_s is None or asked_s >= current_s:
            return "pending"
        due_s = times.parse_time(deadline) - current_s + asked_s
        if due_s < now_s:
            due_s = now_s
            asked_s = 1 if asked_s else 0
        return with_metadata(obj, deletionTimestamp=times.format_time(due_s), deletionGracePeriodSeconds=asked_s)
    period_s = kind.grace_period_s(obj) if asked_s is None else asked_s
    if kind.is_deleted_at_once is not None and kind.is_deleted_at_once(obj):
        period_s = 0
    period_s = 1 if period_s < 0 else period_s
    changes: dict[str, Any] = {
        "deletionTimestamp": times.format_time(now_s + period_s),
        "deletionGracePeriodSeconds": period_s,
    }
    if metadata.get("generation"):
        changes["generation"] = metadata["generation"] + 1
    return with_metadata(obj, **changes)


def _marked(obj: Object, now_s: float, *, raises: bool) -> Object:
    """The object as it waits for its finalizers. ``raises``: that counts as a change of it, as it does but for kinds whose
    deletion upstream begins in a way of its own."""
    metadata = obj["metadata"]
    changes: dict[str, Any] = {"deletionGracePeriodSeconds": 0}
    deadline = metadata.get("deletionTimestamp")
    if not deadline or times.parse_time(deadline) > now_s:
        changes["deletionTimestamp"] = times.format_time(now_s)
    if raises and not deadline and metadata.get("generation"):
        changes["generation"] = metadata["generation"] + 1
    return with_metadata(obj, **changes)


def _finalizers(resource: Resource, obj: Object, options: DeleteOptions) -> list[str]:
    """The finalizers that the wanted propagation leaves or adds."""
    have = list(obj["metadata"].get("finalizers") or ())
    policy = _DEFAULT_POLICY.get((resource.group, resource.plural), "delete")
    orphan, foreground = False, False
    if policy != "unsupported":
        orphan = _should_orphan(have, policy, options)
        foreground = _should_delete_in_foreground(have, options)
    kept = [name for name in have if name not in (ORPHAN, FOREGROUND)]
    if orphan:
        kept.append(ORPHAN)
    if foreground:
        kept.append(FOREGROUND)
    return have if set(kept) == set(have) else kept


def _should_orphan(have: list[str], policy: _GarbagePolicy, options: DeleteOptions) -> bool:
    if options.orphan_dependents is not None:
        return options.orphan_dependents
    if options.propagation:
        return options.propagation == "Orphan"
    for name in have:
        if name in (ORPHAN, FOREGROUND):
            return name == ORPHAN
    return policy == "orphan"


def _should_delete_in_foreground(have: list[str], options: DeleteOptions) -> bool:
    if options.orphan_dependents is not None:
        return False
    if options.propagation:
        return options.propagation == "Foreground"
    for name in have:
        if name in (ORPHAN, FOREGROUND):
            return name == FOREGROUND
    return False


async def delete_object(
    api: API,
    served: Served,
    call: Call,
    namespace: str,
    name: str,
    options: DeleteOptions,
    *,
    admits: bool = True,
) -> Deleted:
    """Delete one object by its plan; ``admits``: admission is asked. Raises ``NotFound``, ``Conflict`` and whatever admission refuses with."""
    key = served.key(namespace, name)
    stored = await api.objects.get(key)
    for _ in range(MAX_ATTEMPTS):
        if stored is None:
            raise NotFound.of(served.resource, name)
        try:
            return await _attempt(api, served, call, stored, options, admits)
        except Modified as lost:
            stored = lost.current
    raise Conflict.modified(served.resource, name)


async def _attempt(
    api: API, served: Served, call: Call, stored: Stored, options: DeleteOptions, admits: bool
) -> Deleted:
    stored = await served.loaded(stored)
    obj = served.obj(stored)
    check_preconditions(served, obj, options)
    decided = plan(served, obj, options, api.clock.now())
    if decided.action == "pending":
        return Deleted(entity=Unstored(obj), is_gone=False)
    if admits:
        await _admit(api, served, call, obj, options)
    if options.dry_run:
        return Deleted(entity=Unstored(decided.obj), is_gone=decided.action != "update")
    revision = stored.revision
    if decided.action != "delete":
        updated = await api.objects.update(
            stored.key, await served.storable(decided.obj), expected_revision=stored.revision
        )
        if decided.action == "update":
            return Deleted(entity=await served.loaded(updated), is_gone=False)
        revision = updated.revision
    deleted = await api.objects.delete(stored.key, expected_revision=revision)
    hook = api.hook(served.resource)
    if hook is not None:
        await hook.after_delete(deleted.obj)
    return Deleted(entity=stored.deleted(deleted.revision) if served.converts_remotely else deleted, is_gone=True)


async def _admit(api: API, served: Served, call: Call, obj: Object, options: DeleteOptions) -> None:
    """Raises whatever admission refuses with. The name of a collection's object is in the object only, as upstream has it."""
    metadata = obj["metadata"]
    is_namespace = served.resource == NAMESPACES
    request = admission_request(
        call,
        served.kind,
        "DELETE",
        obj=None,
        old=obj,
        namespace=metadata["name"] if is_namespace else metadata.get("namespace") or "",
        name="" if call.info.verb == "deletecollection" else metadata["name"],
        dry_run=options.dry_run,
        options=options.as_object(),
    )
    await api.admission.mutate(request)
    await api.admission.validate(request)


def check_preconditions(served: Served, obj: Object, options: DeleteOptions) -> None:
    """Raises ``Conflict`` where the object is not the one that the options mean."""
    metadata = obj["metadata"]
    why = ""
    if options.uid is not None and options.uid != metadata.get("uid"):
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata.get('uid')}). The "
            "object might have been deleted and then recreated"
        )
    elif options.resource_version is not None and options.resource_version != metadata.get("resourceVersion"):
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in "
            f"record ({metadata.get('resourceVersion')}). The object might have been modified"
        )
    if why:
        raise Conflict.of(replace(served.resource, plural=served.resource.kind), metadata["name"], why)


def success(served: Served, obj: Object) -> Object:
    """The ``v1.Status`` that answers a deletion of most kinds."""
    details: Object = {"name": obj["metadata"]["name"]}
    if served.resource.group:
        details["group"] = served.resource.group
    details["kind"] = served.resource.plural
    details["uid"] = obj["metadata"].get("uid", "")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
