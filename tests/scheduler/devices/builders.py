"""Small slices, classes and claims for tests of devices."""

from __future__ import annotations

from typing import Any

from steersman.meta.objects import Object
from steersman.meta.resources import DEVICECLASSES, RESOURCECLAIMS, RESOURCESLICES
from steersman.scheduler.cluster import Cluster

DRIVER = "gpu.example.com"


def device(name: str, *, attributes: Object | None = None, capacity: Object | None = None, **more: Any) -> Object:
    """Attributes by name with plain values; capacities as quantities."""
    kinds: dict[type, str] = {bool: "bool", int: "int", str: "string"}
    made: Object = {"name": name, **more}
    if attributes:
        made["attributes"] = {
            key: value if isinstance(value, dict) else {kinds[type(value)]: value} for key, value in attributes.items()
        }
    if capacity:
        made["capacity"] = {
            key: value if isinstance(value, dict) else {"value": value} for key, value in capacity.items()
        }
    return made


def resource_slice(
    name: str = "s", *devices: Object, node: str = "", pool: str = "", generation: int = 1, count: int = 1, **spec: Any
) -> Object:
    """For one node where ``node`` is given, for all where ``spec`` says nothing else."""
    where: Object = {"nodeName": node} if node else {}
    if not where and not {"nodeSelector", "perDeviceNodeSelection", "sharedCounters"} & set(spec):
        where = {"allNodes": True}
    return {
        "metadata": {"name": name},
        "spec": {
            "driver": DRIVER,
            "pool": {"name": pool or node or "pool", "generation": generation, "resourceSliceCount": count},
            "devices": [*devices],
            **where,
            **spec,
        },
    }


def device_class(name: str = "gpu", *expressions: str, **spec: Any) -> Object:
    selectors = [{"cel": {"expression": expression}} for expression in expressions]
    return {"metadata": {"name": name}, "spec": {"selectors": selectors, **spec}}


def request(name: str = "r", *expressions: str, count: int = 1, class_name: str = "gpu", **more: Any) -> Object:
    return {"name": name, "exactly": wanted(*expressions, count=count, class_name=class_name, **more)}


def wanted(*expressions: str, count: int = 1, class_name: str = "gpu", **more: Any) -> Object:
    """What ``exactly`` and the alternatives of ``firstAvailable`` say."""
    selectors = [{"cel": {"expression": expression}} for expression in expressions]
    return {
        "deviceClassName": class_name,
        "allocationMode": "ExactCount",
        "count": count,
        "selectors": selectors,
        **more,
    }


def claim(name: str = "c", *requests: Object, status: Object | None = None, owner: Object | None = None,
          constraints: list[Object] | None = None, config: list[Object] | None = None) -> Object:  # fmt: skip
    devices: Object = {"requests": [*(requests or (request(),))]}
    if constraints:
        devices["constraints"] = constraints
    if config:
        devices["config"] = config
    metadata: Object = {"name": name, "namespace": "default", "uid": f"claim-{name}", "resourceVersion": "1"}
    if owner is not None:
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
        }
        metadata["ownerReferences"] = [{**reference, "controller": True}]
    return {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata,
        "spec": {"devices": devices}, "status": status or {},
    }  # fmt: skip


def allocated(name: str, *devices: tuple[str, str], node: str = "", users: tuple[str, ...] = ()) -> Object:
    """A claim that has (pool, device)s, and the uids of pods that use it."""
    results = [{"request": "r", "driver": DRIVER, "pool": pool, "device": each} for pool, each in devices]
    allocation: Object = {"devices": {"results": results}}
    if node:
        only = {"key": "metadata.name", "operator": "In", "values": [node]}
        allocation["nodeSelector"] = {"nodeSelectorTerms": [{"matchFields": [only]}]}
    reserved = [{"resource": "pods", "name": uid, "uid": uid} for uid in users]
    return claim(name, status={"allocation": allocation, "reservedFor": reserved})


_RESOURCES = {"slice": RESOURCESLICES, "class": DEVICECLASSES, "claim": RESOURCECLAIMS}


def with_devices(cluster: Cluster, *slices: Object, classes: tuple[Object, ...] = (), claims: tuple[Object, ...] = ()) -> Cluster:  # fmt: skip
    for obj in slices:
        cluster.put(RESOURCESLICES, obj)
    for obj in classes or (device_class(),):
        cluster.put(DEVICECLASSES, obj)
    for obj in claims:
        cluster.put(RESOURCECLAIMS, obj)
    return cluster
