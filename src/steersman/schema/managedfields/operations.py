"""The two ways of changing an object: ``update`` (create, replace, patch) and ``apply`` (server-side apply).

Both give a new object with its managed fields; live objects and configurations are never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from steersman.meta import objects
from steersman.meta.errors import APIError, BadRequest
from steersman.meta.objects import Object
from steersman.meta.times import format_time
from steersman.schema.managedfields import fieldset, managers, merging, validation
from steersman.schema.managedfields.comparison import Comparison, compare
from steersman.schema.managedfields.conflict import ApplyConflict
from steersman.schema.managedfields.fieldset import FieldSet, MalformedFields
from steersman.schema.managedfields.managers import Identity, Managers, Operation, Owned, identity
from steersman.schema.managedfields.reconciliation import reconciled
from steersman.schema.managedfields.shape import shape_of
from steersman.schema.managedfields.typed import Type, UntypedElement

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY = "before-first-apply"
"""The manager of what an untracked object had when it was first applied to."""

_NEVER_OWNED = fieldset.of_paths(
    "apiVersion", "kind", "metadata", "metadata.name", "metadata.namespace", "metadata.creationTimestamp",
    "metadata.selfLink", "metadata.uid", "metadata.clusterName", "metadata.generation", "metadata.managedFields",
    "metadata.resourceVersion",
)  # fmt: skip
_MAX_SHAPES = 2048
"""Remembered shapes of created objects; all are forgotten when there are more."""
_created: dict[Any, FieldSet] = {}


class Version(Struct, frozen=True, kw_only=True):
    """An object's kind in one of its group's versions, for managers that wrote in another one than the request's."""

    type: Type
    convert: Callable[[Object], Object]
    """From the request's version to this one."""
    convert_back: Callable[[Object], Object]


Versions = Callable[[str], Version | None]
"""Gives a version by its ``apiVersion``; None where it is not served any more (its managers are forgotten)."""


def no_other_versions(api_version: str) -> Version | None:
    return None


@cache
def reset_fields(*, has_status: bool, subresource: str) -> FieldSet:
    """Fields that a request's path cannot set, so that it does not own them: status, or by status everything else."""
    if subresource == "status":
        return fieldset.of_paths("spec")
    return fieldset.of_paths("status") if has_status and not subresource else fieldset.EMPTY


def update(
    live: Object | None,
    new: Object,
    *,
    manager: str,
    operation: Operation = "Update",
    api_version: str,
    subresource: str = "",
    now: float,
    structure: Type,
    ignored: FieldSet = fieldset.EMPTY,
    versions: Versions = no_other_versions,
) -> Object:
    """``new`` with managed fields: what it changes of ``live`` (None: it is created) belongs to ``manager`` from now on.

    ``structure`` is ``typed.type_of`` the kind's definition, ``now`` epoch seconds, ``ignored`` what ``reset_fields`` gives.
    Managed fields that ``new`` carries replace those of ``live``; an empty list forgets them. Objects of shapes that
    cannot be tracked (elements of keyed lists without their keys) come back without managed fields, as upstream does.
    """
    if operation != "Update":
        raise ValueError("update() is for the operation Update; use apply()")
    try:
        known, untouched = _present_managers(live, new, subresource)
        bare = _bare(new)
        if not known and live is not None and (live.get("metadata") or {}).get("uid"):
            return bare
        key = identity(manager, "Update", api_version, subresource)
        if live is None and not known:
            fields = _created_fields(bare, structure, ignored)
            owned = Owned(fields=fields, api_version=api_version, time=format_time(now))
            return _with_entries(bare, [managers.new_entry(key, owned)] if fields else [])
        known = _reconciled(known, api_version, structure, versions)
        after = _updated(_bare(live or {}), bare, known, key, api_version, now, structure, ignored, versions)
        if after == untouched:
            return _with_entries(bare, (live or {}).get("metadata", {}).get("managedFields"))
        return _with_managers(bare, managers.capped(after))
    except (UntypedElement, RecursionError):
        return _bare(new)


