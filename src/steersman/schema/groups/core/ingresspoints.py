"""Where a load balancer is reached: a part of the status of Services and Ingresses alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.addresses import ip_errors, ip_warnings
from steersman.meta.errors import FieldError, invalid
from steersman.meta.names import subdomain_errors
from steersman.meta.objects import Object
from steersman.schema.columns import value_at
from steersman.schema.rules import check_name


def check_ingress_point(errors: list[FieldError], entry: Mapping[str, Any], path: str) -> None:
    if entry.get("ip"):
        check_name(errors, entry["ip"], f"{path}.ip", ip_errors)
    name = entry.get("hostname")
    if name:
        check_name(errors, name, f"{path}.hostname", subdomain_errors)
        if not ip_errors(name):
            errors.append(invalid(f"{path}.hostname", name, "must be a DNS name, not an IP address"))


def ingress_point_warnings(obj: Object) -> list[str]:
    return [
        text
        for index, entry in enumerate(value_at(obj, "status", "loadBalancer", "ingress") or ())
        for text in ip_warnings(f"status.loadBalancer.ingress[{index}]", entry.get("ip") or "")
    ]
