"""ComponentStatus: health of the control plane's parts as the API server sees it; deprecated and computed on every read."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import COMPONENTSTATUSES
from steersman.schema.columns import NAME, computed
from steersman.schema.kind import Kind


def _healthy(obj: Object) -> Object:
    found: Object = next((entry for entry in obj.get("conditions") or () if entry.get("type") == "Healthy"), {})
    return found


def _status(obj: Object, now: float) -> str:
    condition = _healthy(obj)
    if not condition:
        return "Unknown"
    return "Healthy" if condition.get("status") == "True" else "Unhealthy"


KIND = Kind(
    resource=COMPONENTSTATUSES,
    definition="io.k8s.api.core.v1.ComponentStatus",
    singular="componentstatus",
    short_names=("cs",),
    verbs=("get", "list"),
    storage_prefix="",
    is_stored=False,
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
    columns=(
        NAME,
        computed("Status", _status, description="Status of the component conditions"),
        computed(
            "Message",
            lambda obj, now: _healthy(obj).get("message") or "",
            description="Message of the component conditions",
        ),
        computed(
            "Error", lambda obj, now: _healthy(obj).get("error") or "", description="Error of the component conditions"
        ),
    ),
)
