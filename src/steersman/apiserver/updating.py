"""Changing a stored object: read, transform, admit, validate, commit; again from the start when somebody was quicker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

from msgspec import Struct

from steersman.apiserver import creation, objectmeta, ownership, resourceversion
from steersman.apiserver.admitting import admission_request
from steersman.apiserver.api import API, Reservation
from steersman.apiserver.authz.api import Attributes
from steersman.apiserver.call import Call
from steersman.apiserver.filters.authorization import attributes_of, forbidden
from steersman.apiserver.options import WriteOptions
from steersman.apiserver.privileges import privilege_errors
from steersman.apiserver.respond import Unstored
from steersman.apiserver.served import Entity, Served, resolving
from steersman.apiserver.turns import in_turn
from steersman.meta.errors import AlreadyExists, Conflict, FieldError, Invalid, NotFound, invalid
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.equality import alike
from steersman.schema.gatedfields import drop_gated_fields
from steersman.schema.kind import Kind
from steersman.store.objects import Modified
from steersman.store.stored import Stored

MAX_ATTEMPTS = 100
"""Lost races before an update gives up; each lost race means that somebody else made progress."""

Transform = Callable[[Object], Object | Awaitable[Object]]


def _whole(served: Served, obj: Object) -> Object:
    return obj


def _replaced(served: Served, view: Object, obj: Object) -> Object:
    return view


class Strategy(Struct, frozen=True, kw_only=True):
    """What one endpoint may change of an object.

    ``prepare(served, new, old)`` puts back what the endpoint does not own; ``errors(served, new, old)`` are its rules.
    """

    subresource: str = ""
    prepare: Callable[[Served, Object, Object], None]
    errors: Callable[[Served, Object, Object], list[FieldError]]
    unconditional: bool = True
    """The kind's own rule about updates without a resourceVersion applies; False: always allowed."""
    view: Callable[[Served, Object], Object] = _whole
    """The object as clients of the endpoint see it, and so admission: ``scale`` shows a Scale."""
    adopt: Callable[[Served, Object, Object], Object] = _replaced
    """(served, view, object) -> the object after admission has changed the view of it."""


class Outcome(Struct, frozen=True):
    entity: Entity
    change: Literal["created", "updated", "deleted"]


def _prepare_main(served: Served, new: Object, old: Object) -> None:
    kind = served.kind
    if kind.has_status:
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)
    drop_gated_fields(kind.definition, new, old)
    kind.prepare_update(new, old)
    raise_generation(served, new, old)


def raise_generation(served: Served, new: Object, old: Object) -> None:
    """Count the change, where the kind counts and something but metadata and status has changed."""
    if served.kind.counts_generation and _spec_differs(served, new, old):
        new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def _spec_differs(served: Served, new: Object, old: Object) -> bool:
    fields = (new.keys() | old.keys()) - {"metadata", "apiVersion", "kind"}
    if served.kind.has_status:
        fields.discard("status")
    return any(
        new.get(field) != old.get(field) and (served.kind.is_custom or not alike(new.get(field), old.get(field)))
        for field in fields
    )


def _main_errors(served: Served, new: Object, old: Object) -> list[FieldError]:
    return creation.validation_errors(served, new) + served.kind.validate_update(new, old)


def _prepare_status(served: Served, new: Object, old: Object) -> None:
    for field in (new.keys() | old.keys()) - {"metadata", "status", "apiVersion", "kind"}:
        if field in old:
            new[field] = old[field]
        else:
            del new[field]
    drop_gated_fields(served.kind.definition, new, old)
    served.kind.prepare_status_update(new, old)


def _status_errors(served: Served, new: Object, old: Object) -> list[FieldError]:
    return served.kind.validate_status_update(new, old)


MAIN = Strategy(prepare=_prepare_main, errors=_main_errors)
STATUS = Strategy(subresource="status", prepare=_prepare_status, errors=_status_errors)


