"""``--allow-privileged=false``: no pod may ask for the privileges of its machine. Source: upstream's pod validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.apiserver.config import APIServerConfig
from steersman.meta.errors import FieldError, forbidden
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    PODTEMPLATES,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
    Resource,
)
from steersman.schema.groups.core.podspec.security import containers_with_paths

_TEMPLATE = ("spec", "template", "spec")
_POD_SPECS: Mapping[Resource, Sequence[str]] = {
    PODS: ("spec",),
    PODTEMPLATES: ("template", "spec"),
    CRONJOBS: ("spec", "jobTemplate", *_TEMPLATE),
    **dict.fromkeys((DAEMONSETS, DEPLOYMENTS, JOBS, REPLICASETS, REPLICATIONCONTROLLERS, STATEFULSETS), _TEMPLATE),
}


def privilege_errors(config: APIServerConfig, resource: Resource, obj: Object) -> list[FieldError]:
    """What ``obj`` may not ask for, by the server's configuration."""
    path = None if config.allow_privileged else _POD_SPECS.get(resource)
    if path is None:
        return []
    spec: Any = obj
    for name in path:
        spec = (spec or {}).get(name)
    errors: list[FieldError] = []
    if not spec:
        return errors
    at = ".".join(path)
    of_pod = _is_host_process(spec)
    for container, where in containers_with_paths(spec, at):
        context = container.get("securityContext") or {}
        if context.get("privileged"):
            errors.append(forbidden(f"{where}.securityContext.privileged", "disallowed by cluster policy"))
        of_pod = of_pod or _is_host_process(container)
    if of_pod:
        errors.append(forbidden(at, "hostProcess containers are disallowed by cluster policy"))
    return errors


def _is_host_process(source: Mapping[str, Any]) -> bool:
    return bool(((source.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess"))
