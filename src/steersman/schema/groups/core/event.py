"""Event: something that happened to an object; kept for a while only."""

from __future__ import annotations

from collections.abc import Callable

from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS
from steersman.schema.groups.core.eventtable import COLUMNS
from steersman.schema.groups.events.conversion import convert
from steersman.schema.kind import Kind
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
)
