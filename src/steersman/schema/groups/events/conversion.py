"""Events between core's shape, which is stored, and that of events.k8s.io."""

from __future__ import annotations

from steersman.meta.objects import Object

_CORE_TO_NEW = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_NEW_TO_CORE = {new: core for core, new in _CORE_TO_NEW.items()}


def convert(obj: Object, api_version: str) -> Object:
    """A copy of ``obj`` in ``v1`` or ``events.k8s.io/v1``. Raises ``ValueError`` for other versions."""
    if api_version == obj.get("apiVersion"):
        return dict(obj)
    if api_version == "v1":
        names = _NEW_TO_CORE
    elif api_version == "events.k8s.io/v1":
        names = _CORE_TO_NEW
    else:
        raise ValueError(f"{api_version} is not a version of Event")
    converted = {names.get(name, name): value for name, value in obj.items()}
    converted["apiVersion"] = api_version
    return converted
