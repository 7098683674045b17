"""Random devices and claims for them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from steersman.meta.objects import Object

GPU, NIC = "gpu.example.com", "nic.example.com"
MODELS = ("a100", "h100", "t4")
SHARED_MEMORY = "memory"


def classes() -> list[Object]:
    def device_class(name: str, expression: str, **more: object) -> Object:
        return {"metadata": {"name": name}, "spec": {"selectors": [{"cel": {"expression": expression}}], **more}}

    return [
        device_class("gpu", f'device.driver == "{GPU}"', extendedResourceName="example.com/card"),
        device_class("nic", f'device.driver == "{NIC}"'),
        device_class("big", f'device.capacity["{GPU}"].memory.compareTo(quantity("30Gi")) >= 0'),
    ]


def slices(rng: random.Random, tag: str, nodes: Sequence[Object]) -> list[Object]:
    found = []
    for node in nodes:
        name = node["metadata"]["name"]
        kind = rng.random()
        if kind < 0.45:
            found.append(_slice(f"gpu-{name}", GPU, name, [_gpu(rng, number) for number in range(rng.randint(1, 4))]))
        elif kind < 0.65:
            found += _partitionable(rng, name)
        if rng.random() < 0.4:
            found.append(_slice(f"nic-{name}", NIC, name, [_nic(rng, number) for number in range(rng.randint(1, 2))]))
    network = [{"name": f"net-{number}", "attributes": {"numa": {"int": number % 2}}} for number in range(3)]
    where = rng.choice([{"allNodes": True}, _zone_selector()])
    found.append(_slice(f"net-{tag}", NIC, f"net-{tag}", network, where))
    return found


def claims(rng: random.Random, tag: str, count: int) -> list[Object]:
    return [_claim(rng, f"d{number}-{tag}") for number in range(count)]


def _slice(
    name: str, driver: str, pool: str, devices: Sequence[Object], where: Object | None = None, count: int = 1
) -> Object:
    return {
        "metadata": {"name": name},
        "spec": {
            "driver": driver,
            "pool": {"name": pool, "generation": 1, "resourceSliceCount": count},
            "devices": [*devices],
            **(where or {"nodeName": pool}),
        },
    }


def _zone_selector() -> Object:
    expression = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z1"]}
    return {"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def _gpu(rng: random.Random, number: int) -> Object:
    device: Object = {
        "name": f"gpu-{number}",
        "attributes": {
            "model": {"string": rng.choice(MODELS)},
            "numa": {"int": rng.randint(0, 1)},
            "driverVersion": {"version": rng.choice(["1.2.3", "2.0.0"])},
            "healthy": {"bool": rng.random() < 0.8},
        },
        "capacity": {"memory": {"value": rng.choice(["16Gi", "40Gi", "80Gi"])}},
    }
    if rng.random() < 0.15:
        device["taints"] = [{"key": "worn", "value": "yes", "effect": rng.choice(["NoSchedule", "NoExecute", "None"])}]
    return device


def _nic(rng: random.Random, number: int) -> Object:
    """Shared by several claims, each with its part of the bandwidth."""
    policy: Object = rng.choice(
        [
            {"default": "1G", "validValues": ["1G", "5G", "10G"]},
            {"default": "1G", "validRange": {"min": "1G", "step": "1G", "max": "10G"}},
        ]
    )
    return {
        "name": f"nic-{number}",
        "allowMultipleAllocations": True,
        "attributes": {"numa": {"int": rng.randint(0, 1)}},
        "capacity": {"bandwidth": {"value": rng.choice(["10G", "20G"]), "requestPolicy": policy}},
    }


def _partitionable(rng: random.Random, node_name: str) -> list[Object]:
    """One card that is given out whole or in parts: all take from the same memory."""
    counters = _slice(f"counters-{node_name}", GPU, node_name, [], count=2)
    counters["spec"]["sharedCounters"] = [{"name": "card", "counters": {SHARED_MEMORY: {"value": "80Gi"}}}]
    del counters["spec"]["devices"]
    parts = []
    for number, size in enumerate(rng.choice([["80Gi", "40Gi", "40Gi"], ["40Gi", "20Gi", "20Gi", "80Gi"]])):
        parts.append(
            {
                "name": f"part-{number}",
                "attributes": {"model": {"string": rng.choice(MODELS)}, "numa": {"int": 0}},
                "capacity": {"memory": {"value": size}},
                "consumesCounters": [{"counterSet": "card", "counters": {SHARED_MEMORY: {"value": size}}}],
            }
        )
    return [counters, _slice(f"parts-{node_name}", GPU, node_name, parts, count=2)]


def _claim(rng: random.Random, name: str) -> Object:
    requests = [_request(rng, f"r{number}") for number in range(rng.choice([1, 1, 2]))]
    devices: Object = {"requests": requests}
    if rng.random() < 0.3:
        kind = rng.choice(["matchAttribute", "matchAttribute", "distinctAttribute"])
        attribute = rng.choice([f"{GPU}/numa", f"{NIC}/numa", f"{GPU}/model"])
        constraint: Object = {kind: attribute}
        if rng.random() < 0.4:
            constraint["requests"] = [rng.choice(requests)["name"]]
        devices["constraints"] = [constraint]
    if rng.random() < 0.2:
        parameters = {"driver": GPU, "parameters": {"mode": "fast"}}
        devices["config"] = [{"requests": [requests[0]["name"]], "opaque": parameters}]
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"devices": devices}}


def _request(rng: random.Random, name: str) -> Object:
    if rng.random() < 0.2:
        return {"name": name, "firstAvailable": [_wanted(rng) | {"name": f"s{number}"} for number in range(2)]}
    return {"name": name, "exactly": _wanted(rng)}


def _wanted(rng: random.Random) -> Object:
    wanted: Object = {
        "deviceClassName": rng.choice(["gpu", "gpu", "nic", "big", "missing" if rng.random() < 0.1 else "gpu"])
    }
    if rng.random() < 0.15:
        wanted["allocationMode"] = "All"
    else:
        wanted |= {"allocationMode": "ExactCount", "count": rng.choice([1, 1, 1, 2])}
    if rng.random() < 0.4:
        wanted["selectors"] = [{"cel": {"expression": rng.choice(_EXPRESSIONS)}}]
    if rng.random() < 0.2:
        wanted["tolerations"] = [{"key": "worn", "operator": "Exists"}]
    if wanted["deviceClassName"] == "nic" and rng.random() < 0.5:
        wanted["capacity"] = {"requests": {"bandwidth": rng.choice(["2G", "5G", "8G"])}}
    elif rng.random() < 0.1:
        wanted["capacity"] = {"requests": {"memory": rng.choice(["20Gi", "60Gi"])}}
    return wanted


_EXPRESSIONS = (
    f'device.attributes["{GPU}"].model in ["a100", "t4"]',
    f'device.attributes["{GPU}"].numa == 1',
    f'device.attributes["{GPU}"].driverVersion.isGreaterThan(semver("1.5.0"))',
    f'has(device.attributes["{GPU}"].healthy) && device.attributes["{GPU}"].healthy',
    f'device.capacity["{GPU}"].memory.isGreaterThan(quantity("20Gi"))',
    f'"memory" in device.capacity["{GPU}"]',
    "device.allowMultipleAllocations == true",
)