def _present_managers(live: Object | None, new: Object, subresource: str) -> tuple[Managers, Managers | None]:
    """Managers to start from, and those of the live object where they are these."""
    mine = (live or {}).get("metadata", {}).get("managedFields")
    sent = (new.get("metadata") or {}).get("managedFields")
    if not subresource and sent != mine:
        if sent is not None and managers.is_reset(sent):
            return {}, None
        try:
            known = managers.decode_checked(sent)
            if known:
                return known, None
        except MalformedFields:
            pass  # Clients that do not understand managed fields must not destroy them.
    try:
        known = managers.decode(mine)
    except MalformedFields:
        return {}, None
    return known, known


def _reconciled(known: Managers, api_version: str, structure: Type, versions: Versions) -> Managers:
    """Managers with what they own as the types have it now; without those of versions that are not served any more."""
    result: Managers = {}
    for key, owned in known.items():
        if owned.api_version == api_version:
            result[key] = owned.with_fields(reconciled(owned.fields, structure))
        elif (version := versions(owned.api_version)) is not None:
            result[key] = owned.with_fields(reconciled(owned.fields, version.type))
    return result


def _created_fields(new: Object, structure: Type, ignored: FieldSet) -> FieldSet:
    """The fields of a created object, remembered by its shape."""
    shape = (structure, repr(ignored), shape_of(new, structure))
    fields = _created.get(shape)
    if fields is None:
        found = compare({}, new, structure).without(ignored)
        claimed = fieldset.union(found.modified, found.added)
        fields = fieldset.in_order(fieldset.difference(claimed, _NEVER_OWNED))
        if len(_created) >= _MAX_SHAPES:
            _created.clear()
        _created[shape] = fields
    return fields


def _updated(
    live: Object,
    new: Object,
    known: Managers,
    key: Identity,
    api_version: str,
    now: float,
    structure: Type,
    ignored: FieldSet,
    versions: Versions,
) -> Managers:
    """Managers after a change by Update; ``known`` where it changed nothing that counts."""
    comparison = compare(live, new, structure).without(ignored)
    changed = fieldset.union(comparison.modified, comparison.added)
    after = _taken(live, new, known, key, api_version, comparison, versions, ignored, by_update=True)
    claimed = fieldset.difference(changed, _NEVER_OWNED)
    if not claimed:
        return after
    previous = after.get(key)
    if previous is None:
        after[key] = Owned(fields=claimed, api_version=api_version, time=format_time(now))
        return after
    after[key] = previous.with_fields(fieldset.union(previous.fields, claimed)).at(format_time(now))
    return after


class _Changes(Struct, frozen=True):
    """A comparison as far as it matters to those who own fields."""

    removed: FieldSet
    changed: FieldSet


def _taken(
    live: Object,
    new: Object,
    known: Managers,
    self: Identity,
    api_version: str,
    comparison: Comparison,
    versions: Versions,
    ignored: FieldSet,
    *,
    force: bool = False,
    by_update: bool = False,
) -> Managers:
    """Managers after a change by ``self``: others lose what it removed, modified or added over them. ``self`` keeps what
    it has, but for what an Update removed.

    Raises ``ApplyConflict`` where they would lose something else than removed fields and ``force`` is not set.
    """
    changed = fieldset.union(comparison.modified, comparison.added)
    by_version: dict[str, _Changes | None] = {api_version: _Changes(comparison.removed, changed)}
    after: Managers = {}
    conflicts: dict[Identity, FieldSet] = {}
    for key, owned in known.items():
        if key == self and not by_update:
            after[key] = owned
            continue
        if owned.api_version not in by_version:
            by_version[owned.api_version] = _compared_in(owned.api_version, live, new, versions, ignored)
        changes = by_version[owned.api_version]
        if changes is None:
            continue
        fields = owned.fields
        if key != self:
            lost = fieldset.intersection(fields, changes.changed)
            if lost:
                conflicts[key] = lost
                fields = fieldset.difference(fields, lost)
        kept = owned.with_fields(fieldset.difference(fields, changes.removed))
        if kept.fields:
            after[key] = kept
    if conflicts and not (force or by_update):
        raise ApplyConflict(conflicts)
    return after


