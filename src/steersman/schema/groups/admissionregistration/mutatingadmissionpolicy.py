"""MutatingAdmissionPolicy: admission changes written in CEL."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.objects import Object
from steersman.meta.resources import MUTATINGADMISSIONPOLICIES
from steersman.schema.columns import AGE, NAME, length
from steersman.schema.groups.admissionregistration.matching import REINVOCATION_POLICIES, check_mutated_operations
from steersman.schema.groups.admissionregistration.parameters import PARAM_KIND
from steersman.schema.groups.admissionregistration.policies import check_policy
from steersman.schema.groups.admissionregistration.policyexpressions import PolicyExpressions
from steersman.schema.groups.admissionregistration.reservednames import reserved_name_warnings
from steersman.schema.groups.admissionregistration.webhook import default_constraints
from steersman.schema.kind import Kind
from steersman.schema.rules import check_choice


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("failurePolicy") is None:
        spec["failurePolicy"] = "Fail"
    default_constraints(spec.get("matchConstraints"))


PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    expressions = check_policy(errors, spec, always_has_variables=True)
    check_mutated_operations(errors, spec.get("matchConstraints") or {}, "spec.matchConstraints")
    if not spec.get("mutations"):
        errors.append(required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(spec.get("mutations") or ()):
        _check_mutation(errors, mutation, expressions, f"spec.mutations[{index}]")
    check_choice(errors, spec.get("reinvocationPolicy"), "spec.reinvocationPolicy", REINVOCATION_POLICIES)
    return errors


def _check_mutation(errors: list[FieldError], mutation: Object, expressions: PolicyExpressions, path: str) -> None:
    kind = mutation.get("patchType")
    check_choice(errors, kind, f"{path}.patchType", tuple(PATCHES))
    if kind not in PATCHES:
        return
    for other, field in PATCHES.items():
        patch = mutation.get(field)
        if other != kind and patch is not None:
            detail = f"must not be specified when patchType is {kind}"
            errors.append(invalid(f"{path}.{field}", f"{{{field}}}", detail))
        elif other == kind and patch is None:
            errors.append(required(f"{path}.{field}", f"must be specified when patchType is {kind}"))
        elif patch is not None and other == kind:
            _check_patch(errors, kind, patch, expressions, f"{path}.{field}.expression")


def _check_patch(errors: list[FieldError], kind: str, patch: Object, expressions: PolicyExpressions, path: str) -> None:
    text = (patch.get("expression") or "").strip()
    if not text:
        errors.append(required(path))
        return
    compiled = expressions.json_patch(text) if kind == "JSONPatch" else expressions.apply_configuration(text)
    errors.extend(compiled.errors(path))


KIND = Kind(
    resource=MUTATINGADMISSIONPOLICIES,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    singular="mutatingadmissionpolicy",
    categories=("api-extensions",),
    qualifies_finalizers=False,
    storage_prefix="mutatingadmissionpolicies",
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        length(
            "Mutations",
            ("spec", "mutations"),
            description="Mutation indicates the number of mutations rules defined in this configuration",
        ),
        PARAM_KIND,
        AGE,
    ),
    validate=validate,
    warnings=reserved_name_warnings,
)
