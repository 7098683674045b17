"""What ``kubectl get events`` says of an event, whether it is in core's or in events.k8s.io's shape."""

from __future__ import annotations

from steersman.meta.objects import Object, metadata
from steersman.schema.cells import age
from steersman.schema.columns import computed, text
from steersman.schema.kind import Column

_EVENT = "io.k8s.api.core.v1.Event"


def _reference(obj: Object) -> Object:
    found: Object = obj.get("involvedObject") or obj.get("regarding") or {}
    return found


def _first_seen(obj: Object, now: float) -> str:
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp")
    return age(first or obj.get("eventTime"), now)


def _last_seen(obj: Object, now: float) -> str:
    series = obj.get("series")
    if series:
        return age(series.get("lastObservedTime"), now)
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    return age(last, now) if last else _first_seen(obj, now)


def _count(obj: Object, now: float) -> int:
    series = obj.get("series")
    if series:
        return int(series.get("count") or 0)
    return int(obj.get("count") or obj.get("deprecatedCount") or 1)


def _object(obj: Object, now: float) -> str:
    reference = _reference(obj)
    kind = str(reference.get("kind") or "").lower()
    return f"{kind}/{reference['name']}" if reference.get("name") else kind


def _source(obj: Object, now: float) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    instance = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {instance}" if instance else component


def _message(obj: Object, now: float) -> str:
    return str(obj.get("message") or obj.get("note") or "").strip()


COLUMNS: tuple[Column, ...] = (
    computed("Last Seen", _last_seen, documented_by=f"{_EVENT}/lastTimestamp"),
    text("Type", "type", documented_by=f"{_EVENT}/type"),
    text("Reason", "reason", documented_by=f"{_EVENT}/reason"),
    computed("Object", _object, documented_by=f"{_EVENT}/involvedObject"),
    computed(
        "Subobject",
        lambda obj, now: _reference(obj).get("fieldPath") or "",
        priority=1,
        documented_by="io.k8s.api.core.v1.ObjectReference/fieldPath",
    ),
    computed("Source", _source, priority=1, documented_by=f"{_EVENT}/source"),
    computed("Message", _message, documented_by=f"{_EVENT}/message"),
    computed("First Seen", _first_seen, priority=1, documented_by=f"{_EVENT}/firstTimestamp"),
    computed("Count", _count, priority=1, documented_by=f"{_EVENT}/count"),
    Column(
        name="Name",
        format="name",
        priority=1,
        documented_by="io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta/name",
        cell=lambda obj, now: metadata(obj).get("name") or "",
    ),
)
