"""Creating an object: from what was decoded to what is committed."""

from __future__ import annotations

from steersman.apiserver import objectmeta, ownership, resourceversion
from steersman.apiserver.admission.api import AdmissionRequest
from steersman.apiserver.admitting import admission_request
from steersman.apiserver.api import API, Reservation
from steersman.apiserver.call import Call
from steersman.apiserver.options import WriteOptions
from steersman.apiserver.privileges import privilege_errors
from steersman.apiserver.respond import Unstored
from steersman.apiserver.served import Entity, Served
from steersman.apiserver.turns import in_turn
from steersman.meta.errors import AlreadyExists, APIError, FieldError
from steersman.meta.objects import Object
from steersman.schema import kind as kinds
from steersman.schema.gatedfields import drop_gated_fields
from steersman.schema.structural import compiled
from steersman.store.objects import KeyExists
from steersman.store.stored import Stored

NAME_ATTEMPTS = 8
"""How often a generated name that is taken is generated anew; upstream's RetryGenerateName."""


class VersionSetOnCreate(APIError):
    """500 without a reason, as upstream's storage answers."""

    code, reason = 500, ""


async def create_object(
    api: API,
    served: Served,
    call: Call,
    obj: Object,
    options: WriteOptions,
    *,
    name: str = "",
    has_managed_fields: bool = False,
) -> Entity:
    """Default, admit, validate and commit ``obj``, which is the caller's own; ``name`` is that of the URL for a PUT.
    ``has_managed_fields`` where they are up to date already (server-side apply).

    Raises ``AlreadyExists``, ``Invalid``, ``BadRequest`` and whatever admission refuses with.
    """
    kind = served.kind
    served.check_creation(name or (obj.get("metadata") or {}).get("name") or "")
    metadata = obj.setdefault("metadata", {})
    namespace = call.info.namespace
    objectmeta.wipe_system_fields(metadata)
    objectmeta.match_namespace(metadata, namespace, kind)
    objectmeta.deduplicate_owner_references(metadata, call)
    kind.default(obj)
    if not has_managed_fields:
        obj = await ownership.updated(api, served, call, None, obj, options)
        metadata = obj["metadata"]
    managed_fields = metadata.get("managedFields")
    own_name = metadata.get("name") or ""
    request = admission_request(
        call,
        kind,
        "CREATE",
        obj=obj,
        namespace=own_name if _is_namespace(served) else metadata.get("namespace") or "",
        name=own_name or name,
        dry_run=options.dry_run,
        options=options.as_object("CreateOptions"),
    )
    if await api.admission.mutate(request):
        obj = _own_copy(request.obj or obj)
        ownership.after_admission(call, obj, managed_fields)
        kind.default(obj)
        metadata = obj["metadata"]
        objectmeta.deduplicate_owner_references(metadata, call, after_admission=True)
        objectmeta.match_namespace(metadata, namespace, kind)
        own_name = metadata.get("name") or ""
    attempts = NAME_ATTEMPTS if not own_name and metadata.get("generateName") else 1
    for attempt in range(attempts):
        try:
            return await _create_named(api, served, call, obj, options, request)
        except AlreadyExists as error:
            if attempts == 1:
                raise
            if attempt == attempts - 1:
                raise AlreadyExists(
                    f"{error.message}, the server was not able to generate a unique name for the object",
                    details=error.details,
                    retry_after_s=1,
                ) from error
            obj["metadata"].pop("name", None)
    raise AssertionError("unreachable")


def _is_namespace(served: Served) -> bool:
    return served.resource.plural == "namespaces" and not served.resource.group


def _own_copy(obj: Object) -> Object:
    """A copy of the levels that preparation may change in place. Admission may have taken all metadata away."""
    copy = {"metadata": {}, **obj}
    for field in ("metadata", "spec", "status"):
        if isinstance(copy.get(field), dict):
            copy[field] = dict(copy[field])
    return copy


async def _create_named(
    api: API, served: Served, call: Call, obj: Object, options: WriteOptions, request: AdmissionRequest
) -> Entity:
    kind = served.kind
    metadata = obj["metadata"]
    objectmeta.fill_system_fields(metadata, now_s=api.clock.now(), rng=api.rng)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = objectmeta.generate_name(metadata["generateName"], api.rng)
    hook = api.hook(served.resource)
    reservation: Reservation | None = None
    if hook is not None:
        reservation = await hook.begin_create(call, obj, dry_run=options.dry_run)
    done = False
    try:
        prepare(served, obj)
        errors = objectmeta.validate(metadata, kind)
        errors += await in_turn(lambda: creation_errors(served, obj))
        errors += privilege_errors(api.config, served.resource, obj)
        if errors:
            raise served.invalid(metadata.get("name") or "", errors)
        if kind.warnings is not None:
            for text in kind.warnings(obj):
                call.warn(text)
        request.obj = obj
        request.name = metadata["name"]
        await api.admission.validate(request)
        created = await _commit(api, served, obj, options)
        done = not options.dry_run
        return created
    finally:
        if reservation is not None:
            if done:
                reservation.commit()
            else:
                reservation.rollback()


def prepare(served: Served, obj: Object) -> None:
    """Bring a new object into its initial state: no status, first generation where they are counted, and the kind's own
    rules."""
    kind = served.kind
    if kind.has_status and not kind.keeps_status_on_create:
        obj.pop("status", None)
    metadata = obj["metadata"]
    if kind.counts_generation:
        metadata["generation"] = 1
    drop_gated_fields(kind.definition, obj, None)
    kind.prepare_create(obj)


def creation_errors(served: Served, obj: Object) -> list[FieldError]:
    kind = served.kind
    if kind.validate_created is not None:
        return kind.validate_created(obj)
    return validation_errors(served, obj) + kind.validate_create(obj)


def validation_errors(served: Served, obj: Object) -> list[FieldError]:
    """The kind's own rules; for a kind without any, the fields its definition requires."""
    kind = served.kind
    if kind.validate is not kinds._no_errors or kind.validate_create is not kinds._no_errors:
        return kind.validate(obj)
    checked = {key: value for key, value in obj.items() if key != "status"}
    return compiled(kind.definition).required_errors(checked)


async def _commit(api: API, served: Served, obj: Object, options: WriteOptions) -> Entity:
    metadata = obj["metadata"]
    name = metadata["name"]
    key = served.key(metadata.get("namespace") or "", name)
    if options.dry_run:
        if (existing := await api.objects.get(key)) is not None:
            raise _exists(served, name, existing)
        return Unstored(served.obj(Unstored(await served.storable(obj))) if served.converts else obj)
    version = metadata.pop("resourceVersion", None)
    if version and _is_version(version):
        raise VersionSetOnCreate("resourceVersion should not be set on objects to be created")
    try:
        created = await api.objects.create(key, await served.storable(obj))
    except KeyExists as error:
        raise _exists(served, name, error.current) from error
    return await served.loaded(created)


def _is_version(text: str) -> bool:
    """Of no version, and so of none that could be wrong, is what is no number."""
    try:
        return bool(resourceversion.parse(text))
    except resourceversion.MalformedVersion:
        return False


def _exists(served: Served, name: str, existing: Stored) -> AlreadyExists:
    error = AlreadyExists.of(served.resource, name)
    if existing.obj["metadata"].get("deletionTimestamp"):
        return AlreadyExists(f"object is being deleted: {error.message}", details=error.details)
    return error
