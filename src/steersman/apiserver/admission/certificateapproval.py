"""CertificateApproval: who approves or denies a request has to be allowed to do so for its signer."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.apiserver.admission.signerpermission import speaks_for
from steersman.apiserver.authz.api import Authorizer
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS


class CertificateApproval:
    NAME = "CertificateApproval"
    OPERATIONS = ("UPDATE",)
    RESOURCES = (CERTIFICATESIGNINGREQUESTS,)
    SUBRESOURCES = ("approval",)

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        resource, old = request.kind.resource, request.old
        if resource != CERTIFICATESIGNINGREQUESTS or request.subresource != "approval" or old is None:
            return
        signer = (old.get("spec") or {}).get("signerName") or ""
        if not await speaks_for(self._authorizer, request.user, "approve", signer):
            why = f'user not permitted to approve requests with signerName "{signer}"'
            raise refused(request, why)


def _conforms(authorizer: Authorizer) -> ValidatingPlugin:
    return CertificateApproval(authorizer)
