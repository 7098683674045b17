"""CertificateSigningRequest: a request to sign a certificate, and the answer."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS
from steersman.schema.kind import Kind, Subresource
from steersman.schema.selectable import text_at
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    if obj.get("status") is None:
        obj["status"] = {}


KIND = Kind(
    resource=CERTIFICATESIGNINGREQUESTS,
    definition="io.k8s.api.certificates.v1.CertificateSigningRequest",
    singular="certificatesigningrequest",
    short_names=("csr",),
    subresources=(
        Subresource(name="approval", verbs=("get", "patch", "update")),
        STATUS,
    ),
    storage_prefix="certificatesigningrequests",
    selectable_fields={"spec.signerName": text_at("spec", "signerName")},
    has_status=True,
    default=default,
)
