"""DenyServiceExternalIPs: no new external IP on a Service, as anybody who may write Services could take over addresses with it."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.meta.objects import Object
from steersman.meta.resources import SERVICES


class DenyServiceExternalIPs:
    NAME = "DenyServiceExternalIPs"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (SERVICES,)
    SUBRESOURCES = ("",)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind.resource != SERVICES or request.subresource:
            return
        if not _addresses(request.obj) <= _addresses(request.old):
            raise refused(request, "Use of external IPs is denied by admission control")


def _addresses(service: Object | None) -> set[str]:
    return set(((service or {}).get("spec") or {}).get("externalIPs") or ())


def _conforms() -> ValidatingPlugin:
    return DenyServiceExternalIPs()
