"""CertificateSubjectRestriction: nobody becomes a member of ``system:masters`` through a certificate for clients."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.apiserver.authn.api import MASTERS_GROUP
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS
from steersman.schema.groups.certificates.pem import requested_organizations

SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateSubjectRestriction:
    NAME = "CertificateSubjectRestriction"
    OPERATIONS = ("CREATE",)
    RESOURCES = (CERTIFICATESIGNINGREQUESTS,)
    SUBRESOURCES = ("",)

    async def validate(self, request: AdmissionRequest) -> None:
        resource, obj = request.kind.resource, request.obj
        if resource != CERTIFICATESIGNINGREQUESTS or request.subresource or obj is None:
            return
        spec = obj.get("spec") or {}
        if spec.get("signerName") != SIGNER:
            return
        try:
            organizations = requested_organizations(spec.get("request") or "")
        except ValueError as error:
            raise refused(request, f"failed to parse CSR: {error}") from error
        if MASTERS_GROUP in organizations:
            why = f"use of {SIGNER} signer with {MASTERS_GROUP} group is not allowed"
            raise refused(request, why)


def _conforms() -> ValidatingPlugin:
    return CertificateSubjectRestriction()
