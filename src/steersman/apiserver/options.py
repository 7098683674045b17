"""The options of each verb, from query parameters and bodies, checked as upstream checks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from msgspec import Struct

from steersman.apiserver.call import Call
from steersman.apiserver.requestinfo import parse_bool
from steersman.meta.errors import BadRequest, FieldError, Invalid, forbidden, invalid, not_supported, required, too_long
from steersman.meta.objects import Object
from steersman.meta.selectors import (
    EVERYTHING,
    FieldSelector,
    LabelSelector,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)

META_GROUP = "meta.k8s.io"
UNSAFE_DELETION = "ignoreStoreReadErrorWithClusterBreakingPotential"
"""Has no effect: its feature gate is off in v1.36."""
_EVERY_FIELD = FieldSelector()
_PROPAGATION = ("Foreground", "Background", "Orphan")
_FIELD_VALIDATION = ("", "Ignore", "Strict", "Warn")
_FIELD_MANAGER_LIMIT = 128

FieldValidation = Literal["Ignore", "Warn", "Strict"]


class WriteOptions(Struct, frozen=True, kw_only=True):
    """CreateOptions, UpdateOptions and PatchOptions."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: FieldValidation = "Warn"
    asked_validation: str = ""
    """``fieldValidation`` as it was asked for; empty: the default."""
    force: bool | None = None

    def as_object(self, kind: str) -> Object:
        """As admission sees them."""
        options: Object = {"kind": kind, "apiVersion": f"{META_GROUP}/v1"}
        if self.dry_run:
            options["dryRun"] = ["All"]
        if self.field_manager:
            options["fieldManager"] = self.field_manager
        if self.asked_validation:
            options["fieldValidation"] = self.asked_validation
        return options


class ListOptions(Struct, frozen=True, kw_only=True):
    """Options of list, watch and deletecollection."""

    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = _EVERY_FIELD
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    match: str = ""
    timeout_s: int | None = None
    bookmarks: bool = False
    send_initial_events: bool | None = None

    @property
    def selects_everything(self) -> bool:
        return self.labels.is_everything and self.fields.is_everything


class DeleteOptions(Struct, frozen=True, kw_only=True):
    grace_period_s: int | None = None
    orphan_dependents: bool | None = None
    propagation: str = ""
    uid: str | None = None
    """Precondition."""
    resource_version: str | None = None
    """Precondition."""
    dry_run: bool = False
    source: Object | None = None
    """As it was sent, for admission."""

    def as_object(self) -> Object:
        """As admission sees them."""
        return {**(self.source or {}), "kind": "DeleteOptions", "apiVersion": f"{META_GROUP}/v1"}


_DEFAULT_WRITE = WriteOptions()
_DEFAULT_LIST = ListOptions()


def write_options(call: Call, kind: str, *, is_apply: bool = False) -> WriteOptions:
    """``kind`` is CreateOptions, UpdateOptions or PatchOptions. Raises ``BadRequest`` and ``Invalid``."""
    query = call.request.query
    if not query and not is_apply:
        return _DEFAULT_WRITE
    manager = call.query("fieldManager")
    validation = call.query("fieldValidation")
    force = _optional_bool(call, "force") if kind == "PatchOptions" else None
    errors = _field_manager_errors(manager) + _dry_run_errors(query.get("dryRun") or ())
    if validation not in _FIELD_VALIDATION:
        errors.append(not_supported("fieldValidation", validation, _FIELD_VALIDATION))
    if is_apply and not manager:
        errors.insert(0, required("fieldManager", "is required for apply patch"))
    if force is not None and not is_apply:
        errors.insert(0, forbidden("force", "may not be specified for non-apply patch"))
    _raise(kind, errors)
    return WriteOptions(
        dry_run=bool(query.get("dryRun")),
        field_manager=manager,
        field_validation=validation or "Warn",  # type: ignore[arg-type]
        asked_validation=validation,
        force=force,
    )


def list_options(call: Call, *, watch: bool) -> ListOptions:
    """Raises ``BadRequest`` for what cannot be parsed, ``Invalid`` for what contradicts itself."""
    query = call.request.query
    if not query:
        return _DEFAULT_LIST
    options = ListOptions(
        labels=_selector(call.query("labelSelector"), parse_label_selector, EVERYTHING),
        fields=_selector(call.query("fieldSelector"), parse_field_selector, _EVERY_FIELD),
        limit=_integer(call, "limit") or 0,
        continue_token=call.query("continue"),
        resource_version=call.query("resourceVersion"),
        match=call.query("resourceVersionMatch"),
        timeout_s=_integer(call, "timeoutSeconds"),
        bookmarks=bool(_optional_bool(call, "allowWatchBookmarks")),
        send_initial_events=_optional_bool(call, "sendInitialEvents"),
    )
    _raise("ListOptions", _watch_errors(options) if watch else _list_errors(options))
    return options


