"""Ports of a Service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta import names
from steersman.meta.errors import duplicate, forbidden, required
from steersman.schema import goforms
from steersman.schema.groups.core.podspec.containers import PROTOCOLS
from steersman.schema.groups.core.serviceaddresses import is_headless
from steersman.schema.rules import Errors, check_choice, check_name, check_port, check_port_or_name


def check_ports(errors: Errors, spec: Mapping[str, Any]) -> None:
    ports, path = spec.get("ports") or (), "spec.ports"
    if not ports and not is_headless(spec) and spec.get("type") != "ExternalName":
        errors.append(required(path))
    seen: set[Any] = set()
    node_ports: set[tuple[Any, Any]] = set()
    numbers: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        name, protocol, number = port.get("name"), port.get("protocol"), port.get("port")
        if not name:
            if len(ports) > 1:
                errors.append(required(f"{at}.name"))
        else:
            check_name(errors, name, f"{at}.name", names.label_errors)
            if name in seen:
                errors.append(duplicate(f"{at}.name", name))
            seen.add(name)
        check_port(errors, number, f"{at}.port")
        check_choice(errors, protocol, f"{at}.protocol", PROTOCOLS)
        check_port_or_name(errors, port.get("targetPort"), f"{at}.targetPort")
        if port.get("appProtocol") is not None:
            check_name(errors, port["appProtocol"], f"{at}.appProtocol", names.label_key_errors)
        if port.get("nodePort"):
            if spec.get("type") == "ClusterIP":
                errors.append(forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'"))
            if (protocol, port["nodePort"]) in node_ports:
                errors.append(duplicate(f"{at}.nodePort", port["nodePort"]))
            node_ports.add((protocol, port["nodePort"]))
        if (protocol, number) in numbers:
            shown = goforms.internal("core.v1.ServicePort", {"protocol": protocol, "port": number})
            errors.append(duplicate(at, shown))
        numbers.add((protocol, number))
