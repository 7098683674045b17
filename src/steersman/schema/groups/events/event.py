"""Event: Event in its own group: the same stored objects as core's, under newer field names."""

from __future__ import annotations

from steersman.meta.resources import NEW_EVENTS
from steersman.schema.groups.core.event import REFERENCE_FIELDS, involved, reporting_component
from steersman.schema.groups.core.eventtable import COLUMNS
from steersman.schema.groups.events.conversion import convert
from steersman.schema.kind import Kind
from steersman.schema.selectable import text_at

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
)
