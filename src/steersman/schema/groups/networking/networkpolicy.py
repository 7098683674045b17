"""NetworkPolicy: which traffic pods may send and receive."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import NETWORKPOLICIES
from steersman.schema.columns import AGE, NAME, computed, format_selector, value_at
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("podSelector") is None:
        spec["podSelector"] = {}
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


KIND = Kind(
    resource=NETWORKPOLICIES,
    definition="io.k8s.api.networking.v1.NetworkPolicy",
    singular="networkpolicy",
    short_names=("netpol",),
    storage_prefix="networkpolicies",
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        computed(
            "Pod-Selector",
            lambda obj, now: format_selector(value_at(obj, "spec", "podSelector") or {}),
            documented_by="io.k8s.api.networking.v1.NetworkPolicySpec/podSelector",
        ),
        AGE,
    ),
)
