"""What is accepted in a pod and still worth a warning: fields that do nothing any more, definitions that hide each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.addresses import ip_warnings
from steersman.meta.names import label_errors
from steersman.meta.objects import Object
from steersman.meta.quantities import parse_quantity
from steersman.schema.groups.core.nodelabels import NODE_LABELS, node_selector_term_warnings
from steersman.schema.groups.core.podspec import remembered
from steersman.schema.groups.core.podspec.portwarnings import port_warnings
from steersman.schema.groups.core.podspec.preparation import noted_profile
from steersman.schema.groups.core.podspec.security import containers_with_paths
from steersman.schema.groups.core.podspec.volumepaths import volume_path_warnings

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
}
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APPARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
_OLD_PREFIXES = (*_ANNOTATIONS, _SECCOMP_POD, _SECCOMP_CONTAINER, _APPARMOR_CONTAINER)
_BYTES = ("memory", "ephemeral-storage")
_MANY_COMPLETIONS, _MUCH_PARALLELISM = 100_000, 10_000


def pod_warnings(obj: Object) -> list[str]:
    found = []
    name = (obj.get("metadata") or {}).get("name") or ""
    wrong = label_errors(name)
    if wrong:
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
            f"recommended: [{' '.join(wrong)}]"
        )
    notes = obj["metadata"].get("annotations") if name else None
    if name and not (notes and any(key.startswith(_OLD_PREFIXES) for key in notes)):
        facts = remembered.PODS.facts_again(obj.get("spec") or {})
        if facts is not None and facts.has_no_warnings:
            return found
        of_spec = template_warnings(obj, "")
        if facts is not None:
            facts.has_no_warnings = not of_spec
        return found + of_spec
    return found + template_warnings(obj, "")


def no_warnings(new: Object, old: Object) -> list[str]:
    """Of updates of pods: nobody writes them by hand, and controllers do it often."""
    return []


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
    return found + _workload_template_warnings(obj)


def workload_update_warnings(new: Object, old: Object) -> list[str]:
    """A name cannot be helped any more, and what has not changed has been told."""
    if new["metadata"].get("generation") == old["metadata"].get("generation"):
        return []
    return _workload_template_warnings(new)


def _workload_template_warnings(obj: Object) -> list[str]:
    kind, spec, path = obj.get("kind"), obj.get("spec") or {}, "spec"
    if kind == "CronJob":
        spec, path = (spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec"
    found = _indexes_warnings(spec, path) if kind in ("Job", "CronJob") else []
    return found + template_warnings(spec.get("template") or {}, f"{path}.template")


def _indexes_warnings(spec: Mapping[str, Any], path: str) -> list[str]:
    if spec.get("completionMode") != "Indexed":
        return []
    if (spec.get("completions") or 0) <= _MANY_COMPLETIONS or (spec.get("parallelism") or 0) <= _MUCH_PARALLELISM:
        return []
    return [
        f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
        "might not be able to track completedIndexes when a big number of indexes fail"
    ]


def template_warnings(template: Mapping[str, Any], path: str) -> list[str]:
    """``path``: empty for a pod."""
    at = f"{path}." if path else ""
    spec = template.get("spec") or {}
    notes = (template.get("metadata") or {}).get("annotations") or {}
    found = _placement_warnings(spec, f"{at}spec")
    found += [f"{at}metadata.annotations[{key}]: {text}" for key, text in _ANNOTATIONS.items() if key in notes]
    found += _volume_warnings(spec.get("volumes") or (), f"{at}spec.volumes")
    found += _duplicates(spec.get("hostAliases"), f"{at}spec.hostAliases", "ip")
    secrets = spec.get("imagePullSecrets") or ()
    found += _duplicates(secrets, f"{at}spec.imagePullSecrets", "name")
    found += [
        f'{at}spec.imagePullSecrets[{index}].name: invalid empty name ""'
        for index, secret in enumerate(secrets)
        if not secret.get("name")
    ]
    found += fraction_warnings(spec.get("overhead"), f"{at}spec.overhead")
    security = spec.get("securityContext") or {}
    if _SECCOMP_POD in notes and security.get("seccompProfile") is None:
        found.append(f"{at}metadata.annotations[{_SECCOMP_POD}]: {_SECCOMP}")
    containers = list(containers_with_paths(spec, f"{at}spec"))
    for container, where in containers:
        if notes:
            found += _profile_warnings(container, notes, security.get("appArmorProfile"), at)
        for part in ("limits", "requests"):
            found += fraction_warnings((container.get("resources") or {}).get(part), f"{where}.resources.{part}")
        found += _hidden_variables(container, where)
    found += port_warnings(containers)
    grace_s = spec.get("terminationGracePeriodSeconds")
    if grace_s is not None and grace_s < 0:
        found.append(
            f"{at}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        )
    found += _affinity_warnings(spec.get("affinity") or {}, f"{at}spec.affinity")
    for index, address in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        found += ip_warnings(f"{at}spec.dnsConfig.nameservers[{index}]", address)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        found += ip_warnings(f"{at}spec.hostAliases[{index}].ip", alias.get("ip") or "")
    return found


def _volume_warnings(volumes: Sequence[Mapping[str, Any]], path: str) -> list[str]:
    found = []
    for index, volume in enumerate(volumes):
        at = f"{path}[{index}]"
        found += [f"{at}.{_PATH_NAMES.get(name, name)}: {_VOLUMES[name]}" for name in volume if name in _VOLUMES]
        claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if claim is not None:
            found += claim_warnings(claim.get("spec") or {}, f"{at}.ephemeral.volumeClaimTemplate.spec")
    return found + volume_path_warnings(volumes)


def claim_warnings(spec: Mapping[str, Any], path: str) -> list[str]:
    """Of the specification of a PersistentVolumeClaim."""
    found = []
    for part in ("requests", "limits"):
        amounts = (spec.get("resources") or {}).get(part)
        found += fraction_warnings(amounts, f"{path}.resources.{part}", ("storage",))
    return found


def _profile_warnings(container: Mapping[str, Any], notes: Mapping[str, str], of_pod: Any, at: str) -> list[str]:
    """Profiles in annotations that nothing has in fields. A pod's of AppArmor have
    become fields by now."""
    security, name = container.get("securityContext") or {}, container.get("name") or ""
    found = []
    if f"{_SECCOMP_CONTAINER}{name}" in notes and security.get("seccompProfile") is None:
        found.append(f"{at}metadata.annotations[{_SECCOMP_CONTAINER}{name}]: {_SECCOMP}")
    noted = notes.get(f"{_APPARMOR_CONTAINER}{name}")
    if noted is not None:
        profile, field = noted_profile(noted), security.get("appArmorProfile")
        is_news = profile is None or of_pod != profile
        if is_news and (field is None or (not at and field == profile)):
            text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
            found.append(f"{at}metadata.annotations[{_APPARMOR_CONTAINER}{name}]: {text}")
    return found


def _affinity_warnings(affinity: Mapping[str, Any], path: str) -> list[str]:
    found = []
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        for rule, below in (
            ("requiredDuringSchedulingIgnoredDuringExecution", ""),
            ("preferredDuringSchedulingIgnoredDuringExecution", "podAffinityTerm"),
        ):
            for index, entry in enumerate(terms.get(rule) or ()):
                term = (entry.get(below) or {}) if below else entry
                if term.get("labelSelector") is None:
                    where = f"{path}.{kind}.{rule}[{index}]{'.' if below else ''}{below}"
                    found.append(f"{where}.labelSelector: a null labelSelector results in matching no pod")
    return found


def _placement_warnings(spec: Mapping[str, Any], path: str) -> list[str]:
    found = [
        f"{path}.nodeSelector[{key}]: {NODE_LABELS[key]}"
        for key in spec.get("nodeSelector") or ()
        if key in NODE_LABELS
    ]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    rule = "requiredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate((affinity.get(rule) or {}).get("nodeSelectorTerms") or ()):
        found += node_selector_term_warnings(term, f"{path}.affinity.nodeAffinity.{rule}.nodeSelectorTerms[{index}]")
    rule = "preferredDuringSchedulingIgnoredDuringExecution"
    for index, entry in enumerate(affinity.get(rule) or ()):
        where = f"{path}.affinity.nodeAffinity.{rule}[{index}].preference"
        found += node_selector_term_warnings(entry.get("preference") or {}, where, check_values=True)
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


def fraction_warnings(amounts: Mapping[str, Any] | None, path: str, names: Sequence[str] = _BYTES) -> list[str]:
    """Parts of bytes."""
    found = []
    for name in names if amounts else ():
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
