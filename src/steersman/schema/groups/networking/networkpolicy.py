"""NetworkPolicy: which traffic pods may send and receive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.addresses import cidr_errors, cidr_warnings, is_strict_subset
from steersman.meta.errors import FieldError, forbidden, invalid, required
from steersman.meta.names import port_name_errors
from steersman.meta.objects import Object
from steersman.meta.resources import NETWORKPOLICIES
from steersman.schema.columns import AGE, NAME, computed, format_selector, value_at
from steersman.schema.groups.core.podspec.containers import PROTOCOLS
from steersman.schema.kind import Kind
from steersman.schema.rules import check_label_selector, check_name, check_optional_choice, check_port


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


TYPES = ("Ingress", "Egress")


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_label_selector(errors, spec.get("podSelector"), "spec.podSelector")
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                _check_port(errors, port, f"{path}.ports[{number}]")
            for number, peer in enumerate(rule.get(side) or ()):
                _check_peer(errors, peer, f"{path}.{side}[{number}]")
    types = spec.get("policyTypes") or []
    if len(types) > len(TYPES):
        errors.append(invalid("spec.policyTypes", types, "may not specify more than two policyTypes"))
        return errors
    for index, kind in enumerate(types):
        check_optional_choice(errors, kind, f"spec.policyTypes[{index}]", TYPES)
    return errors


def _check_port(errors: list[FieldError], entry: Mapping[str, Any], path: str) -> None:
    check_optional_choice(errors, entry.get("protocol"), f"{path}.protocol", PROTOCOLS)
    port, end = entry.get("port"), entry.get("endPort")
    if isinstance(port, int):
        check_port(errors, port, f"{path}.port")
        if end is not None:
            if end < port:
                errors.append(invalid(f"{path}.endPort", port, "must be greater than or equal to `port`"))
            check_port(errors, end, f"{path}.endPort")
        return
    if end is not None:
        why = "is not specified" if port is None else "is non-numeric"
        errors.append(invalid(f"{path}.endPort", end, f"may not be specified when `port` {why}"))
    if port is not None:
        check_name(errors, port, f"{path}.port", port_name_errors)


def _check_peer(errors: list[FieldError], peer: Mapping[str, Any], path: str) -> None:
    block = peer.get("ipBlock")
    selectors = [name for name in ("podSelector", "namespaceSelector") if peer.get(name) is not None]
    for name in selectors:
        check_label_selector(errors, peer[name], f"{path}.{name}")
    if block is not None:
        _check_block(errors, block, f"{path}.ipBlock")
        if selectors:
            errors.append(forbidden(path, "may not specify both ipBlock and another peer"))
    elif not selectors:
        errors.append(required(path, "must specify a peer"))


def _check_block(errors: list[FieldError], block: Mapping[str, Any], path: str) -> None:
    cidr = block.get("cidr")
    if not cidr:
        errors.append(required(f"{path}.cidr"))
        return
    found = cidr_errors(cidr)
    errors.extend(invalid(f"{path}.cidr", cidr, text) for text in found)
    for index, part in enumerate(block.get("except") or ()):
        at, wrong = f"{path}.except[{index}]", cidr_errors(part)
        errors.extend(invalid(at, part, text) for text in wrong)
        if not found and not wrong and not is_strict_subset(part, cidr):
            errors.append(invalid(at, part, "must be a strict subset of `cidr`"))


def warnings(obj: Object) -> list[str]:
    found = []
    for rules, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(value_at(obj, "spec", rules) or ()):
            for number, peer in enumerate(rule.get(peers) or ()):
                block, path = peer.get("ipBlock") or {}, f"spec.{rules}[{index}].{peers}[{number}].ipBlock"
                found += cidr_warnings(f"{path}.cidr", block.get("cidr") or "")
                for position, cidr in enumerate(block.get("except") or ()):
                    found += cidr_warnings(f"{path}.except[{position}]", cidr)
    return found


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
    validate=validate,
    warnings=warnings,
)
