"""CertificateSigning: who writes a certificate, or conditions beside it, has to be allowed to sign for that signer."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.apiserver.admission.signerpermission import speaks_for
from steersman.apiserver.authz.api import Authorizer
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS
from steersman.schema.equality import same


class CertificateSigning:
    NAME = "CertificateSigning"
    OPERATIONS = ("UPDATE",)
    RESOURCES = (CERTIFICATESIGNINGREQUESTS,)
    SUBRESOURCES = ("status",)

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        resource, new, old = request.kind.resource, request.obj, request.old
        if resource != CERTIFICATESIGNINGREQUESTS or request.subresource != "status" or new is None or old is None:
            return
        now, before = new.get("status") or {}, old.get("status") or {}
        if all(same(now.get(field), before.get(field)) for field in ("certificate", "conditions")):
            return
        signer = (old.get("spec") or {}).get("signerName") or ""
        if not await speaks_for(self._authorizer, request.user, "sign", signer):
            why = f'user not permitted to sign requests with signerName "{signer}"'
            raise refused(request, why)


def _conforms(authorizer: Authorizer) -> ValidatingPlugin:
    return CertificateSigning(authorizer)
