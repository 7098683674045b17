"""IngressClass: which controller serves an Ingress."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.objects import annotations as annotations_of
from steersman.meta.resources import INGRESSCLASSES
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, computed, named, own_name, text, value_at
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None and not parameters.get("scope"):
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
)
