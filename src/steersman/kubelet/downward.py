"""The downward API: a pod's own fields and its containers' resources as text, for environment and volumes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from steersman.kubelet.podspec import find_container
from steersman.meta import objects
from steersman.meta.quantities import quantity
from steersman.meta.quoting import quoted

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
    return "\n".join(f"{key}={quoted(value)}" for key, value in sorted(entries.items()))


def resource_value(
    pod: Mapping[str, Any], reference: Mapping[str, Any], *, container: str, allocatable: Mapping[str, Any]
) -> str:
    """The value of a ``resourceFieldRef`` in units of its divisor, rounded up. A limit that is not set is the pod's own, or
    else the node's allocatable. Raises ``DownwardError``."""
    name = str(reference.get("containerName") or container)
    found = find_container(pod, name)
    if found is None:
        raise DownwardError(f"container {name} not found")
    kind, _, resource = str(reference["resource"]).partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise DownwardError(f"unsupported container resource : {reference['resource']}")
    resources = found.spec.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    if kind == "limits":
        value = _limit(resource, limits, (pod["spec"].get("resources") or {}).get("limits") or {}, allocatable)
    else:
        value = quantity(requests.get(resource, 0))
    divisor = quantity(reference.get("divisor") or "1") or Fraction(1)
    return str(math.ceil(value / divisor))


def _limit(
    resource: str, limits: Mapping[str, Any], shared: Mapping[str, Any], allocatable: Mapping[str, Any]
) -> Fraction:
    own = quantity(limits.get(resource, 0))
    if own or resource not in ("cpu", "memory", "ephemeral-storage") or resource not in allocatable:
        return own
    of_pod = quantity(shared.get(resource, 0)) if resource != "ephemeral-storage" else Fraction(0)
    return of_pod or quantity(allocatable[resource])
