"""What goes into the files of configMap, secret, downwardAPI and projected volumes."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from steersman.client.transport import Unreachable
from steersman.kubelet import downward
from steersman.kubelet.volumes.api import VolumeContext, VolumeError
from steersman.kubelet.volumes.atomic_files import File
from steersman.meta.errors import APIError, NotFound
from steersman.meta.resources import CONFIGMAPS, SECRETS, Resource

DEFAULT_MODE = 0o644


async def config_map_files(context: VolumeContext, source: Mapping[str, Any], name: str, mode: int) -> dict[str, File]:
    """The keys of a ConfigMap, text and binary, or those that ``items`` lists."""
    found = await _find(context, CONFIGMAPS, name, source)
    data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    data.update({key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()})
    return _select(data, source, mode, "configmap references non-existent config key: {}")


async def secret_files(context: VolumeContext, source: Mapping[str, Any], name: str, mode: int) -> dict[str, File]:
    found = await _find(context, SECRETS, name, source)
    data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return _select(data, source, mode, "references non-existent secret key: {}")


async def _find(context: VolumeContext, resource: Resource, name: str, source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object, or an empty one where it is optional and absent."""
    try:
        return await context.source.get(resource, context.namespace, name)
    except NotFound:
        if source.get("optional"):
            return {}
        raise


def _select(data: Mapping[str, bytes], source: Mapping[str, Any], mode: int, complaint: str) -> dict[str, File]:
    items = source.get("items")
    if not items:
        return {key: File(data=value, mode=mode) for key, value in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = File(data=data[item["key"]], mode=item.get("mode", mode))
        elif not source.get("optional"):
            raise VolumeError(complaint.format(item["key"]))
    return files


def downward_files(context: VolumeContext, source: Mapping[str, Any], mode: int) -> dict[str, File]:
    """The pod's own fields and resources."""
    files = {}
    for item in source.get("items") or ():
        try:
            if "fieldRef" in item:
                text = downward.field_value(
                    context.pod, item["fieldRef"]["fieldPath"], host_ips=context.host_ips, pod_ips=context.pod_ips
                )
            else:
                text = downward.resource_value(
                    context.pod, item["resourceFieldRef"], container="", allocatable=context.allocatable
                )
        except downward.DownwardError as error:
            raise VolumeError(str(error)) from error
        files[item["path"]] = File(data=text.encode(), mode=item.get("mode", mode))
    return files


async def token_files(context: VolumeContext, source: Mapping[str, Any], mode: int) -> dict[str, File]:
    """A service account token, readable by whoever runs in the pod and, where that is one user, by nobody else."""
    try:
        token = await context.tokens.token(
            context.pod,
            audience=source.get("audience") or "",
            expiration_s=int(source.get("expirationSeconds") or 3600),
        )
    except (APIError, Unreachable) as error:
        raise VolumeError(f"failed to fetch token: {error}") from error
    user = _only_user(context.pod)
    if context.fs_group is not None or user is not None:
        mode = 0o600
    return {source["path"]: File(data=token.encode(), mode=mode, uid=user)}


def _only_user(pod: Mapping[str, Any]) -> int | None:
    """The user that every container runs as, where the spec says so."""
    shared = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users = {
        (container.get("securityContext") or {}).get("runAsUser", shared)
        for field in ("initContainers", "containers", "ephemeralContainers")
        for container in pod["spec"].get(field) or ()
    }
    user = users.pop() if len(users) == 1 else None
    return None if user is None else int(user)
