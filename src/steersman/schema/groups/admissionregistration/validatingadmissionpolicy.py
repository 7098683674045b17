"""ValidatingAdmissionPolicy: admission rules written in CEL."""

from __future__ import annotations

from msgspec.structs import replace

from steersman.meta.errors import FieldError, duplicate, invalid, required
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object
from steersman.meta.resources import VALIDATINGADMISSIONPOLICIES
from steersman.schema.columns import AGE, NAME, length
from steersman.schema.conditions import check_conditions
from steersman.schema.groups.admissionregistration.parameters import PARAM_KIND
from steersman.schema.groups.admissionregistration.policies import check_policy
from steersman.schema.groups.admissionregistration.policyexpressions import PolicyExpressions
from steersman.schema.groups.admissionregistration.reservednames import reserved_name_warnings
from steersman.schema.groups.admissionregistration.webhook import default_constraints
from steersman.schema.kind import Kind
from steersman.schema.rules import check_optional_choice, check_present
from steersman.schema.statuswrites import keep_metadata
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("failurePolicy") is None:
        spec["failurePolicy"] = "Fail"
    default_constraints(spec.get("matchConstraints"))


_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ANNOTATIONS = 20
_VALUE_BYTES = 5 * 1024


def prepare_create(obj: Object) -> None:
    obj["status"] = {}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    expressions = check_policy(errors, spec)
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        detail = "validations or auditAnnotations must contain at least one item"
        return [*errors, required("spec.validations", detail), required("spec.auditAnnotations", detail)]
    for index, validation in enumerate(validations):
        _check_validation(errors, validation, expressions, f"spec.validations[{index}]")
    if len(annotations) > _ANNOTATIONS:
        detail = f"must not have more than {_ANNOTATIONS} auditAnnotations"
        errors.append(invalid("spec.auditAnnotations", annotations, detail))
    seen = set()
    for index, annotation in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{index}]", annotation.get("key") or ""
        _check_annotation(errors, annotation, expressions, path, obj["metadata"].get("name") or "")
        if key in seen:
            errors.append(duplicate(f"{path}.key", key))
        seen.add(key)
    return errors


def _check_validation(errors: list[FieldError], validation: Object, expressions: PolicyExpressions, path: str) -> None:
    message, expression = validation.get("message") or "", validation.get("expression") or ""
    if not expression.strip():
        errors.append(required(f"{path}.expression", "expression is not specified"))
    else:
        errors.extend(expressions.condition(expression).errors(f"{path}.expression"))
    message_expression = validation.get("messageExpression") or ""
    if message_expression and not message_expression.strip():
        errors.append(invalid(f"{path}.messageExpression", message_expression, "must be non-empty if specified"))
    elif message_expression:
        errors.extend(expressions.message(message_expression).errors(f"{path}.messageExpression"))
    if message and not message.strip():
        errors.append(invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif any(end in message.strip() for end in "\r\n"):
        errors.append(invalid(f"{path}.message", message, "must not contain line breaks"))
    check_optional_choice(errors, validation.get("reason"), f"{path}.reason", _REASONS)


def _check_annotation(
    errors: list[FieldError], annotation: Object, expressions: PolicyExpressions, path: str, name: str
) -> None:
    key, expression = annotation.get("key") or "", (annotation.get("valueExpression") or "").strip()
    if name:
        errors.extend(invalid(f"{path}.key", f"{name}/{key}", text) for text in label_key_errors(f"{name}/{key}"))
    else:
        errors.append(invalid(f"{path}.key", key, "requires metadata.name be non-empty"))
    if not expression:
        errors.append(required(f"{path}.valueExpression", "valueExpression is not specified"))
    elif len(expression.encode()) > _VALUE_BYTES:
        errors.append(required(f"{path}.valueExpression", f"must not exceed {_VALUE_BYTES} bytes in length"))
    else:
        errors.extend(
            error if error.value is None else replace(error, value=annotation["valueExpression"])
            for error in expressions.annotation(expression).errors(f"{path}.valueExpression")
        )


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    status = new.get("status") or {}
    for index, warning in enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or ()):
        path = f"status.typeChecking.expressionWarnings[{index}]"
        check_present(errors, warning, path, "warning", "fieldRef")
    check_conditions(errors, status.get("conditions"), "status.conditions")
    return errors


KIND = Kind(
    resource=VALIDATINGADMISSIONPOLICIES,
    definition="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    singular="validatingadmissionpolicy",
    categories=("api-extensions",),
    subresources=(STATUS,),
    qualifies_finalizers=False,
    storage_prefix="validatingadmissionpolicies",
    has_status=True,
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        length(
            "Validations",
            ("spec", "validations"),
            description="Validations indicates the number of validation rules defined in this configuration",
        ),
        PARAM_KIND,
        AGE,
    ),
    prepare_create=prepare_create,
    prepare_status_update=keep_metadata,
    validate=validate,
    validate_status_update=validate_status_update,
    warnings=reserved_name_warnings,
)
