"""Small builders of the objects that the controllers' tests are about."""

from __future__ import annotations

from typing import Any

from steersman.meta.objects import Object
from steersman.meta.resources import Resource


def template(labels: dict[str, str] | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"labels": {"app": "web"} if labels is None else labels},
        "spec": {"containers": [{"name": "main", "image": "example/web:1"}], **spec},
    }


def workload(resource: Resource, name: str = "web", *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A ReplicaSet, Deployment, … with a selector that fits its template."""
    made = template(labels)
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": made["metadata"]["labels"]}, "template": made, **spec},
    }


def pod(name: str = "web-1", *, labels: dict[str, str] | None = None, **fields: Any) -> Object:
    made = template(labels)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": made["metadata"]["labels"],
            **fields.pop("metadata", {}),
        },
        "spec": {**made["spec"], **fields.pop("spec", {})},
        **fields,
    }
