"""AlwaysAdmit and AlwaysDeny: the plugins of the earliest releases, kept for those whose flags still name them."""

from __future__ import annotations

import logging

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.meta.errors import Forbidden
from steersman.meta.objects import Object

log = logging.getLogger(__name__)


def _deprecated(name: str) -> None:
    log.warning(
        "%s admission controller is deprecated. Please remove this controller from your configuration files and scripts.",
        name,
    )


class AlwaysAdmit:
    NAME = "AlwaysAdmit"

    def __init__(self) -> None:
        _deprecated(self.NAME)

    async def validate(self, request: AdmissionRequest) -> None:
        return None


class AlwaysDeny:
    NAME = "AlwaysDeny"

    def __init__(self) -> None:
        _deprecated(self.NAME)

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        raise _denied(request)

    async def validate(self, request: AdmissionRequest) -> None:
        raise _denied(request)


def _denied(request: AdmissionRequest) -> Forbidden:
    return refused(request, "admission control is denying all modifications")


def _conforms() -> tuple[ValidatingPlugin, MutatingPlugin]:
    return AlwaysAdmit(), AlwaysDeny()
