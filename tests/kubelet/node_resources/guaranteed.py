"""Pods that get something of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.kubelet.node_resources.numa_hints import NOWHERE, Hint, mask_of
from steersman.kubelet.node_resources.provider import Provider
from steersman.kubelet.podspec import app_containers, init_containers
from steersman.meta.objects import Object

CPU_AND_MEMORY = {"cpu": "1", "memory": "1Gi"}


def container(name: str = "main", *, sidecar: bool = False, **amounts: str) -> Object:
    """``amounts``: by resource, with ``_`` for ``-``; limits are as requests."""
    wanted = {key.replace("_", "-"): value for key, value in {**CPU_AND_MEMORY, **amounts}.items()}
    found: Object = {"name": name, "image": "i", "resources": {"requests": wanted, "limits": wanted}}
    return {**found, "restartPolicy": "Always"} if sidecar else found


def pod(*containers: Object, name: str = "web", init: tuple[Object, ...] = (), **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": list(containers) or [container()], "initContainers": list(init), **spec},
        "status": {},
    }


class ActivePods:
    """Those that run; None: not all are known yet."""

    def __init__(self) -> None:
        self.known: dict[str, Object] | None = {}

    def __call__(self) -> Mapping[str, Object] | None:
        return self.known

    def add(self, obj: Object) -> Object:
        assert self.known is not None
        self.known[obj["metadata"]["uid"]] = obj
        return obj

    def end(self, name: str) -> None:
        assert self.known is not None
        del self.known[name]


def near(*nodes: int, preferred: bool = True) -> Hint:
    return Hint(nodes=mask_of(nodes), preferred=preferred)


async def serve(provider: Provider, active: ActivePods, obj: Object, affinity: Hint = NOWHERE) -> Object:
    """Start it."""
    active.add(obj)
    for each in (*init_containers(obj), *app_containers(obj)):
        await provider.allocate(obj, each, affinity)
    return obj
