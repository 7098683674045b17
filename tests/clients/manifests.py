"""Small manifests for the tests of this directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

IMAGE = "registry.example/app"

OPERATOR = Path(__file__).parents[2] / "examples/operator"
WEBSITES: Manifest = yaml.safe_load((OPERATOR / "crd.yaml").read_text())
"""The definition of the custom resource that ``website`` makes objects of."""


def container(**more: Any) -> Manifest:
    return {"name": "main", "image": f"{IMAGE}:1", **more}


def deployment(name: str = "web", replicas: int = 2, **container_fields: Any) -> Manifest:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container(**container_fields)]}},
        },
    }


def service(name: str = "web", port: int = 80) -> Manifest:
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def config_map(name: str = "settings", **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"key": "value"}}


def pod(name: str = "one", **spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container()], **spec},
    }


def together(*items: Manifest) -> Manifest:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def website(name: str = "site", **spec: Any) -> Manifest:
    spec = {"host": f"{name}.example", "html": "<p>hello", **spec}
    return {"apiVersion": "example.com/v1", "kind": "Website", "metadata": {"name": name}, "spec": spec}
