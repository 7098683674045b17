"""IngressClass: which controller serves an Ingress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.domains import domain_prefixed_path_errors
from steersman.meta.errors import FieldError, forbidden, not_supported, required, too_long
from steersman.meta.names import label_errors
from steersman.meta.objects import Object
from steersman.meta.objects import annotations as annotations_of
from steersman.meta.resources import INGRESSCLASSES
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, computed, named, own_name, text, value_at
from steersman.schema.groups.networking.backends import check_reference
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable, check_name


def default(obj: Object) -> None:
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def _name(obj: Object, now: float) -> str:
    is_default = annotations_of(obj).get("ingressclass.kubernetes.io/is-default-class") == "true"
    return f"{own_name(obj, now)} (default)" if is_default else own_name(obj, now)


def _parameters(obj: Object, now: float) -> str:
    parameters = value_at(obj, "spec", "parameters")
    if parameters is None:
        return NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
    return f"{parameters.get('kind')}{group}/{parameters.get('name')}"


_CONTROLLER_LENGTH = 250
_SCOPES = ("Cluster", "Namespace")


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    controller, parameters = spec.get("controller") or "", spec.get("parameters")
    if len(controller) > _CONTROLLER_LENGTH:
        errors.append(too_long("spec.controller", _CONTROLLER_LENGTH))
    errors.extend(domain_prefixed_path_errors(controller, "spec.controller"))
    if parameters is not None:
        _check_parameters(errors, parameters, "spec.parameters")
    return errors


def _check_parameters(errors: list[FieldError], parameters: Mapping[str, Any], path: str) -> None:
    check_reference(errors, parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        errors.append(required(f"{path}.scope"))
    elif scope not in _SCOPES:
        errors.append(not_supported(f"{path}.scope", scope, _SCOPES))
    elif scope == "Cluster":
        if namespace is not None:
            errors.append(forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    elif namespace is None:
        errors.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
    else:
        check_name(errors, namespace, f"{path}.namespace", label_errors)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    now, before = value_at(new, "spec", "controller"), value_at(old, "spec", "controller")
    check_immutable(errors, now, before, "spec.controller")
    return errors


KIND = Kind(
    resource=INGRESSCLASSES,
    definition="io.k8s.api.networking.v1.IngressClass",
    singular="ingressclass",
    storage_prefix="ingressclasses",
    counts_generation=True,
    default=default,
    columns=(
        named(_name),
        text("Controller", "spec", "controller", description="Controller that is responsible for handling this class"),
        computed("Parameters", _parameters, description="A reference to a resource with additional parameters"),
        AGE,
    ),
    validate=validate,
    validate_update=validate_update,
)
