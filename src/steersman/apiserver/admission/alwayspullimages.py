"""AlwaysPullImages: every image is pulled whenever a container starts, so that nobody runs a private image that happens to
be on the node already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, ValidatingPlugin
from steersman.apiserver.admission.errors import Unwrapped, aggregated, refused
from steersman.meta.errors import not_supported
from steersman.meta.objects import Object
from steersman.meta.resources import PODS

ALWAYS = "Always"
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages:
    NAME = "AlwaysPullImages"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (PODS,)

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        pod = request.obj
        if pod is None or not _concerns(request) or all(policy == ALWAYS for _, policy in _policies(pod)):
            return None
        spec = dict(pod["spec"])
        for field in _CONTAINERS:
            if spec.get(field):
                spec[field] = [{**container, "imagePullPolicy": ALWAYS} for container in spec[field]]
        if spec.get("volumes"):
            spec["volumes"] = [_pulled(volume) for volume in spec["volumes"]]
        return {**pod, "spec": spec}

    async def validate(self, request: AdmissionRequest) -> None:
        if not _concerns(request):
            return
        failures = [
            refused(request, str(not_supported(path, policy, [ALWAYS]))).message
            for path, policy in _policies(request.obj or {})
            if policy != ALWAYS
        ]
        if failures:
            raise Unwrapped(aggregated(failures))


def _concerns(request: AdmissionRequest) -> bool:
    """Pods that are new or name an image that they did not name before."""
    if request.kind.resource != PODS or request.subresource:
        return False
    if request.operation == "CREATE":
        return True
    return not _images(request.obj or {}) <= _images(request.old or {})


def _containers(pod: Object) -> Iterator[tuple[str, Any]]:
    spec = pod.get("spec") or {}
    for field in _CONTAINERS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", container


def _images(pod: Object) -> set[str]:
    return {container.get("image") or "" for _, container in _containers(pod)}


def _policies(pod: Object) -> Iterator[tuple[str, str]]:
    """Path and value of each pull policy."""
    for path, container in _containers(pod):
        yield f"{path}.imagePullPolicy", container.get("imagePullPolicy") or ""
    for index, volume in enumerate((pod.get("spec") or {}).get("volumes") or ()):
        if volume.get("image") is not None:
            yield f"spec.volumes[{index}].image.pullPolicy", volume["image"].get("pullPolicy") or ""


def _pulled(volume: Object) -> Object:
    return volume if volume.get("image") is None else {**volume, "image": {**volume["image"], "pullPolicy": ALWAYS}}


def _conforms() -> tuple[MutatingPlugin, ValidatingPlugin]:
    return AlwaysPullImages(), AlwaysPullImages()
