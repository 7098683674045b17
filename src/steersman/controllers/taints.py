"""Taints of nodes and the tolerations of pods for them.

Source: "Taints and Tolerations" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steersman.meta import times
from steersman.meta.objects import Object

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
MEMORY_PRESSURE = "node.kubernetes.io/memory-pressure"
DISK_PRESSURE = "node.kubernetes.io/disk-pressure"
PID_PRESSURE = "node.kubernetes.io/pid-pressure"
NETWORK_UNAVAILABLE = "node.kubernetes.io/network-unavailable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def of_node(node: Mapping[str, Any]) -> Sequence[Object]:
    taints: Sequence[Object] = (node.get("spec") or {}).get("taints") or ()
    return taints


def has(taints: Iterable[Object], key: str, effect: str) -> bool:
    return any(taint["key"] == key and taint["effect"] == effect for taint in taints)


def without(taints: Iterable[Object], keys: Iterable[str], effect: str) -> list[Object]:
    unwanted = set(keys)
    return [taint for taint in taints if taint["effect"] != effect or taint["key"] not in unwanted]


def made(key: str, effect: str, now_s: float) -> Object:
    return {"key": key, "effect": effect, "timeAdded": times.format_time(now_s)}


def no_execute(node: Mapping[str, Any]) -> list[Object]:
    return [taint for taint in of_node(node) if taint["effect"] == "NoExecute"]


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether this one toleration fits this one taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def matching(tolerations: Iterable[Object], taints: Iterable[Object]) -> list[Object] | None:
    """For each taint a toleration of it; None where one is not tolerated."""
    offered, found = list(tolerations), []
    for taint in taints:
        fitting = next((toleration for toleration in offered if tolerates(toleration, taint)), None)
        if fitting is None:
            return None
        found.append(fitting)
    return found
