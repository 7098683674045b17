"""Ingress: HTTP routes from outside to Services."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import INGRESSES
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, first_of_three, text, value_at
from steersman.schema.groups.core.service import load_balancer_addresses
from steersman.schema.kind import Kind
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
)
