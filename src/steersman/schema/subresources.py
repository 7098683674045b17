"""Subresources that several kinds have."""

from __future__ import annotations

from steersman.schema.kind import Subresource

STATUS = Subresource(name="status", verbs=("get", "patch", "update"))
SCALE = Subresource(name="scale", verbs=("get", "patch", "update"), kind="Scale", group="autoscaling", version="v1")


def proxy(options: str) -> Subresource:
    """HTTP through the API server; ``options`` is the kind of its query parameters."""
    return Subresource(name="proxy", verbs=("create", "delete", "get", "patch", "update"), kind=options)


def upgrade(name: str, options: str) -> Subresource:
    """A connection that becomes a stream (exec, attach, port-forward); ``options`` is the kind of its query parameters."""
    return Subresource(name=name, verbs=("create", "get"), kind=options)
