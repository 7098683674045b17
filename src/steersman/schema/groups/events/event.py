"""Event: Event in its own group: the same stored objects as core's, under newer field names."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.objects import Object
from steersman.meta.resources import NEW_EVENTS
from steersman.schema.equality import same
from steersman.schema.groups.core.event import REFERENCE_FIELDS, event_errors, involved, reporting_component
from steersman.schema.groups.core.eventtable import COLUMNS
from steersman.schema.groups.events.conversion import convert
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable
from steersman.schema.selectable import text_at

_IMMUTABLE = (
    ("regarding", "involvedObject"),
    ("reason", "reason"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reportingController", "reportingController"),
    ("reportingInstance", "reportingInstance"),
)
"""Fields and the names that messages use for them."""


def default(obj: Object) -> None:
    """What upstream always writes, present or not."""
    obj.setdefault("eventTime", None)
    for name in ("deprecatedSource", "regarding"):
        if obj.get(name) is None:
            obj[name] = {}
    for name in ("deprecatedFirstTimestamp", "deprecatedLastTimestamp"):
        obj.setdefault(name, None)


def validate(obj: Object) -> list[FieldError]:
    return event_errors(obj, component_field="reportingController")


def validate_create(obj: Object) -> list[FieldError]:
    errors = _series_errors(obj)
    if not obj.get("eventTime"):
        errors.append(required("eventTime"))
    if obj.get("type") not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {obj.get('type') or ''}"))
    unset = (("deprecatedFirstTimestamp", "firstTimestamp"), ("deprecatedLastTimestamp", "lastTimestamp"),
             ("deprecatedCount", "count"), ("deprecatedSource", "source"))  # fmt: skip
    errors.extend(invalid(shown, "", "needs to be unset") for name, shown in unset if obj.get(name))
    return errors


def _series_errors(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    series = obj.get("series")
    if series is not None:
        if (series.get("count") or 0) < 2:
            errors.append(invalid("series.count", "", "should be at least 2"))
        if not series.get("lastObservedTime"):
            errors.append(required("series.lastObservedTime"))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors = [] if same(new.get("series"), old.get("series")) else _series_errors(new)
    for name, shown in _IMMUTABLE:
        check_immutable(errors, new.get(name), old.get(name), shown)
    return errors


KIND = Kind(
    resource=NEW_EVENTS,
    definition="io.k8s.api.events.v1.Event",
    singular="event",
    short_names=("ev",),
    storage_prefix="events",
    storage_group="",
    storage_version="v1",
    selectable_fields={
        "reason": text_at("reason"),
        **{f"regarding.{name}": involved(name) for name in REFERENCE_FIELDS},
        "reportingController": reporting_component,
        "type": text_at("type"),
    },
    allows_create_on_update=True,
    columns=COLUMNS,
    convert=convert,
    default=default,
    validate=validate,
    validate_create=validate_create,
    validate_update=validate_update,
)