async def update_object(
    api: API,
    served: Served,
    call: Call,
    transform: Transform,
    options: WriteOptions,
    *,
    strategy: Strategy = MAIN,
    create: Callable[[], Awaitable[Entity]] | None = None,
    default: bool = True,
    has_managed_fields: bool = False,
    is_replacement: bool = False,
) -> Outcome:
    """Replace the object that the URL names by ``transform(object)``, which returns a copy that is the server's own on
    the paths it changed; ``has_managed_fields`` where it has brought them up to date. ``is_replacement``: it is what the
    client sent, whose uid is a precondition.

    ``create`` makes an object that is absent, where the endpoint may. Raises ``NotFound``, ``Conflict``, ``Invalid`` and
    whatever admission refuses with.
    """
    info = call.info
    key = served.key(info.namespace, info.name)
    stored = await api.objects.get(key)
    for _ in range(MAX_ATTEMPTS):
        if stored is None:
            if create is None:
                raise NotFound.of(served.resource, info.name)
            await _authorize_creation(api, call)
            try:
                return Outcome(await create(), "created")
            except AlreadyExists:
                stored = await api.objects.get(key)
                if stored is None:
                    raise
        try:
            return await _attempt(api, served, call, stored, transform, options, strategy, default, has_managed_fields)
        except Modified as lost:
            stored = lost.current
    raise Conflict.modified(served.resource, info.name)


def check_uid(served: Served, uid: str | None, present: Object) -> None:
    """The uid of what is sent is a precondition on the metadata of what is there. Raises ``Conflict``."""
    found = present.get("uid") or ""
    if uid and uid != found:
        key = served.key(present.get("namespace") or "", present["name"])
        raise precondition_failed(served.resource, key, present["name"], "UID", uid, found)


def precondition_failed(resource: Resource, key: str, name: str, field: str, wanted: str, found: str) -> Conflict:
    """What a write meant is not what the store has under ``key``."""
    why = (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {found}"
    )
    return Conflict.of(resource, name, why)


async def _authorize_creation(api: API, call: Call) -> None:
    found = attributes_of(call)
    attributes = Attributes(
        user=found.user, verb="create", namespace=found.namespace, group=found.group, version=found.version,
        resource=found.resource, subresource=found.subresource, name=found.name, path=found.path,
    )  # fmt: skip
    decision = await api.authorizer.authorize(attributes)
    if not decision.allowed:
        raise forbidden(attributes, decision.reason)


async def _attempt(
    api: API,
    served: Served,
    call: Call,
    stored: Stored,
    transform: Transform,
    options: WriteOptions,
    strategy: Strategy,
    default: bool,
    has_managed_fields: bool,
) -> Outcome:
    kind, resource = served.kind, served.resource
    stored = await served.loaded(stored)
    old = served.obj(stored)
    transformed = await resolving(lambda: transform(old)) if served.converts_remotely else transform(old)
    new = transformed if isinstance(transformed, dict) else await transformed
    new = creation._own_copy(new)
    _check_version(served, new["metadata"], old, strategy)
    if default:
        kind.default(new)
    if not has_managed_fields:
        new = await ownership.updated(api, served, call, old, new, options, strategy.subresource)
    metadata: dict[str, Any] = new["metadata"]
    managed_fields = metadata.get("managedFields")
    request = admission_request(
        call, kind, "UPDATE", obj=strategy.view(served, new), old=strategy.view(served, old),
        subresource=strategy.subresource, dry_run=options.dry_run, options=options.as_object("UpdateOptions"),
    )  # fmt: skip
    if await api.admission.mutate(request):
        new = creation._own_copy(strategy.adopt(served, request.obj or {}, new))
        ownership.after_admission(call, new, managed_fields)
        if default:
            kind.default(new)
        metadata = new["metadata"]
        _check_version(served, metadata, old, strategy)
    objectmeta.deduplicate_owner_references(metadata, call, after_admission=True)
    objectmeta.match_namespace(metadata, call.info.namespace, kind)
    hook = api.hook(resource)
    reservation: Reservation | None = None
    if hook is not None and not strategy.subresource:
        reservation = await hook.begin_update(call, new, old, dry_run=options.dry_run)
    done = False
    try:
        objectmeta.carry_over(metadata, old["metadata"])
        strategy.prepare(served, new, old)
        if kind.stamp is not None and strategy.subresource:
            kind.stamp(new, old, api.clock.now())
        await _validate(api, served, call, new, old, strategy)
        request.obj = strategy.view(served, new)
        await api.admission.validate(request)
        if _is_finished(served, new, old):
            return await _remove(api, served, stored, new, options)
        if options.dry_run:
            return Outcome(Unstored(_with_version(new, stored)), "updated")
        metadata["resourceVersion"] = str(stored.revision)
        if _is_unchanged(api, new, old) and not served.is_outdated(stored):
            return Outcome(stored, "updated")
        written = await api.objects.update(stored.key, await served.storable(new), expected_revision=stored.revision)
        done = True
        return Outcome(await served.loaded(written), "updated")
    finally:
        if reservation is not None:
            if done:
                reservation.commit()
            else:
                reservation.rollback()