def _compared_in(api_version: str, live: Object, new: Object, versions: Versions, ignored: FieldSet) -> _Changes | None:
    version = versions(api_version)
    if version is None:
        return None
    before = version.convert(live) if live else live
    found = compare(before, version.convert(new), version.type).without(ignored)
    return _Changes(found.removed, fieldset.union(found.modified, found.added))


def apply(
    live: Object | None,
    config: Object,
    *,
    manager: str,
    api_version: str,
    force: bool = False,
    subresource: str = "",
    now: float,
    structure: Type,
    ignored: FieldSet = fieldset.EMPTY,
    versions: Versions = no_other_versions,
) -> Object:
    """``live`` (None: it is created) with the fields of ``config`` set, and without those that ``manager`` applied before
    and ``config`` leaves out, unless others own them.

    The caller decodes, defaults and validates the result. Where it equals ``live`` but for managed fields, only these may
    differ. Raises ``ApplyConflict``; ``BadRequest`` for a configuration of another version or with managed fields;
    ``APIError`` (500, as upstream) for one that does not fit the structure.
    """
    _check_config(config, api_version, structure)
    try:
        known = managers.decode((live or {}).get("metadata", {}).get("managedFields"))
        before = _bare(live or {})
        known = _reconciled(known, api_version, structure, versions)
        if not known and live is not None:
            untracked = identity(BEFORE_FIRST_APPLY, "Update", api_version, subresource)
            known = _updated({}, before, {}, untracked, api_version, now, structure, ignored, versions)
        key = identity(manager, "Apply", api_version, subresource)
        arguments = (before, config, known, key, api_version, now, structure, ignored, versions)
        try:
            result = _applied(*arguments, force=force)
        except ApplyConflict as conflict:
            if manager != "kubectl":
                raise
            disputed = _beyond_client_side_apply(conflict, before, api_version, structure)
            if disputed:
                raise ApplyConflict(disputed) from conflict
            result = _applied(*arguments, force=True)
    except (UntypedElement, MalformedFields) as error:
        raise APIError(f"failed to create typed live object ({_described(live or {})}): {error}") from error
    return _with_last_applied(result, config) if manager == "kubectl" else result


def _check_config(config: Object, api_version: str, structure: Type) -> None:
    if config.get("apiVersion") != api_version:
        raise BadRequest(f"invalid object type: {group_version_kind(config)}")
    if (config.get("metadata") or {}).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    try:
        errors = validation.errors_of(config, structure)
    except RecursionError as error:
        raise BadRequest("exceeded max depth") from error
    if errors:
        text = validation.text_of(errors)
        raise APIError(f"failed to create typed patch object ({_described(config)}): {text}")


def _described(obj: Object) -> str:
    """``default/web; apps/v1, Kind=Deployment``."""
    return f"{objects.namespace(obj)}/{objects.name(obj)}; {group_version_kind(obj)}"


def group_version_kind(obj: Object) -> str:
    """``apps/v1, Kind=Deployment``, ``/v1, Kind=Pod``."""
    api_version = str(obj.get("apiVersion", ""))
    return f"{api_version if '/' in api_version else f'/{api_version}'}, Kind={obj.get('kind', '')}"


def _applied(
    live: Object,
    config: Object,
    known: Managers,
    key: Identity,
    api_version: str,
    now: float,
    structure: Type,
    ignored: FieldSet,
    versions: Versions,
    *,
    force: bool,
) -> Object:
    merged = merging.merged(live, config, structure)
    last = known.get(key)
    claimed = fieldset.without(merging.fields_of(config, structure), ignored)
    owners = {**known, key: Owned(fields=claimed, api_version=api_version, time=last.time if last else "")}
    new = _pruned(merged, owners, last, structure, api_version, versions)
    comparison = compare(live, new, structure).without(ignored)
    owners = _taken(live, new, owners, key, api_version, comparison, versions, ignored, force=force)
    fields = fieldset.difference(claimed, _NEVER_OWNED)
    if not fields:
        owners.pop(key, None)
    elif new == live and last is not None and fieldset.in_order(fields) == last.fields:
        owners[key] = last
    else:
        unchanged = last.time if last is not None else ""
        time = unchanged if new == live else format_time(now)
        owners[key] = Owned(fields=fields, api_version=api_version, time=time)
    return _with_managers(new, owners)


