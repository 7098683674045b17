"""Rules of a whole pod specification, of pods and of templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from steersman.meta import names
from steersman.meta.addresses import ip_errors
from steersman.meta.errors import forbidden, invalid, not_found, required, too_long
from steersman.schema.groups.core.podspec.containers import PodContext, check_containers
from steersman.schema.groups.core.podspec.placement import (
    check_affinity,
    check_gates,
    check_spreading,
    check_tolerations,
)
from steersman.schema.groups.core.podspec.resources import (
    check_overhead,
    check_pod_resources,
    check_resource_claims,
)
from steersman.schema.groups.core.podspec.security import (
    check_host_process,
    check_host_users,
    check_operating_system,
    check_pod_security_context,
    containers_with_paths,
)
from steersman.schema.groups.core.podspec.volumes import check_volumes
from steersman.schema.rules import (
    Errors,
    check_annotations,
    check_between,
    check_choice,
    check_labels,
    check_name,
)

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
RESTART_POLICIES = ("Always", "OnFailure", "Never")
PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_SEARCH = re.compile(r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*", re.ASCII)
_LONGEST_DEADLINE_S = 2**31 - 1


def check_pod_template(errors: Errors, template: Mapping[str, Any] | None, path: str) -> None:
    """A template: its labels, annotations and specification."""
    if template is None:
        errors.append(required(path))
        return
    metadata = template.get("metadata") or {}
    check_labels(errors, metadata.get("labels"), f"{path}.labels")
    check_annotations(errors, metadata.get("annotations"), f"{path}.annotations")
    spec = template.get("spec") or {}
    check_pod_spec(errors, spec, f"{path}.spec", {})
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", detail))


def check_pod_spec(errors: Errors, spec: Mapping[str, Any], path: str, metadata: Mapping[str, Any]) -> None:
    """``metadata``: the pod's, empty for a template."""
    grace_s = spec.get("terminationGracePeriodSeconds")
    if grace_s is None:
        errors.append(required(f"{path}.terminationGracePeriodSeconds"))
    pod_name = metadata.get("name") or ""
    is_mirror = MIRROR_ANNOTATION in (metadata.get("annotations") or ())
    pod = PodContext(
        volumes=check_volumes(errors, spec.get("volumes"), f"{path}.volumes", pod_name=pod_name),
        claims=check_resource_claims(errors, spec.get("resourceClaims"), f"{path}.resourceClaims", is_mirror=is_mirror),
        restart_policy=spec.get("restartPolicy") or "",
        grace_s=grace_s,
        os_name=(spec.get("os") or {}).get("name"),
        host_users=spec.get("hostUsers") is not False,
    )
    check_containers(errors, spec, path, pod)
    check_pod_resources(errors, spec, f"{path}.resources")
    if spec.get("hostNetwork"):
        _check_host_network(errors, spec, f"{path}.containers", is_pod=bool(metadata))
    check_choice(errors, spec.get("restartPolicy"), f"{path}.restartPolicy", RESTART_POLICIES)
    check_choice(errors, spec.get("dnsPolicy"), f"{path}.dnsPolicy", DNS_POLICIES)
    if spec.get("nodeSelector"):
        check_labels(errors, spec["nodeSelector"], f"{path}.nodeSelector")
    check_pod_security_context(errors, spec, f"{path}.securityContext")
    check_affinity(errors, spec.get("affinity"), f"{path}.affinity")
    _check_dns(errors, spec.get("dnsConfig"), spec.get("dnsPolicy"), f"{path}.dnsConfig")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        check_name(errors, kind, f"{path}.readinessGates[{index}].conditionType", names.label_key_errors)
    if spec.get("schedulingGates"):
        check_gates(errors, spec["schedulingGates"], f"{path}.schedulingGates")
    if spec.get("topologySpreadConstraints"):
        check_spreading(errors, spec["topologySpreadConstraints"], f"{path}.topologySpreadConstraints")
    check_host_process(errors, spec, path)
    check_host_users(errors, spec, path)
    _check_names(errors, spec, path)
    check_between(errors, spec.get("activeDeadlineSeconds"), f"{path}.activeDeadlineSeconds", 1, _LONGEST_DEADLINE_S)
    if spec.get("tolerations"):
        check_tolerations(errors, spec["tolerations"], f"{path}.tolerations")
    _check_host_aliases(errors, spec, f"{path}.hostAliases")
    if spec.get("preemptionPolicy") is not None:
        check_choice(errors, spec["preemptionPolicy"], f"{path}.preemptionPolicy", PREEMPTION_POLICIES)
    check_overhead(errors, spec.get("overhead"), f"{path}.overhead")
    if spec.get("os") is not None:
        check_operating_system(errors, spec, path)
    _check_file_keys(errors, spec, path)