def delete_options(call: Call, body: Object | None) -> DeleteOptions:
    """From the body where there is one, else from the query. Raises ``BadRequest`` and ``Invalid``."""
    if body is None:
        body = _delete_options_of_query(call)
    if UNSAFE_DELETION in body:
        body = {name: value for name, value in body.items() if name != UNSAFE_DELETION}
    preconditions = body.get("preconditions") or {}
    propagation = body.get("propagationPolicy")
    orphan = body.get("orphanDependents")
    errors: list[FieldError] = []
    if orphan is not None and propagation is not None:
        errors.append(
            invalid("propagationPolicy", propagation, "orphanDependents and deletionPropagation cannot be both set")
        )
    if propagation is not None and propagation not in _PROPAGATION:
        errors.append(not_supported("propagationPolicy", propagation, (*_PROPAGATION, "nil")))
    errors += _dry_run_errors(body.get("dryRun") or ())
    _raise("DeleteOptions", errors)
    return DeleteOptions(
        grace_period_s=body.get("gracePeriodSeconds"),
        orphan_dependents=orphan,
        propagation=propagation or "",
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=bool(body.get("dryRun")),
        source=body,
    )


def _delete_options_of_query(call: Call) -> Object:
    query = call.request.query
    body: Object = {}
    if not query:
        return body
    grace_period_s = _integer(call, "gracePeriodSeconds")
    if grace_period_s is not None:
        body["gracePeriodSeconds"] = grace_period_s
    _optional_bool(call, UNSAFE_DELETION)
    orphan = _optional_bool(call, "orphanDependents")
    if orphan is not None:
        body["orphanDependents"] = orphan
    if query.get("propagationPolicy"):
        body["propagationPolicy"] = call.query("propagationPolicy")
    if query.get("dryRun"):
        body["dryRun"] = list(query["dryRun"])
    return body


def _selector(text: str, parse: Callable[[str], Any], everything: Any) -> Any:
    if not text:
        return everything
    try:
        return parse(text)
    except SelectorError as error:
        raise BadRequest(str(error)) from error


def _integer(call: Call, name: str) -> int | None:
    values = call.request.query.get(name)
    if not values:
        return None
    text = values[0]
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text)
    if abs(value) >= 2**63:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def _optional_bool(call: Call, name: str) -> bool | None:
    """Present but empty is true, and anything that is not false is, as upstream's conversion has it."""
    values = call.request.query.get(name)
    if not values:
        return None
    return parse_bool(values[0]) is not False


def _field_manager_errors(manager: str) -> list[FieldError]:
    errors = []
    if len(manager) > _FIELD_MANAGER_LIMIT:
        errors.append(too_long("fieldManager", _FIELD_MANAGER_LIMIT))
    for position, character in enumerate(manager):
        if not character.isprintable():
            detail = f"invalid character U+{ord(character):04X} (at position {position})"
            errors.append(invalid("fieldManager", manager, detail))
    return errors


def _dry_run_errors(values: Sequence[str]) -> list[FieldError]:
    if all(value == "All" for value in values):
        return []
    return [not_supported("dryRun", list(values), ("All",))]


def _list_errors(options: ListOptions) -> list[FieldError]:
    errors: list[FieldError] = []
    match = options.match
    if match:
        if not options.resource_version:
            detail = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            errors.append(forbidden("resourceVersionMatch", detail))
        if options.continue_token:
            errors.append(
                forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
            )
        if match not in ("Exact", "NotOlderThan"):
            errors.append(not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and options.resource_version == "0":
            detail = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            errors.append(forbidden("resourceVersionMatch", detail))
    if options.send_initial_events is not None:
        errors.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return errors


def _watch_errors(options: ListOptions) -> list[FieldError]:
    """``resourceVersionMatch`` of a watch that starts with what is there is set by default."""
    errors: list[FieldError] = []
    match = options.match
    if options.send_initial_events is not None and match != "NotOlderThan":
        detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        errors.append(forbidden("resourceVersionMatch", detail))
    if match:
        if options.send_initial_events is None:
            detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            errors.append(forbidden("resourceVersionMatch", detail))
        if match != "NotOlderThan":
            errors.append(not_supported("resourceVersionMatch", match, ("NotOlderThan",)))
    is_defaulted = not match and options.send_initial_events is None and options.resource_version in ("", "0")
    if options.continue_token and (match or is_defaulted):
        errors.append(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
    return errors


def _raise(kind: str, errors: Sequence[FieldError]) -> None:
    if errors:
        raise Invalid.of(kind, META_GROUP, "", errors)
