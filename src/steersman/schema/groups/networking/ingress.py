"""Ingress: HTTP routes from outside to Services."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid
from steersman.meta.names import subdomain_errors
from steersman.meta.objects import Object
from steersman.meta.objects import annotations as annotations_of
from steersman.meta.resources import INGRESSES
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, first_of_three, text, value_at
from steersman.schema.groups.core.ingresspoints import check_ingress_point, ingress_point_warnings
from steersman.schema.groups.core.service import load_balancer_addresses
from steersman.schema.groups.networking.backends import check_backend, check_host, check_rule
from steersman.schema.kind import Kind
from steersman.schema.rules import check_name
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if status.get("loadBalancer") is None:
        status["loadBalancer"] = {}


def _hosts(obj: Object, now: float) -> str:
    rules = value_at(obj, "spec", "rules") or ()
    hosts: list[str] = []
    for rule in rules:
        if len(hosts) == 3:
            return first_of_three(hosts, len(rules))
        if rule.get("host"):
            hosts.append(rule["host"])
    return ",".join(hosts) or "*"


_CLASS = "kubernetes.io/ingress.class"


def prepare_create(obj: Object) -> None:
    obj["status"] = {"loadBalancer": {}}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and backend is None:
        errors.append(invalid("spec", rules or None, "either `defaultBackend` or `rules` must be specified"))
    if backend is not None:
        check_backend(errors, backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        check_rule(errors, rule, f"spec.rules[{index}]")
    for index, entry in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(entry.get("hosts") or ()):
            check_host(errors, host, f"spec.tls[{index}].hosts[{number}]")
        if entry.get("secretName"):
            check_name(errors, entry["secretName"], f"spec.tls[{index}].secretName", subdomain_errors)
    if spec.get("ingressClassName") is not None:
        check_name(errors, spec["ingressClassName"], "spec.ingressClassName", subdomain_errors)
    return errors


def validate_create(obj: Object) -> list[FieldError]:
    annotation, name = annotations_of(obj).get(_CLASS), value_at(obj, "spec", "ingressClassName")
    if annotation is None or name is None or annotation == name:
        return []
    return [invalid(f"annotations.{_CLASS}", annotation, "must match `ingressClassName` when both are specified")]


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, entry in enumerate(value_at(new, "status", "loadBalancer", "ingress") or ()):
        check_ingress_point(errors, entry, f"status.loadBalancer.ingress[{index}]")
    return errors


def warnings(obj: Object) -> list[str]:
    if _CLASS not in annotations_of(obj) or value_at(obj, "spec", "ingressClassName") is not None:
        return []
    return [f"annotation \"{_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"]


def no_update_warnings(new: Object, old: Object) -> list[str]:
    return []


KIND = Kind(
    resource=INGRESSES,
    definition="io.k8s.api.networking.v1.Ingress",
    singular="ingress",
    short_names=("ing",),
    subresources=(STATUS,),
    storage_prefix="ingress",
    has_status=True,
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        text(
            "Class",
            "spec",
            "ingressClassName",
            empty=NONE,
            description="The name of the IngressClass resource that should be used for additional configuration",
        ),
        computed(
            "Hosts", _hosts, description="Hosts that incoming requests are matched against before the ingress rule"
        ),
        computed(
            "Address",
            lambda obj, now: ",".join(load_balancer_addresses(obj)),
            description="Address is a list containing ingress points for the load-balancer",
        ),
        computed(
            "Ports",
            lambda obj, now: "80, 443" if value_at(obj, "spec", "tls") else "80",
            description="Ports of TLS configurations that open",
        ),
        AGE,
    ),
    prepare_create=prepare_create,
    validate=validate,
    validate_create=validate_create,
    validate_status_update=validate_status_update,
    warnings=warnings,
    update_warnings=no_update_warnings,
    status_warnings=ingress_point_warnings,
)
