"""What the rules of kinds cost: microseconds a write spends in defaulting, preparing and validating.

Budget (docs/architecture.md): a pod create stays below 150 µs.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

from steersman.schema.groups.apps import deployment
from steersman.schema.groups.core import node, pod, service
from steersman.schema.groups.discovery import endpointslice
from steersman.schema.kind import Kind

_ROUNDS = 2_000
_PROBE = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5}
_POD_SPEC: Mapping[str, Any] = {
    "serviceAccountName": "web",
    "containers": [
        {
            "name": name,
            "image": f"registry.example.com/{name}:1.2.3",
            "args": ["--verbose", "--port=8080"],
            "env": [
                {"name": "LEVEL", "value": "debug"},
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/config", "readOnly": True}],
            "readinessProbe": _PROBE,
            "securityContext": {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
        }
        for name in ("web", "sidecar")
    ],
    "volumes": [{"name": "config", "configMap": {"name": "web"}}],
    "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"app": "web"}},
                    },
                }
            ]
        }
    },
}
_METADATA = {"name": "web", "namespace": "default", "labels": {"app": "web"}}
_SAMPLES: Mapping[str, tuple[Kind, Mapping[str, Any]]] = {
    "pod": (pod.KIND, {"spec": _POD_SPEC}),
    "deployment": (
        deployment.KIND,
        {
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": _POD_SPEC},
            }
        },
    ),
    "service": (service.KIND, {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}),
    "endpointslice_100": (
        endpointslice.KIND,
        {
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [f"10.0.0.{index}"], "nodeName": f"n-{index}"} for index in range(1, 101)],
        },
    ),
    "node": (node.KIND, {"status": {"capacity": {"cpu": "8", "memory": "16Gi"}, "conditions": []}}),
}


def _object(kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(
        {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, "metadata": _METADATA, **body}
    )


def _microseconds(work: Callable[[dict[str, Any]], object], objects: list[dict[str, Any]]) -> float:
    started = time.perf_counter()
    for obj in objects:
        work(obj)
    return (time.perf_counter() - started) / len(objects) * 1e6


def run() -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, (kind, body) in _SAMPLES.items():
        objects = [_object(kind, body) for _ in range(_ROUNDS)]
        for step, work in (
            ("default", kind.default),
            ("prepare", kind.prepare_create),
            ("validate", kind.validate),
        ):
            numbers[f"{name}_{step}_us"] = _microseconds(work, objects)
        old = objects[0]
        updates = [{**old, "metadata": {**old["metadata"], "labels": {"app": "web", "v": "2"}}} for _ in range(_ROUNDS)]
        numbers[f"{name}_update_us"] = _microseconds(
            lambda new, old=old, kind=kind: kind.validate_update(new, old),  # type: ignore[misc]
            updates,
        )
    numbers["pod_create_us"] = sum(numbers[f"pod_{step}_us"] for step in ("default", "prepare", "validate"))
    return numbers


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:32} {value:10.1f}")
