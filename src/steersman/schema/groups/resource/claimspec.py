"""The specification of a ResourceClaim, as in claims and claim templates."""

from __future__ import annotations

from steersman.meta.objects import Object


def default_device_claim(devices: Object | None) -> None:
    """Requests for one device each unless they say otherwise."""
    for request in (devices or {}).get("requests") or ():
        exactly = request.get("exactly")
        if exactly is not None:
            _default_request(exactly)
        for alternative in request.get("firstAvailable") or ():
            _default_request(alternative)


def _default_request(request: Object) -> None:
    if not request.get("allocationMode"):
        request["allocationMode"] = "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1
    for toleration in request.get("tolerations") or ():
        if not toleration.get("operator"):
            toleration["operator"] = "Equal"
