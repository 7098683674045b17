"""Tells what the kubelet itself wrote to a pod, coming back through the watch, from news."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.kubelet.pod_conditions import OWNED
from steersman.kubelet.status import TERMINAL
from steersman.kubelet.status_manager import FIELDS
from steersman.meta.objects import Object

WRITTEN = frozenset(FIELDS) - {"phase", "reason", "message"}
"""Fields of a status that the kubelet computes anew each time, whatever is stored."""
BOOKKEEPING = frozenset({"resourceVersion", "managedFields"})


def is_echo(old: Object, new: Object) -> bool:
    """The pods differ at most in what the kubelet alone writes, and neither tells of the pod's end."""
    return (
        old["spec"] == new["spec"]
        and _without(old["metadata"], BOOKKEEPING) == _without(new["metadata"], BOOKKEEPING)
        and _of_others(old.get("status") or {}) == _of_others(new.get("status") or {})
    )


def _without(part: Mapping[str, Any], keys: frozenset[str]) -> Mapping[str, Any]:
    return {key: value for key, value in part.items() if key not in keys}


def _of_others(status: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = {key: value for key, value in status.items() if key not in WRITTEN}
    kept["conditions"] = [entry for entry in status.get("conditions") or () if entry["type"] not in OWNED]
    if status.get("phase") not in TERMINAL:
        kept.pop("phase", None)
    return kept
