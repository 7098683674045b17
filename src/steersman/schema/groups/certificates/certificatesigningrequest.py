"""CertificateSigningRequest: a request to sign a certificate, and the answer."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS
from steersman.schema.cells import NONE, human_duration
from steersman.schema.columns import AGE, NAME, computed, text, value_at
from steersman.schema.kind import Kind, Subresource
from steersman.schema.selectable import text_at
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    if obj.get("status") is None:
        obj["status"] = {}


def _duration(obj: Object, now: float) -> str:
    seconds = value_at(obj, "spec", "expirationSeconds")
    return NONE if seconds is None else human_duration(seconds)


def _condition(obj: Object, now: float) -> str:
    types = {entry.get("type") for entry in value_at(obj, "status", "conditions") or ()}
    words = ["Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"]
    if "Failed" in types:
        words.append("Failed")
    if value_at(obj, "status", "certificate"):
        words.append("Issued")
    return ",".join(words)


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
    columns=(
        NAME,
        AGE,
        text(
            "SignerName",
            "spec",
            "signerName",
            empty=NONE,
            documented_by="io.k8s.api.certificates.v1.CertificateSigningRequestSpec/signerName",
        ),
        text(
            "Requestor",
            "spec",
            "username",
            documented_by="io.k8s.api.certificates.v1.CertificateSigningRequestSpec/request",
        ),
        computed(
            "RequestedDuration",
            _duration,
            documented_by="io.k8s.api.certificates.v1.CertificateSigningRequestSpec/expirationSeconds",
        ),
        computed(
            "Condition",
            _condition,
            documented_by="io.k8s.api.certificates.v1.CertificateSigningRequestStatus/conditions",
        ),
    ),
)
