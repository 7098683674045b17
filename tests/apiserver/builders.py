"""Small objects for tests of the API server."""

from __future__ import annotations

from typing import Any

from steersman.meta.objects import Object


def config_map(name: str = "a", namespace: str = "default", **metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": {"key": "value"},
    }


def pod(name: str = "a", namespace: str = "default", node: str = "", **metadata: Any) -> Object:
    spec: Object = {"containers": [{"name": "main", "image": "image"}]}
    if node:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": spec,
    }


def deployment(name: str = "a", namespace: str = "default", replicas: int = 1, **metadata: Any) -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "image"}]},
            },
        },
    }