def _pruned(
    merged: Object, owners: Managers, last: Owned | None, structure: Type, api_version: str, versions: Versions
) -> Object:
    """``merged`` without what the manager applied last time and nobody claims now.

    What goes is in all of: the manager's last set, what removing that set takes away, and what no manager claims in the
    version it wrote in.
    """
    if last is None or not last.fields:
        return merged
    own = Version(type=structure, convert=_itself, convert_back=_itself)
    claims: dict[str, FieldSet] = {last.api_version: fieldset.EMPTY}
    for owned in owners.values():
        claims[owned.api_version] = fieldset.union(claims.get(owned.api_version, fieldset.EMPTY), owned.fields)
    before = own if last.api_version == api_version else versions(last.api_version)
    if before is None:
        return merged
    pruned = _removed_in(before, merged, merging.with_named_fields(last.fields, before.type))
    for other, claimed in claims.items():
        version = own if other == api_version else versions(other)
        if version is None:
            continue
        everything, left = _named_fields_in(version, merged), _named_fields_in(version, pruned)
        kept = fieldset.union(left, merging.with_named_fields(claimed, version.type))
        pruned = _removed_in(version, merged, fieldset.difference(everything, kept))
    gone = fieldset.difference(_named_fields_in(before, merged), _named_fields_in(before, pruned))
    gone = fieldset.intersection(gone, merging.with_named_fields(last.fields, before.type))
    return _removed_in(before, merged, gone)


def _itself(obj: Object) -> Object:
    return obj


def _named_fields_in(version: Version, obj: Object) -> FieldSet:
    return merging.with_named_fields(merging.fields_of(version.convert(obj), version.type), version.type)


def _removed_in(version: Version, obj: Object, fields: FieldSet) -> Object:
    return version.convert_back(merging.removed(version.convert(obj), fields, version.type)) if fields else obj


def _beyond_client_side_apply(
    conflict: ApplyConflict, live: Object, api_version: str, structure: Type
) -> Mapping[Identity, FieldSet]:
    """Conflicts that are not about fields which kubectl's own client-side apply set and nobody changed since.

    So that a user may move from ``kubectl apply`` to ``kubectl apply --server-side`` without force.
    """
    try:
        last = msgspec.json.decode(objects.annotations(live).get(LAST_APPLIED) or b"null")
        if not isinstance(last, dict) or last.get("apiVersion") != api_version:
            return conflict.fields
        mine = merging.fields_of(last, structure)
        changes = compare(last, live, structure)
    except (ValueError, msgspec.DecodeError):
        return conflict.fields
    for lost in (changes.modified, changes.added, changes.removed):
        mine = fieldset.difference(mine, lost)
    disputed = {key: fieldset.difference(fields, mine) for key, fields in conflict.fields.items()}
    return {key: fields for key, fields in disputed.items() if fields}


def _with_last_applied(obj: Object, config: Object) -> Object:
    """Keeps kubectl's annotation of client-side apply, where there is one, in step with what was applied."""
    if not objects.annotations(obj).get(LAST_APPLIED):
        return obj
    metadata = dict(config.get("metadata") or {})
    if "annotations" in metadata:
        kept = {key: value for key, value in objects.annotations(config).items() if key != LAST_APPLIED}
        metadata["annotations"] = kept
    text = msgspec.json.encode({**config, "metadata": metadata}, order="sorted").decode() + "\n"
    noted = {**objects.annotations(obj), LAST_APPLIED: text}
    return {**obj, "metadata": {**obj["metadata"], "annotations": noted}}


def _bare(obj: Object) -> Object:
    """``obj`` without its managed fields."""
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _with_managers(bare: Object, owners: Managers) -> Object:
    return _with_entries(bare, managers.encode(owners))


def _with_entries(bare: Object, entries: Any) -> Object:
    if not entries:
        return bare
    return {**bare, "metadata": {**(bare.get("metadata") or {}), "managedFields": entries}}
