"""CertificateSigningRequest: a request to sign a certificate, and the answer."""

from __future__ import annotations

from steersman.meta.errors import FieldError, forbidden, invalid, not_supported, required
from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS
from steersman.schema.cells import NONE, human_duration
from steersman.schema.columns import AGE, NAME, computed, text, value_at
from steersman.schema.equality import same
from steersman.schema.groups.certificates.approval import (
    check_kept,
    check_request_conditions,
    check_undecided,
    conditions_of,
    decision_errors,
    keep_decisions,
    prepare_approval,
    stamp_conditions,
)
from steersman.schema.groups.certificates.pem import certificates_error, request_error
from steersman.schema.groups.core.signers import check_signer_name
from steersman.schema.kind import Kind, Subresource
from steersman.schema.rules import check_distinct
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


LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_SHORTEST_S = 600
USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)


def prepare_create(obj: Object) -> None:
    """Who asked is for the server to say."""
    obj["status"] = {}


def prepare_update(new: Object, old: Object) -> None:
    new["spec"] = old.get("spec") or {}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    request, usages, signer = spec.get("request") or "", spec.get("usages") or (), spec.get("signerName") or ""
    wrong = request_error(request)
    if wrong:
        errors.append(invalid("spec.request", request, wrong))
    if not usages:
        errors.append(required("spec.usages"))
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            errors.append(not_supported(f"spec.usages[{index}]", usage, USAGES))
    check_distinct(errors, usages, "spec.usages")
    if signer == LEGACY_SIGNER:
        errors.append(invalid("spec.signerName", signer, "the legacy signerName is not allowed via this API version"))
    else:
        check_signer_name(errors, signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST_S:
        detail = f"may not specify a duration less than {_SHORTEST_S} seconds (10 minutes)"
        errors.append(invalid("spec.expirationSeconds", seconds, detail))
    check_request_conditions(errors, conditions_of(obj))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_kept(errors, new, old)
    check_undecided(errors, new, old)
    _check_certificate_kept(errors, new, old)
    return errors


def _check_certificate_kept(errors: list[FieldError], new: Object, old: Object) -> None:
    if not same(value_at(new, "status", "certificate"), value_at(old, "status", "certificate")):
        errors.append(forbidden("status.certificate", "updates may not set certificate content"))


def approval_errors(new: Object, old: Object) -> list[FieldError]:
    errors = decision_errors(new, old)
    _check_certificate_kept(errors, new, old)
    return errors


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors = decision_errors(new, old)
    check_undecided(errors, new, old)
    now, before = value_at(new, "status", "certificate"), value_at(old, "status", "certificate")
    if now and now != before:
        wrong = certificates_error(now)
        if wrong:
            errors.append(invalid("status.certificate", "<certificate data>", wrong))
    if before and now != before:
        errors.append(forbidden("status.certificate", "updates may not modify existing certificate content"))
    return errors


def _no_name_errors(name: str) -> list[str]:
    return []


KIND = Kind(
    resource=CERTIFICATESIGNINGREQUESTS,
    definition="io.k8s.api.certificates.v1.CertificateSigningRequest",
    singular="certificatesigningrequest",
    short_names=("csr",),
    subresources=(
        Subresource(
            name="approval",
            verbs=("get", "patch", "update"),
            prepare_update=prepare_approval,
            validate_update=approval_errors,
        ),
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
    name_errors=_no_name_errors,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    prepare_status_update=keep_decisions,
    stamp=stamp_conditions,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
)
