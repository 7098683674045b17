"""A container's environment: services, envFrom and env, with references expanded.

Later sources win: service variables, then ``envFrom`` in order, then ``env`` in order (upstream's order).
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from steersman.kubelet import downward
from steersman.kubelet.env_files import EnvFileError, read_variable
from steersman.kubelet.expansion import expand
from steersman.kubelet.object_source import ObjectSource
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, SECRETS, Resource

MASTER_SERVICES = frozenset({"kubernetes"})
log = logging.getLogger(__name__)

_NOT_VARIABLE = re.compile(r"[-.]")


class EnvironmentFailed(Exception):
    """The environment cannot be built; the message is what the user reads."""


class EnvironmentContext(Struct, frozen=True, kw_only=True):
    """What values come from besides the container's spec."""

    pod: Object
    source: ObjectSource
    services: Mapping[str, str]
    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, Any]
    volumes: Mapping[str, Path] | None = field(default_factory=dict)
    """Where the pod's volumes are, by name; None on a node without files, where nothing comes from them."""


async def environment(context: EnvironmentContext, container: Mapping[str, Any]) -> dict[str, str]:
    """The variables of ``container``. Raises ``EnvironmentFailed`` or ``APIError`` where one cannot be found."""
    own: dict[str, str] = {}
    for entry in container.get("envFrom") or ():
        own.update(await _from_source(context, entry))
    for variable in container.get("env") or ():
        name, text, origin = variable["name"], variable.get("value") or "", variable.get("valueFrom")
        if text or not origin:
            own[name] = expand(text, own, context.services)
            continue
        value = await _value(context, container, origin)
        if value is not None:
            own[name] = value
    return {**context.services, **own}


def service_variables(services: Iterable[Mapping[str, Any]], namespace: str, *, links: bool) -> dict[str, str]:
    """Docker-link style variables of the services of ``namespace`` (where ``links``) and of the API server's."""
    variables: dict[str, str] = {}
    chosen: dict[str, Mapping[str, Any]] = {}
    for service in services:
        address = (service.get("spec") or {}).get("clusterIP")
        if not address or address == "None":
            continue
        name, space = objects.name(service), objects.namespace(service)
        if space == "default" and name in MASTER_SERVICES:
            chosen.setdefault(name, service)
        elif space == namespace and links:
            chosen[name] = service
    for name in sorted(chosen):
        variables.update(_variables_of(chosen[name]))
    return variables


def _variables_of(service: Mapping[str, Any]) -> dict[str, str]:
    spec = service["spec"]
    address = str(spec["clusterIP"])
    host = f"[{address}]" if ":" in address else address
    prefix = _NOT_VARIABLE.sub("_", objects.name(service)).upper()
    variables = {f"{prefix}_SERVICE_HOST": address}
    ports = spec.get("ports") or []
    if ports:
        variables[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{_NOT_VARIABLE.sub('_', port['name']).upper()}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{host}:{port['port']}"
        stem = f"{prefix}_PORT_{port['port']}_{protocol}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        variables[stem] = url
        variables[f"{stem}_PROTO"] = protocol.lower()
        variables[f"{stem}_PORT"] = str(port["port"])
        variables[f"{stem}_ADDR"] = address
    return variables


async def _from_source(context: EnvironmentContext, entry: Mapping[str, Any]) -> dict[str, str]:
    prefix = entry.get("prefix") or ""
    for name, resource in (("configMapRef", CONFIGMAPS), ("secretRef", SECRETS)):
        reference = entry.get(name)
        if reference is not None:
            found = await _find(context, resource, reference)
            data = {} if found is None else text_data(resource, found)
            return {prefix + key: value for key, value in data.items()}
    raise EnvironmentFailed(f"unsupported envFrom source: {', '.join(sorted(set(entry) - {'prefix'})) or 'none'}")


async def _find(context: EnvironmentContext, resource: Resource, reference: Mapping[str, Any]) -> Object | None:
    try:
        return await context.source.get(resource, objects.namespace(context.pod), reference.get("name") or "")
    except NotFound:
        if reference.get("optional"):
            return None
        raise


def text_data(resource: Resource, obj: Mapping[str, Any]) -> dict[str, str]:
    """The data of a ConfigMap or Secret as text."""
    data: Mapping[str, str] = obj.get("data") or {}
    if resource is not SECRETS:
        return dict(data)
    return {key: base64.b64decode(value).decode("utf-8", "surrogateescape") for key, value in data.items()}


async def _value(context: EnvironmentContext, container: Mapping[str, Any], origin: Mapping[str, Any]) -> str | None:
    """The value, or None for an optional one that is absent."""
    if "fieldRef" in origin:
        path = origin["fieldRef"]["fieldPath"]
        if path in ("metadata.labels", "metadata.annotations"):
            raise EnvironmentFailed(f"unsupported fieldPath: {path}")
        try:
            return downward.field_value(context.pod, path, host_ips=context.host_ips, pod_ips=context.pod_ips)
        except downward.DownwardError as error:
            raise EnvironmentFailed(str(error)) from error
    if "resourceFieldRef" in origin:
        try:
            return downward.resource_value(
                context.pod, origin["resourceFieldRef"], container=container["name"], allocatable=context.allocatable
            )
        except downward.DownwardError as error:
            raise EnvironmentFailed(str(error)) from error
    if "fileKeyRef" in origin:
        return await _from_file(context, origin["fileKeyRef"])
    for name, resource in (("configMapKeyRef", CONFIGMAPS), ("secretKeyRef", SECRETS)):
        reference = origin.get(name)
        if reference is None:
            continue
        found = await _find(context, resource, reference)
        data = {} if found is None else text_data(resource, found)
        key = reference["key"]
        if key in data:
            return data[key]
        if reference.get("optional"):
            return None
        where = f"{objects.namespace(context.pod)}/{reference.get('name')}"
        raise EnvironmentFailed(f"couldn't find key {key} in {resource.kind} {where}")
    raise EnvironmentFailed(f"unsupported source of an environment variable: {', '.join(sorted(origin)) or 'none'}")


async def _from_file(context: EnvironmentContext, reference: Mapping[str, Any]) -> str | None:
    """As upstream, the user is told that a file is malformed but not what is in it, and an empty value is none."""
    volume, path, key = reference["volumeName"], reference["path"], reference["key"]
    if context.volumes is None:
        return None
    folder = context.volumes.get(volume)
    if folder is None:
        raise EnvironmentFailed(f'cannot find the volume "{volume}" referenced by FileKeyRef')
    try:
        value = await asyncio.to_thread(read_variable, folder, path, key)
    except EnvFileError as error:
        log.warning("environment of %s: %s", objects.key_of(context.pod), error)
        raise EnvironmentFailed("couldn't parse env file") from error
    if value:
        return value
    if reference.get("optional"):
        return None
    raise EnvironmentFailed(f'environment variable key "{key}" not found in file "{folder / path}"')
