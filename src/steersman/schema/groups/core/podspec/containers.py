"""Containers of a pod: regular, init and ephemeral ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.meta import names
from steersman.meta.errors import duplicate, forbidden, invalid, not_found, not_supported, required
from steersman.schema.groups.core.podspec.environment import check_environment, check_environment_sources
from steersman.schema.groups.core.podspec.handlers import PROBES, check_lifecycle, check_probes
from steersman.schema.groups.core.podspec.resources import check_container_resources
from steersman.schema.groups.core.podspec.security import check_security_context
from steersman.schema.groups.core.podspec.volumes import Volumes, check_mounts
from steersman.schema.rules import Errors, check_choice, check_name, check_port, too_many

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RESTART_ACTIONS = ("Restart", "RestartAllContainers")
_MAX_RESTART_RULES = 20
_MAX_EXIT_CODES = 255
_EPHEMERAL_FIELDS = frozenset(
    {
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "envFrom",
        "env",
        "volumeMounts",
        "volumeDevices",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "targetContainerName",
    }
)
_EPHEMERAL_POINTERS = ("lifecycle", "restartPolicy")
"""Fields that are set even where they are empty."""


class PodContext(Struct, frozen=True, kw_only=True):
    """What the rules of containers need to know of their pod."""

    volumes: Volumes
    claims: set[str]
    restart_policy: str
    grace_s: int | None
    os_name: str | None
    host_users: bool


def check_containers(errors: Errors, spec: Mapping[str, Any], path: str, pod: PodContext) -> None:
    containers = spec.get("containers") or ()
    if not containers:
        errors.append(required(f"{path}.containers"))
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}.containers[{index}]"
        _check_common(errors, container, at, pod)
        name = container.get("name") or ""
        if name in seen:
            errors.append(duplicate(f"{at}.name", name))
        seen.add(name)
        if container.get("lifecycle") is not None:
            check_lifecycle(errors, container["lifecycle"], f"{at}.lifecycle", grace_s=pod.grace_s, os_name=pod.os_name)
        check_probes(errors, container, at)
        _check_restart_policy(errors, container, at)
    check_host_ports(errors, containers, f"{path}.containers")
    if spec.get("initContainers"):
        _check_init_containers(errors, spec["initContainers"], f"{path}.initContainers", seen, pod)
    if spec.get("ephemeralContainers"):
        _check_ephemeral_containers(errors, spec, f"{path}.ephemeralContainers", pod)


def _check_init_containers(
    errors: Errors, containers: Sequence[Mapping[str, Any]], path: str, others: Iterable[str], pod: PodContext
) -> None:
    seen = set(others)
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        _check_common(errors, container, at, pod)
        _check_restart_policy(errors, container, at, is_init=True)
        name = container.get("name") or ""
        if name in seen:
            errors.append(duplicate(f"{at}.name", name))
        elif name:
            seen.add(name)
        check_host_ports(errors, (container,), path)
        if container.get("restartPolicy") == "Always":
            if container.get("lifecycle") is not None:
                check_lifecycle(
                    errors, container["lifecycle"], f"{at}.lifecycle", grace_s=pod.grace_s, os_name=pod.os_name
                )
            check_probes(errors, container, at)
            continue
        errors.extend(
            forbidden(f"{at}.{field}", "may not be set for init containers without restartPolicy=Always")
            for field in ("lifecycle", *PROBES)
            if container.get(field) is not None
        )
        for number, policy in enumerate(container.get("resizePolicy") or ()):
            if policy.get("restartPolicy") == "RestartContainer":
                detail = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                errors.append(invalid(f"{at}.resizePolicy[{number}].restartPolicy", "RestartContainer", detail))


def _check_ephemeral_containers(errors: Errors, spec: Mapping[str, Any], path: str, pod: PodContext) -> None:
    others = {entry.get("name") for group in ("containers", "initContainers") for entry in spec.get(group) or ()}
    seen = set(others)
    for index, container in enumerate(spec["ephemeralContainers"]):
        at, name = f"{path}[{index}]", container.get("name") or ""
        _check_common(errors, container, at, pod)
        check_image(errors, container, at)
        if name in seen:
            errors.append(duplicate(f"{at}.name", name))
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            errors.append(not_found(f"{at}.targetContainerName", target))
        errors.extend(
            forbidden(f"{at}.{field}", "cannot be set for an Ephemeral Container")
            for field, value in container.items()
            if field not in _EPHEMERAL_FIELDS and (value or field in _EPHEMERAL_POINTERS)
        )
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            errors.extend(
                forbidden(f"{at}.volumeMounts[{number}].{field}", "cannot be set for an Ephemeral Container")
                for field in ("subPath", "subPathExpr")
                if mount.get(field)
            )


def _check_common(errors: Errors, container: Mapping[str, Any], path: str, pod: PodContext) -> None:
    name = container.get("name")
    if not name:
        errors.append(required(f"{path}.name"))
    else:
        check_name(errors, name, f"{path}.name", names.label_errors)
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    check_choice(
        errors, container.get("terminationMessagePolicy"), f"{path}.terminationMessagePolicy", MESSAGE_POLICIES
    )
    if container.get("ports"):
        _check_ports(errors, container["ports"], f"{path}.ports")
    if container.get("env"):
        check_environment(errors, container["env"], f"{path}.env")
    if container.get("envFrom"):
        check_environment_sources(errors, container["envFrom"], f"{path}.envFrom")
    if container.get("volumeMounts") or container.get("volumeDevices"):
        check_mounts(errors, container, path, pod.volumes)
    check_choice(errors, container.get("imagePullPolicy"), f"{path}.imagePullPolicy", PULL_POLICIES)
    check_container_resources(errors, container.get("resources"), f"{path}.resources", pod.claims)
    if container.get("resizePolicy"):
        _check_resize_policy(errors, container["resizePolicy"], f"{path}.resizePolicy", pod.restart_policy)
    check_security_context(
        errors, container.get("securityContext"), f"{path}.securityContext", host_users=pod.host_users
    )


def _check_ports(errors: Errors, ports: Sequence[Mapping[str, Any]], path: str) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"{path}[{index}]", port.get("name")
        if name:
            found = names.port_name_errors(name)
            errors.extend(invalid(f"{at}.name", name, text) for text in found)
            if not found and name in seen:
                errors.append(duplicate(f"{at}.name", name))
            seen.add(name)
        if not port.get("containerPort"):
            errors.append(required(f"{at}.containerPort"))
        else:
            check_port(errors, port["containerPort"], f"{at}.containerPort")
        if port.get("hostPort"):
            check_port(errors, port["hostPort"], f"{at}.hostPort")
        check_choice(errors, port.get("protocol"), f"{at}.protocol", PROTOCOLS)


def check_host_ports(errors: Errors, containers: Sequence[Mapping[str, Any]], path: str) -> None:
    """No port of the node is asked for twice."""
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in seen:
                errors.append(duplicate(f"{path}[{index}].ports[{number}].hostPort", key))
            seen.add(key)


def check_image(errors: Errors, container: Mapping[str, Any], path: str) -> None:
    image = container.get("image") or ""
    if image.strip() != image:
        errors.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))


def _check_resize_policy(
    errors: Errors, policies: Sequence[Mapping[str, Any]], path: str, pod_restart_policy: str
) -> None:
    seen: set[Any] = set()
    for index, policy in enumerate(policies):
        resource, restart = policy.get("resourceName"), policy.get("restartPolicy")
        if resource in seen:
            errors.append(duplicate(f"{path}[{index}]", resource))
        seen.add(resource)
        check_choice(errors, resource, path, ("cpu", "memory"))
        check_choice(errors, restart, path, ("NotRequired", "RestartContainer"))
        if pod_restart_policy == "Never" and restart != "NotRequired":
            detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            errors.append(invalid(path, restart, detail))


def _check_restart_policy(errors: Errors, container: Mapping[str, Any], path: str, *, is_init: bool = False) -> None:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    if policy is None:
        if rules:
            errors.append(required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))
            if is_init:
                return
    elif policy not in _RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES))
    if len(rules) > _MAX_RESTART_RULES:
        errors.append(too_many(f"{path}.restartPolicyRules", len(rules), _MAX_RESTART_RULES))
    for index, rule in enumerate(rules):
        at = f"{path}.restartPolicyRules[{index}]"
        if rule.get("action") not in _RESTART_ACTIONS:
            errors.append(not_supported(f"{at}.action", rule.get("action") or "", _RESTART_ACTIONS))
        codes = rule.get("exitCodes")
        if codes is None:
            errors.append(required(f"{at}.exitCodes", "must be specified"))
            continue
        if codes.get("operator") not in ("In", "NotIn"):
            errors.append(not_supported(f"{at}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn")))
        if len(codes.get("values") or ()) > _MAX_EXIT_CODES:
            errors.append(too_many(f"{at}.exitCodes.values", len(codes["values"]), _MAX_EXIT_CODES))
