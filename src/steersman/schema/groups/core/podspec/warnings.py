"""What is accepted in a pod and still worth a warning: fields that do nothing any more, definitions that hide each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.names import label_errors
from steersman.meta.objects import Object
from steersman.meta.quantities import parse_quantity
from steersman.schema.groups.core.podspec import remembered
from steersman.schema.groups.core.podspec.security import containers_with_paths

_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_PATH_NAMES = {"storageos": "storageOS"}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "seccomp.security.alpha.kubernetes.io/pod": 'non-functional in v1.27+; use the "seccompProfile" field instead',
}
NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_BYTES = ("memory", "ephemeral-storage")


def pod_warnings(obj: Object) -> list[str]:
    found = []
    name = (obj.get("metadata") or {}).get("name") or ""
    wrong = label_errors(name)
    if wrong:
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
            f"recommended: [{' '.join(wrong)}]"
        )
    if name and _ANNOTATIONS.keys().isdisjoint(obj["metadata"].get("annotations") or ()):
        facts = remembered.PODS.facts_again(obj.get("spec") or {})
        if facts is not None and facts.has_no_warnings:
            return found
        of_spec = template_warnings(obj, "")
        if facts is not None:
            facts.has_no_warnings = not of_spec
        return found + of_spec
    return found + template_warnings(obj, "")


def workload_warnings(obj: Object) -> list[str]:
    """Of anything with a pod template at ``spec.template`` or in its job template; names that become host names."""
    found = []
    kind, name = obj.get("kind"), (obj.get("metadata") or {}).get("name") or ""
    wrong = label_errors(name)
    if wrong and kind in ("Deployment", "ReplicaSet", "ReplicationController", "Job", "CronJob"):
        found.append(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
            f"recommended: [{' '.join(wrong)}]"
        )
    spec, path = obj.get("spec") or {}, "spec.template"
    if kind == "CronJob":
        spec, path = (spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec.template"
    return found + template_warnings(spec.get("template") or {}, path)


def template_warnings(template: Mapping[str, Any], path: str) -> list[str]:
    """``path``: empty for a pod."""
    at = f"{path}." if path else ""
    spec = template.get("spec") or {}
    found = _placement_warnings(spec, f"{at}spec")
    notes = (template.get("metadata") or {}).get("annotations") or {}
    found += [f"{at}metadata.annotations[{key}]: {text}" for key, text in _ANNOTATIONS.items() if key in notes]
    for index, volume in enumerate(spec.get("volumes") or ()):
        found += [
            f"{at}spec.volumes[{index}].{_PATH_NAMES.get(name, name)}: {_VOLUMES[name]}"
            for name in volume
            if name in _VOLUMES
        ]
    found += _duplicates(spec.get("hostAliases"), f"{at}spec.hostAliases", "ip")
    secrets = spec.get("imagePullSecrets") or ()
    found += _duplicates(secrets, f"{at}spec.imagePullSecrets", "name")
    found += [
        f'{at}spec.imagePullSecrets[{index}].name: invalid empty name ""'
        for index, secret in enumerate(secrets)
        if not secret.get("name")
    ]
    found += _fractions(spec.get("overhead"), f"{at}spec.overhead")
    seen_ports: dict[tuple[Any, Any], list[tuple[str, Mapping[str, Any]]]] = {}
    for container, where in containers_with_paths(spec, f"{at}spec"):
        for part in ("limits", "requests"):
            found += _fractions((container.get("resources") or {}).get(part), f"{where}.resources.{part}")
        found += _hidden_variables(container, where)
        if container.get("ports"):
            found += _port_warnings(container["ports"], where, seen_ports)
    grace_s = spec.get("terminationGracePeriodSeconds")
    if grace_s is not None and grace_s < 0:
        found.append(
            f"{at}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        )
    return found


def _placement_warnings(spec: Mapping[str, Any], path: str) -> list[str]:
    found = [
        f"{path}.nodeSelector[{key}]: {NODE_LABELS[key]}"
        for key in spec.get("nodeSelector") or ()
        if key in NODE_LABELS
    ]
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey")
        if key in NODE_LABELS:
            found.append(f"{at}.topologyKey: {key} is {NODE_LABELS[key]}")
        if constraint.get("labelSelector") is None:
            found.append(f"{at}.labelSelector: a null labelSelector results in matching no pod")
    return found


def _duplicates(entries: Any, path: str, field: str) -> list[str]:
    found, seen = [], set()
    for index, entry in enumerate(entries or ()):
        value = entry.get(field)
        if value in seen:
            found.append(f'{path}[{index}].{field}: duplicate {field} "{value}"')
        seen.add(value)
    return found


def _fractions(amounts: Mapping[str, Any] | None, path: str) -> list[str]:
    found = []
    for name in _BYTES if amounts else ():
        amount = (amounts or {}).get(name)
        if isinstance(amount, str) and amount.endswith(("m", "u", "n")) and parse_quantity(amount).denominator != 1:
            found.append(f'{path}[{name}]: fractional byte value "{amount}" is invalid, must be an integer')
    return found


def _hidden_variables(container: Mapping[str, Any], path: str) -> list[str]:
    variables = container.get("env") or ()
    found, seen = [], set()
    for index, variable in enumerate(variables if len(variables) > 1 else ()):
        name, value = variable.get("name"), variable.get("value") or ""
        reference = f"$({name})"
        if name in seen and (variable.get("valueFrom") or value == reference or reference not in value):
            found.append(
                f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
            )
        seen.add(name)
    return found


def _port_warnings(
    ports: Any, path: str, seen: dict[tuple[Any, Any], list[tuple[str, Mapping[str, Any]]]]
) -> list[str]:
    found = []
    for index, port in enumerate(ports):
        at = f"{path}.ports[{index}]"
        others = seen.setdefault((port.get("containerPort"), port.get("protocol")), [])
        for where, other in others:
            host, other_host = port.get("hostPort") or 0, other.get("hostPort") or 0
            address, other_address = port.get("hostIP") or "", other.get("hostIP") or ""
            if (host, address) == (other_host, other_address):
                found.append(f"{at}: duplicate port definition with {where}")
            elif not host or not other_host:
                found.append(f"{at}: overlapping port definition with {where}")
            elif host == other_host and bool(address) != bool(other_address):
                found.append(f"{at}: dangerously ambiguous port definition with {where}")
        others.append((at, port))
    return found