def _check_names(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    for field in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if spec.get(field) or (field == "runtimeClassName" and spec.get(field) is not None):
            check_name(errors, spec[field], f"{path}.{field}", names.subdomain_errors)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            check_name(errors, spec[field], f"{path}.{field}", names.label_errors)
    override = spec.get("hostnameOverride")
    if override is None:
        return
    at = f"{path}.hostnameOverride"
    if spec.get("setHostnameAsFQDN"):
        errors.append(forbidden(at, "may not be specified when setHostnameAsFQDN is true"))
    if spec.get("hostNetwork"):
        errors.append(forbidden(at, "may not be specified when hostNetwork is true"))
    if len(override) > 64:
        errors.append(too_long(at, 64))
    check_name(errors, override, at, names.subdomain_errors)


def _check_host_network(errors: Errors, spec: Mapping[str, Any], path: str, *, is_pod: bool) -> None:
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or host) and host != own:
                detail = "must match `containerPort` when `hostNetwork` is true"
                errors.append(invalid(f"{path}[{index}].ports[{number}].hostPort", host, detail))


def _check_dns(errors: Errors, config: Mapping[str, Any] | None, policy: str | None, path: str) -> None:
    if policy == "None":
        if config is None:
            errors.append(required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.append(required(f"{path}.nameservers", detail))
            return
    if not config:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        errors.append(invalid(f"{path}.nameservers", servers, "must not have more than 3 nameservers"))
    for index, server in enumerate(servers):
        check_name(errors, server, f"{path}.nameservers[{index}]", ip_errors)
    if len(searches) > 32:
        errors.append(invalid(f"{path}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        detail = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(invalid(f"{path}.searches", searches, detail))
    for index, search in enumerate(searches):
        if search != ".":
            check_name(errors, search.removesuffix("."), f"{path}.searches[{index}]", _search_errors)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))


def _search_errors(name: str) -> list[str]:
    """A DNS subdomain in which labels may have underscores."""
    found = [names.longer_than(253)] if len(name) > 253 else []
    if _SEARCH.fullmatch(name) is None:
        found.append(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            f"'{_SEARCH.pattern}')"
        )
    return found


def _check_host_aliases(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        check_name(errors, alias.get("ip") or "", f"{path}[{index}].ip", ip_errors)
        for number, name in enumerate(alias.get("hostnames") or ()):
            check_name(errors, name, f"{path}[{index}].hostnames[{number}]", names.subdomain_errors)


def _check_file_keys(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    """Variables that come from files: the file's volume must be an emptyDir."""
    for container, at in containers_with_paths(spec, path):
        for index, variable in enumerate(container.get("env") or ()):
            reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if not reference:
                continue
            name, where = reference.get("volumeName") or "", f"{at}.env[{index}].valueFrom.fileKeyRef.volumeName"
            volume = next((entry for entry in spec.get("volumes") or () if entry.get("name") == name), None)
            if volume is None:
                errors.append(not_found(where, name))
            elif volume.get("emptyDir") is None:
                errors.append(invalid(where, name, "referenced volume must be of type emptyDir"))
