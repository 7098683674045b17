"""The downward API: a pod's own fields and its containers' resources as text, for environment and volumes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from steersman.kubelet.podspec import find_container
from steersman.meta import objects
from steersman.meta.quantities import quantity

_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")


class DownwardError(ValueError):
    """The reference names a field that the downward API does not have."""


def field_value(pod: Mapping[str, Any], path: str, *, host_ips: Sequence[str] = (), pod_ips: Sequence[str] = ()) -> str:
    """The value of ``fieldRef.fieldPath``; empty where the pod has none. Raises ``DownwardError``."""
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript is not None:
        entries = objects.labels(pod) if subscript.group(1) == "metadata.labels" else objects.annotations(pod)
        return str(entries.get(subscript.group(2), ""))
    match path:
        case "metadata.name":
            return objects.name(pod)
        case "metadata.namespace":
            return objects.namespace(pod)
        case "metadata.uid":
            return objects.uid(pod)
        case "metadata.labels":
            return format_map(objects.labels(pod))
        case "metadata.annotations":
            return format_map(objects.annotations(pod))
        case "spec.nodeName":
            return str(pod["spec"].get("nodeName") or "")
        case "spec.serviceAccountName":
            return str(pod["spec"].get("serviceAccountName") or "")
        case "status.hostIP":
            return host_ips[0] if host_ips else ""
        case "status.hostIPs":
            return ",".join(host_ips)
        case "status.podIP":
            return pod_ips[0] if pod_ips else ""
        case "status.podIPs":
            return ",".join(pod_ips)
        case _:
            raise DownwardError(f"unsupported fieldPath: {path}")


def format_map(entries: Mapping[str, str]) -> str:
    """Labels or annotations as a file: ``key="value"`` lines in order of the keys, values quoted as Go does."""
    return "\n".join(f"{key}={_quote(value)}" for key, value in sorted(entries.items()))


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def resource_value(
    pod: Mapping[str, Any], reference: Mapping[str, Any], *, container: str, allocatable: Mapping[str, Any]
) -> str:
    """The value of a ``resourceFieldRef`` in units of its divisor, rounded up. A limit that is not set is the node's
    allocatable. Raises ``DownwardError``."""
    name = str(reference.get("containerName") or container)
    found = find_container(pod, name)
    if found is None:
        raise DownwardError(f"container {name} not found")
    kind, _, resource = str(reference["resource"]).partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise DownwardError(f"unsupported container resource : {reference['resource']}")
    resources = found.spec.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    value = _resource(kind, resource, limits, requests, allocatable)
    divisor = quantity(reference.get("divisor") or "1") or Fraction(1)
    return str(math.ceil(value / divisor))


def _resource(
    kind: str, resource: str, limits: Mapping[str, Any], requests: Mapping[str, Any], allocatable: Mapping[str, Any]
) -> Fraction:
    if kind == "limits":
        source: Any = limits.get(resource)
        if source is None and resource in ("cpu", "memory", "ephemeral-storage"):
            source = allocatable.get(resource)
    else:
        source = requests.get(resource)
    return quantity(source) if source is not None else Fraction(0)
