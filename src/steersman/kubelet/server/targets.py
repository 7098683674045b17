"""What a request wants to reach on the node: a container that runs, a pod that has a sandbox; errors in upstream's words."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.kubelet.server_api import PodLookup
from steersman.meta.errors import BadRequest, InternalError, NotFound


async def running_container(pods: PodLookup, info: Mapping[str, str]) -> str:
    """Its id. ``info``: the path's namespace, pod, container and, where it has one, uid. Raises ``NotFound`` and
    ``InternalError``."""
    _require_pod(pods, info)
    name = info["container"]
    try:
        found = await pods.find_container(info["namespace"], info["pod"], name, uid=info.get("uid", ""))
    except (BadRequest, NotFound):
        found = None
    if found is None or found.state != "RUNNING":
        raise InternalError(f'container not found ("{name}")')
    return found.container_id


async def ready_sandbox(pods: PodLookup, info: Mapping[str, str]) -> str:
    """Its id. Raises as ``running_container``."""
    _require_pod(pods, info)
    namespace, name = info["namespace"], info["pod"]
    try:
        return await pods.find_sandbox(namespace, name, uid=info.get("uid", ""))
    except NotFound as error:
        raise InternalError(f'pod not found ("{name}_{namespace}")') from error


def _require_pod(pods: PodLookup, info: Mapping[str, str]) -> None:
    if pods.find_pod(info["namespace"], info["pod"], info.get("uid", "")) is None:
        raise NotFound("pod does not exist")
