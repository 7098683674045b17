"""Event: something that happened to an object; kept for a while only."""

from __future__ import annotations

from collections.abc import Callable

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object, namespace
from steersman.meta.resources import EVENTS
from steersman.schema.groups.core.eventtable import COLUMNS
from steersman.schema.groups.events.conversion import convert
from steersman.schema.kind import Kind
from steersman.schema.rules import check_name
from steersman.schema.selectable import text_at


def involved(name: str) -> Callable[[Object], str]:
    """A field of the object that the event is about, in core's and in events.k8s.io's shape."""

    def value(obj: Object) -> str:
        reference = obj.get("involvedObject") or obj.get("regarding") or {}
        return str(reference.get(name) or "")

    return value


def reporting_component(obj: Object) -> str:
    return str(obj.get("reportingComponent") or obj.get("reportingController") or "")


def source_component(obj: Object) -> str:
    return str((obj.get("source") or {}).get("component") or "") or reporting_component(obj)


REFERENCE_FIELDS = ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")


def default(obj: Object) -> None:
    """What upstream always writes, present or not."""
    for name in ("involvedObject", "source"):
        if obj.get(name) is None:
            obj[name] = {}
    for name in ("reportingComponent", "reportingInstance"):
        if obj.get(name) is None:
            obj[name] = ""
    for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
        obj.setdefault(name, None)


_LEGACY_SPACES = ("", "default")
_LIMITS = (("reportingInstance", 128), ("action", 128), ("reason", 128))
_MESSAGE_LIMIT = 1024


def validate(obj: Object) -> list[FieldError]:
    """Events of clients that set ``eventTime`` must be whole; the older ones only stand in the right namespace."""
    return event_errors(obj, component_field="reportingComponent")


def event_errors(obj: Object, *, component_field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    space = namespace(obj)
    reference = obj.get("involvedObject") or obj.get("regarding") or {}
    own, path = reference.get("namespace") or "", "involvedObject.namespace"
    is_new = bool(obj.get("eventTime"))
    allowed = ("default", "kube-system") if is_new else _LEGACY_SPACES
    if (not own and space not in allowed) or (own and not is_new and own != space):
        errors.append(invalid(path, own, "does not match event.namespace"))
    if not is_new:
        return errors
    component = reporting_component(obj)
    if not component:
        errors.append(required(component_field))
    check_name(errors, component, component_field, label_key_errors)
    for name, limit in _LIMITS:
        text = obj.get(name) or ""
        if not text:
            errors.append(required(name))
        elif len(text) > limit:
            errors.append(invalid(name, "", f"can have at most {limit} characters"))
    if len(obj.get("message") or obj.get("note") or "") > _MESSAGE_LIMIT:
        errors.append(invalid("message", "", f"can have at most {_MESSAGE_LIMIT} characters"))
    return errors


KIND = Kind(
    resource=EVENTS,
    definition="io.k8s.api.core.v1.Event",
    singular="event",
    short_names=("ev",),
    storage_prefix="events",
    selectable_fields={
        **{f"involvedObject.{name}": involved(name) for name in REFERENCE_FIELDS},
        "reason": text_at("reason"),
        "reportingComponent": reporting_component,
        "source": source_component,
        "type": text_at("type"),
    },
    allows_create_on_update=True,
    columns=COLUMNS,
    default=default,
    convert=convert,
    validate=validate,
)
