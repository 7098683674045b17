"""Extended resources that devices stand for (KEP-5004): a pod asks for ``example.com/gpu: 2`` and, on nodes whose kubelet does
not offer the resource itself, gets two devices of the class that is mapped to it.

The scheduler makes one claim a pod for all of them. Containers that run one after another share devices: an init container
uses what later containers will have, and asks for more only where that is not enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import to_int
from steersman.meta.resources import PODS, RESOURCECLAIMS
from steersman.scheduler.cluster import DEVICE_CLASS_PREFIX, Cluster
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.pod_requests import is_extended_resource

ANNOTATION = "resource.kubernetes.io/extended-resource-claim"


class Mapped(Struct, frozen=True, kw_only=True):
    """A container's part in a request."""

    container: str
    resource: str
    request: str

    def as_object(self) -> Object:
        return {"containerName": self.container, "resourceName": self.resource, "requestName": self.request}


class _Asked(Struct, kw_only=True):
    """A request in the making."""

    name: str
    class_name: str
    count: int

    def as_object(self) -> Object:
        exactly = {"deviceClassName": self.class_name, "allocationMode": "ExactCount", "count": self.count}
        return {"name": self.name, "exactly": exactly}


def is_for_devices(resource: str) -> bool:
    """Devices may stand for this resource."""
    return is_extended_resource(resource) or resource.startswith(DEVICE_CLASS_PREFIX)


def mapped_resources(pod: PodInfo, cluster: Cluster) -> tuple[str, ...]:
    """The pod's resources that some device class stands for."""
    return tuple(
        sorted(
            name
            for name, amount in pod.requests.amounts.items()
            if amount > 0 and is_for_devices(name) and cluster.device_class_of(name) is not None
        )
    )


def claim_of(pod: PodInfo, cluster: Cluster) -> Object | None:
    """The claim that an earlier try made for the pod."""
    for claim in cluster.lister(RESOURCECLAIMS).of_namespace(pod.namespace):
        if objects.annotations(claim).get(ANNOTATION) == "true" and objects.is_controlled_by(claim, pod.obj):
            return claim
    return None


def new_claim(pod: PodInfo, requests: Sequence[Object]) -> Object:
    """The claim as it is to be made."""
    return {
        "apiVersion": RESOURCECLAIMS.api_version,
        "kind": RESOURCECLAIMS.kind,
        "metadata": {
            "namespace": pod.namespace,
            "generateName": f"{pod.name}-extended-resources-",
            "annotations": {ANNOTATION: "true"},
            "ownerReferences": [
                {
                    "apiVersion": PODS.api_version,
                    "kind": PODS.kind,
                    "name": pod.name,
                    "uid": pod.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {"devices": {"requests": [*requests]}},
    }


def requests_for(pod: PodInfo, resources: Iterable[str], cluster: Cluster) -> tuple[list[Object], list[Object]]:
    """(requests of the claim, which container uses which request), for those of the pod's resources that a node does not
    offer itself."""
    spec = pod.obj.get("spec") or {}
    inits = spec.get("initContainers") or ()
    containers = [*inits, *(spec.get("containers") or ())]
    passing = [index for index, each in enumerate(inits) if each.get("restartPolicy") != "Always"]
    requests: list[Object] = []
    mapped: list[Mapped] = []
    for resource in sorted(resources):
        device_class = cluster.device_class_of(resource)
        if device_class is None:
            continue
        asked, more = _for_resource(containers, passing, resource, objects.name(device_class))
        requests += [each.as_object() for each in asked]
        mapped += more
    requests.sort(key=lambda request: str(request["name"]))
    return requests, [each.as_object() for each in mapped]


def _for_resource(
    containers: Sequence[Mapping[str, Any]], passing: Sequence[int], resource: str, class_name: str
) -> tuple[list[_Asked], list[Mapped]]:
    lasting: dict[int, _Asked] = {}
    mapped: list[Mapped] = []
    for index, container in enumerate(containers):
        amount = _amount(container, resource)
        if amount and index not in passing:
            lasting[index] = _Asked(name=_name(index, container, resource), class_name=class_name, count=amount)
            mapped.append(_mapped(container, resource, lasting[index].name))
    largest: _Asked | None = None
    uses: list[tuple[Mapping[str, Any], _Asked | None]] = []
    for index in passing:
        container = containers[index]
        missing = _amount(container, resource)
        for later in (lasting[place] for place in sorted(lasting) if place >= index):
            if missing <= 0:
                break
            uses.append((container, later))
            missing -= later.count
        if missing > 0:
            uses.append((container, None))
            if largest is None or largest.count < missing:
                largest = _Asked(name=_name(index, container, resource), class_name=class_name, count=missing)
    for container, asked in uses:
        request = asked or largest
        assert request is not None
        mapped.append(_mapped(container, resource, request.name))
    return [*([largest] if largest else []), *lasting.values()], mapped


def _mapped(container: Mapping[str, Any], resource: str, request: str) -> Mapped:
    return Mapped(container=str(container.get("name")), resource=resource, request=request)


def _requests(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return (container.get("resources") or {}).get("requests") or {}


def _amount(container: Mapping[str, Any], resource: str) -> int:
    return to_int(_requests(container).get(resource, 0))


def _name(index: int, container: Mapping[str, Any], resource: str) -> str:
    """By the container's place, and the resource's among the container's requests."""
    return f"container-{index}-request-{sorted(_requests(container)).index(resource)}"
