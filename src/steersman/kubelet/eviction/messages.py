"""What evicted pods are told, in upstream's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.kubelet.eviction.signals import ContainerDisk, Observations, PodConsumption
from steersman.kubelet.eviction.thresholds import RESOURCE_OF, Threshold
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import canonical, format_binary, format_decimal, to_int


class EvictionMessage(Struct, frozen=True, kw_only=True):
    text: str
    annotations: Mapping[str, str]
    """Of the event."""


def pressure_message(
    resource: str,
    pod: Object,
    consumption: PodConsumption | None,
    thresholds: Sequence[Threshold],
    observations: Observations,
) -> EvictionMessage:
    """Why ``pod`` goes while ``resource`` is short."""
    text = f"The node was low on resource: {resource}. "
    for threshold in thresholds:
        observed = observations.get(threshold.signal)
        if RESOURCE_OF[threshold.signal] == resource and observed is not None:
            wanted = _formatted(resource, threshold.value.of(observed.capacity))
            if threshold.value.share is None and threshold.value.text:
                wanted = canonical(threshold.value.text)
            text += f"Threshold quantity: {wanted}, available: {_formatted(resource, observed.available)}. "
            break
    if consumption is None:
        return EvictionMessage(text=text, annotations={})
    annotations: dict[str, str] = {}
    level = ((pod["spec"].get("resources") or {}).get("requests") or {}).get(resource)
    if resource == "memory" and level is not None and consumption.memory_bytes is not None:
        used = format_binary(consumption.memory_bytes)
        text += _more("Pod", objects.name(pod), used, level, resource)
        annotations |= {"offending_pod": objects.name(pod), "offending_pod_usage": used}
    names, usages = [], []
    for name, disk in consumption.containers.items():
        container = _container(pod, name)
        used_bytes = _used(resource, disk)
        if container is None or used_bytes is None:
            continue
        request = ((container.get("resources") or {}).get("requests") or {}).get(resource, "0")
        if used_bytes > to_int(request):
            text += _more("Container", name, format_binary(used_bytes), request, resource)
            names.append(name)
            usages.append(format_binary(used_bytes))
    annotations |= {
        "offending_containers": ",".join(names),
        "offending_containers_usage": ",".join(usages),
        "starved_resource": resource,
    }
    return EvictionMessage(text=text, annotations=annotations)


def empty_dir_message(volume: str, limit: Any) -> str:
    return f'Usage of EmptyDir volume "{volume}" exceeds the limit "{canonical(str(limit))}". '


def pod_limit_message(limit_bytes: int) -> str:
    return f"Pod ephemeral local storage usage exceeds the total limit of containers {format_binary(limit_bytes)}. "


def container_limit_message(container: str, limit: Any) -> str:
    return f'Container {container} exceeded its local ephemeral storage limit "{canonical(str(limit))}". '


def _more(kind: str, name: str, used: str, request: Any, resource: str) -> str:
    return (
        f"{kind} {name} was using {used}, request is {canonical(str(request))}, has larger consumption of {resource}. "
    )


def _used(resource: str, disk: ContainerDisk) -> int | None:
    if resource == "memory":
        return disk.memory_bytes
    if resource == "ephemeral-storage" and disk.rootfs is not None and disk.logs is not None:
        return disk.rootfs.used_bytes + disk.logs.used_bytes
    return None


def _formatted(resource: str, amount: int) -> str:
    return format_binary(amount) if resource in ("memory", "ephemeral-storage") else format_decimal(amount)


def _container(pod: Object, name: str) -> Mapping[str, Any] | None:
    spec = pod["spec"]
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        if container["name"] == name:
            found: Mapping[str, Any] = container
            return found
    return None