def _is_unchanged(api: API, new: Object, old: Object) -> bool:
    began_s = api.clock.monotonic()
    way = ownership.compared(new, old)
    api.comparison_metrics.compared(way, api.clock.monotonic() - began_s)
    return way == "equal_objects"


def _with_version(new: Object, stored: Stored) -> Object:
    return {**new, "metadata": {**new["metadata"], "resourceVersion": str(stored.revision)}}


def _check_version(served: Served, metadata: Object, old: Object, strategy: Strategy) -> None:
    """The optimistic lock. Raises ``Conflict``, ``Invalid`` and ``MalformedVersion``."""
    name = old["metadata"]["name"]
    sent = metadata.get("resourceVersion") or ""
    if sent == old["metadata"].get("resourceVersion"):
        return
    version = resourceversion.parse(sent)
    if not version:
        if strategy.unconditional and not served.kind.allows_unconditional_update:
            unlocked = [invalid("metadata.resourceVersion", 0, "must be specified for an update")]
            raise Invalid.of(served.resource.plural, served.resource.group, name, unlocked)
        return
    if version != resourceversion.parse(old["metadata"].get("resourceVersion") or ""):
        raise Conflict.modified(served.resource, name)


async def _validate(api: API, served: Served, call: Call, new: Object, old: Object, strategy: Strategy) -> None:
    metadata = new["metadata"]
    errors = objectmeta.validate(metadata, served.kind) + objectmeta.validate_update(metadata, old["metadata"])
    errors += await in_turn(lambda: strategy.errors(served, new, old))
    if strategy.subresource != "status":
        errors += privilege_errors(api.config, served.resource, new)
    if errors:
        refusing = [error for error in errors if not error.forgiven]
        if refusing:
            raise served.invalid(old["metadata"]["name"], refusing)
        for error in errors:
            call.warn(str(error))
    for text in _warnings(served.kind, new, old, strategy.subresource):
        call.warn(text)


def _warnings(kind: Kind, new: Object, old: Object, subresource: str) -> Iterable[str]:
    if subresource:
        return kind.status_warnings(new) if subresource == "status" and kind.status_warnings is not None else ()
    if kind.update_warnings is not None:
        return kind.update_warnings(new, old)
    return () if kind.warnings is None else kind.warnings(new)


def _is_finished(served: Served, new: Object, old: Object) -> bool:
    """No finalizer is left on an object that is being deleted, and nobody waits for its grace period."""
    metadata = old["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("deletionGracePeriodSeconds"):
        return False
    return not served.finalizers(new)


async def _remove(api: API, served: Served, stored: Stored, new: Object, options: WriteOptions) -> Outcome:
    if not options.dry_run:
        deleted = await api.objects.delete(stored.key, expected_revision=stored.revision)
        hook = api.hook(served.resource)
        if hook is not None:
            await hook.after_delete(deleted.obj)
    return Outcome(Unstored(_with_version(new, stored)), "deleted")
