"""Small custom resource definitions and objects of theirs."""

from __future__ import annotations

from typing import Any

from steersman.meta.objects import Object
from steersman.meta.resources import Resource

WIDGETS = Resource(group="example.com", version="v1", plural="widgets", kind="Widget", namespaced=True)
WIDGETS_V2 = Resource(group="example.com", version="v2", plural="widgets", kind="Widget", namespaced=True)

SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "color": {"type": "string", "default": "green", "enum": ["green", "red"]},
                "replicas": {"type": "integer"},
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer"},
                "selector": {"type": "string"},
                "phase": {"type": "string"},
            },
        },
    },
}


def version(name: str = "v1", *, storage: bool = True, schema: Object | None = None, **more: Any) -> Object:
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema or SCHEMA},
        **more,
    }


def definition(
    *versions: Object, scope: str = "Namespaced", plural: str = "widgets", kind: str = "Widget", **names: Any
) -> Object:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": scope,
            "names": {"plural": plural, "kind": kind, **names},
            "versions": list(versions) or [version()],
        },
    }


def widget(name: str = "a", api_version: str = "example.com/v1", **more: Any) -> Object:
    return {
        "apiVersion": api_version,
        "kind": "Widget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"size": 3},
        **more,
    }
