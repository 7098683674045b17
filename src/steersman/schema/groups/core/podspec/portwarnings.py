"""Ports of a pod's containers that are in each other's way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Port = Mapping[str, Any]


def port_warnings(containers: Sequence[tuple[Mapping[str, Any], str]]) -> list[str]:
    """``containers``: with where they stand."""
    ports = [
        (port, f"{where}.ports[{index}]")
        for container, where in containers
        for index, port in enumerate(container.get("ports") or ())
    ]
    if not ports:
        return []
    return _conflicts(ports) + _same_names(ports)


def _conflicts(ports: Sequence[tuple[Port, str]]) -> list[str]:
    found = []
    seen: dict[tuple[Any, Any], list[tuple[Port, str]]] = {}
    for port, at in ports:
        host, address = port.get("hostPort") or 0, port.get("hostIP") or ""
        if address and not host:
            found.append(f"{at}: hostIP set without hostPort: {_as_go(port)}")
        others = seen.setdefault((port.get("containerPort"), port.get("protocol")), [])
        for other, where in others:
            other_host, other_address = other.get("hostPort") or 0, other.get("hostIP") or ""
            if (host, address) == (other_host, other_address):
                found.append(f"{at}: duplicate port definition with {where}")
            elif not host or not other_host:
                found.append(f"{at}: overlapping port definition with {where}")
            elif host == other_host and bool(address) != bool(other_address):
                found.append(f"{at}: dangerously ambiguous port definition with {where}")
        others.append((port, at))
    return found


def _as_go(port: Port) -> str:
    """As Go prints such a value."""
    fields = ("name", ""), ("hostPort", 0), ("containerPort", 0), ("protocol", ""), ("hostIP", "")
    return f"{{{' '.join(f'{name[0].upper()}{name[1:]}:{port.get(name) or empty}' for name, empty in fields)}}}"


def _same_names(ports: Sequence[tuple[Port, str]]) -> list[str]:
    found = []
    first: dict[str, str] = {}
    for port, at in ports:
        name = port.get("name")
        if not name:
            continue
        where = first.setdefault(name, at)
        if where != at:
            found.append(
                f'{at}: duplicate port name "{name}" with {where}, services and probes that select ports by name will use '
                f"{where}"
            )
    return found
