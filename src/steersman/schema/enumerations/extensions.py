"""Enumerated types of admission, certificates and custom resource definitions."""

from __future__ import annotations

from steersman.schema.enumerations.enumeration import Enumeration
from steersman.schema.groups.admissionregistration.matching import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    OPERATIONS,
    REINVOCATION_POLICIES,
    SCOPES,
)
from steersman.schema.groups.admissionregistration.mutatingadmissionpolicy import PATCHES
from steersman.schema.groups.admissionregistration.validatingadmissionpolicybinding import ACTIONS
from steersman.schema.groups.admissionregistration.webhook import SIDE_EFFECTS
from steersman.schema.groups.apiextensions.openapischema import REASONS
from steersman.schema.groups.certificates.certificatesigningrequest import USAGES

_ADMISSION = "io.k8s.api.admissionregistration.v1"

EXTENSIONS: tuple[Enumeration, ...] = (
    Enumeration(
        values=MATCH_POLICIES,
        meanings={
            "Equivalent": "also requests that reach a listed resource by another group or version.",
            "Exact": "only requests that a rule names.",
        },
        fields=(
            f"{_ADMISSION}.MatchResources/matchPolicy",
            f"{_ADMISSION}.MutatingWebhook/matchPolicy",
            f"{_ADMISSION}.ValidatingWebhook/matchPolicy",
        ),
    ),
    Enumeration(
        values=FAILURE_POLICIES,
        meanings={"Fail": "an error refuses the request.", "Ignore": "an error is passed over."},
        fields=(
            f"{_ADMISSION}.MutatingAdmissionPolicySpec/failurePolicy",
            f"{_ADMISSION}.MutatingWebhook/failurePolicy",
            f"{_ADMISSION}.ValidatingAdmissionPolicySpec/failurePolicy",
            f"{_ADMISSION}.ValidatingWebhook/failurePolicy",
        ),
    ),
    Enumeration(
        values=REINVOCATION_POLICIES,
        meanings={
            "IfNeeded": "called once more where later admission changed the object.",
            "Never": "called once for a request.",
        },
        fields=(
            f"{_ADMISSION}.MutatingAdmissionPolicySpec/reinvocationPolicy",
            f"{_ADMISSION}.MutatingWebhook/reinvocationPolicy",
        ),
    ),
    Enumeration(
        values=(*SIDE_EFFECTS, "Some", "Unknown"),
        meanings={
            "None": "calls change nothing elsewhere.",
            "NoneOnDryRun": "calls may change something elsewhere, except on a dry run.",
            "Some": "calls may change something elsewhere; a dry run that would call fails. Not accepted in v1.",
            "Unknown": "nothing is known of it; a dry run that would call fails. Not accepted in v1.",
        },
        fields=(f"{_ADMISSION}.MutatingWebhook/sideEffects", f"{_ADMISSION}.ValidatingWebhook/sideEffects"),
    ),
    Enumeration(
        values=PATCHES,
        meanings={
            "ApplyConfiguration": "the expression is what to apply.",
            "JSONPatch": "the expression is a list of JSON patch operations.",
        },
        fields=(f"{_ADMISSION}.Mutation/patchType",),
    ),
    Enumeration(
        values=OPERATIONS,
        fields=(f"{_ADMISSION}.NamedRuleWithOperations/operations", f"{_ADMISSION}.RuleWithOperations/operations"),
    ),
    Enumeration(
        values=SCOPES,
        meanings={
            "*": "all resources.",
            "Cluster": "resources without a namespace; Namespaces are among them.",
            "Namespaced": "resources in namespaces.",
        },
        fields=(f"{_ADMISSION}.NamedRuleWithOperations/scope", f"{_ADMISSION}.RuleWithOperations/scope"),
    ),
    Enumeration(values=ACTIONS, fields=(f"{_ADMISSION}.ValidatingAdmissionPolicyBindingSpec/validationActions",)),
    Enumeration(values=USAGES, fields=("io.k8s.api.certificates.v1.CertificateSigningRequestSpec/usages",)),
    Enumeration(
        values=REASONS,
        meanings={
            "FieldValueDuplicate": "a value that must be unique is there twice.",
            "FieldValueForbidden": "a well-formed value that is not allowed as things are.",
            "FieldValueInvalid": "a malformed value.",
            "FieldValueRequired": "a value is missing.",
        },
        fields=("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ValidationRule/reason",),
    ),
)
