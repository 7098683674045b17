"""Security contexts of pods and containers, and what an operating system does not have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from steersman.meta.errors import duplicate, forbidden, invalid, not_supported, required, too_long
from steersman.meta.names import subdomain_errors, user_or_group_errors
from steersman.schema import goforms
from steersman.schema.groups.core.paths import check_descending
from steersman.schema.rules import Errors, check_name, check_optional_choice

PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
PROC_MOUNTS = ("Default", "Unmasked")
GROUP_CHANGE_POLICIES = ("Always", "OnRootMismatch")
GROUPS_POLICIES = ("Merge", "Strict")
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?", re.ASCII)
_SYSCTL_LENGTH = 253
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r"[^\\/:*?\"<>|.][^\\/:*?\"<>|]{0,14}")
_WINDOWS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_WINDOWS_DOMAIN = re.compile(rf"{_WINDOWS_LABEL}(?:\.{_WINDOWS_LABEL})*")
_BAD_USER = re.compile(r"[\"/\\:;|=,+*?<>@\[\]]")
_CREDENTIALS_KIB = 64

_NOT_ON_WINDOWS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)
_NOT_IN_WINDOWS_CONTAINERS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def containers_with_paths(spec: Mapping[str, Any], path: str) -> Iterable[tuple[Mapping[str, Any], str]]:
    """Every container of a pod and where it stands."""
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield container, f"{path}.{group}[{index}]"


def check_security_context(errors: Errors, context: Mapping[str, Any] | None, path: str, *, host_users: bool) -> None:
    """Of a container; ``host_users``: the pod is not in a user namespace of its own."""
    if not context:
        return
    _check_ids(errors, context, path, "runAsUser", "runAsGroup")
    mount = context.get("procMount")
    if mount is not None:
        check_optional_choice(errors, mount, f"{path}.procMount", PROC_MOUNTS)
        if host_users and mount == "Unmasked":
            errors.append(invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`"))
    _check_profiles(errors, context, path)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid(path, goforms.internal("core.v1.SecurityContext", context), detail))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid(path, goforms.internal("core.v1.SecurityContext", context), detail))


def check_pod_security_context(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    context = spec.get("securityContext")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{path}.shareProcessNamespace", True, detail))
    if not context:
        return
    _check_ids(errors, context, path, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        errors.extend(
            invalid(f"{path}.supplementalGroups[{index}]", group, text) for text in user_or_group_errors(group)
        )
    _check_sysctls(errors, context.get("sysctls") or (), f"{path}.sysctls", spec)
    for name, allowed in (
        ("fsGroupChangePolicy", GROUP_CHANGE_POLICIES),
        ("supplementalGroupsPolicy", GROUPS_POLICIES),
        ("seLinuxChangePolicy", ("Recursive",)),
    ):
        check_optional_choice(errors, context.get(name), f"{path}.{name}", allowed)
    _check_profiles(errors, context, path)


def _check_ids(errors: Errors, context: Mapping[str, Any], path: str, *fields: str) -> None:
    for name in fields:
        value = context.get(name)
        if value is not None:
            errors.extend(invalid(f"{path}.{name}", value, text) for text in user_or_group_errors(value))


def _check_sysctls(errors: Errors, sysctls: Iterable[Mapping[str, Any]], path: str, spec: Mapping[str, Any]) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        name, at = sysctl.get("name") or "", f"{path}[{index}].name"
        if not name:
            errors.append(required(at))
        elif len(name) > _SYSCTL_LENGTH or _SYSCTL.fullmatch(name) is None:
            detail = f"must have at most {_SYSCTL_LENGTH} characters and match regex ^{_SYSCTL.pattern}$"
            errors.append(invalid(at, name, detail))
        elif name in seen:
            errors.append(duplicate(at, name))
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.append(invalid(at, name, "may not be specified when 'hostNetwork' is true"))
        if spec.get("hostIPC") and dotted.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
            errors.append(invalid(at, name, "may not be specified when 'hostIPC' is true"))
        seen.add(name)


def _check_profiles(errors: Errors, context: Mapping[str, Any], path: str) -> None:
    seccomp, apparmor = context.get("seccompProfile"), context.get("appArmorProfile")
    if seccomp is not None:
        _check_seccomp(errors, seccomp, f"{path}.seccompProfile")
    if apparmor is not None:
        _check_apparmor(errors, apparmor, f"{path}.appArmorProfile")
    windows = context.get("windowsOptions")
    if windows is not None:
        _check_windows_options(errors, windows, f"{path}.windowsOptions")


def _check_seccomp(errors: Errors, profile: Mapping[str, Any], path: str) -> None:
    kind, local = profile.get("type"), profile.get("localhostProfile")
    if not kind:
        errors.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in PROFILES:
        errors.append(not_supported(f"{path}.type", kind, PROFILES))
    if kind != "Localhost":
        if local is not None:
            detail = "can only be set when seccomp type is Localhost"
            shown = goforms.internal("core.v1.SeccompProfile", profile)
            errors.append(invalid(f"{path}.localhostProfile", shown, detail))
    elif local is None:
        errors.append(required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
    else:
        check_descending(errors, local, f"{path}.localhostProfile")


def _check_apparmor(errors: Errors, profile: Mapping[str, Any], path: str) -> None:
    kind, local, at = profile.get("type"), profile.get("localhostProfile"), f"{path}.localhostProfile"
    if kind == "Localhost":
        if local is None or local == "":
            errors.append(required(at, "must be set when AppArmor type is Localhost"))
        elif local.strip() != local:
            errors.append(invalid(at, local, "must not be padded with whitespace"))
        if local is not None and len(local) > 4095:
            errors.append(too_long(at, 4095))
    elif not kind:
        errors.append(required(f"{path}.type", "type is required when appArmorProfile is set"))
    elif kind not in PROFILES:
        errors.append(not_supported(f"{path}.type", kind, PROFILES))
    elif local is not None:
        errors.append(invalid(at, local, "can only be set when AppArmor type is Localhost"))


def _check_windows_options(errors: Errors, options: Mapping[str, Any], path: str) -> None:
    name, content, user = (
        options.get(field) for field in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName")
    )
    if name is not None:
        check_name(errors, name, f"{path}.gmsaCredentialSpecName", subdomain_errors)
    if content is not None:
        if content == "":
            detail = "gmsaCredentialSpec cannot be an empty string"
            errors.append(invalid(f"{path}.gmsaCredentialSpec", content, detail))
        elif len(content) > _CREDENTIALS_KIB * 1024:
            detail = f"gmsaCredentialSpec size must be under {_CREDENTIALS_KIB} KiB"
            errors.append(invalid(f"{path}.gmsaCredentialSpec", content, detail))
    if user is not None:
        errors.extend(invalid(f"{path}.runAsUserName", user, text) for text in _windows_user_errors(user))


def _windows_user_errors(name: str) -> list[str]:
    if name == "":
        return ["runAsUserName cannot be an empty string"]
    if _CONTROL.search(name):
        return ["runAsUserName cannot contain control characters"]
    parts = name.split("\\")
    if len(parts) > 2:
        return ["runAsUserName cannot contain more than one backslash"]
    domain, user = ("", parts[0]) if len(parts) == 1 else parts
    found = []
    if len(domain) >= 256:
        found.append("runAsUserName's Domain length must be under 256 characters")
    if len(parts) == 2 and not (_NETBIOS.fullmatch(domain) or _WINDOWS_DOMAIN.fullmatch(domain)):
        found.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        found.append("runAsUserName's User cannot be empty")
    elif len(user) > 104:
        found.append("runAsUserName's User length must not be longer than 104 characters")
    if user and not user.strip(". "):
        found.append("runAsUserName's User cannot contain only periods or spaces")
    if _BAD_USER.search(user):
        found.append("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    return found


def check_operating_system(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    """``spec.os``, and the fields that the other operating system would need."""
    name = (spec.get("os") or {}).get("name")
    if not name:
        errors.append(required(f"{path}.os.name"))
    elif name not in ("linux", "windows"):
        errors.append(not_supported(f"{path}.os", name, ("linux", "windows")))
    elif name == "linux":
        _check_linux(errors, spec, path)
    else:
        _check_windows(errors, spec, path)


def _check_linux(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    detail = "windows options cannot be set for a linux pod"
    if (spec.get("securityContext") or {}).get("windowsOptions") is not None:
        errors.append(forbidden(f"{path}.securityContext.windowsOptions", detail))
    for container, at in containers_with_paths(spec, path):
        if (container.get("securityContext") or {}).get("windowsOptions") is not None:
            errors.append(forbidden(f"{at}.securityContext.windowsOptions", detail))


def _check_windows(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    detail = "cannot be set for a windows pod"
    context = spec.get("securityContext") or {}
    for name in _NOT_ON_WINDOWS:
        if context.get(name) not in (None, []):
            errors.append(forbidden(f"{path}.securityContext.{name}", detail))
    for name in ("hostUsers", "shareProcessNamespace"):
        if spec.get(name) is not None:
            errors.append(forbidden(f"{path}.{name}", detail))
    errors.extend(forbidden(f"{path}.{name}", detail) for name in ("hostPID", "hostIPC") if spec.get(name))
    for container, at in containers_with_paths(spec, path):
        own = container.get("securityContext") or {}
        errors.extend(
            forbidden(f"{at}.securityContext.{name}", detail)
            for name in _NOT_IN_WINDOWS_CONTAINERS
            if own.get(name) is not None
        )


def check_host_process(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    """Windows HostProcess containers: all or none, and on the host's network."""
    of_pod = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    total = host_processes = 0
    for container, at in containers_with_paths(spec, path):
        total += 1
        own = ((container.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
        if of_pod is not None and own is not None and of_pod != own:
            detail = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            errors.append(invalid(f"{at}.securityContext.windowsOptions.hostProcess", own, detail))
        if own or (own is None and of_pod):
            host_processes += 1
    if not host_processes:
        return
    if host_processes != total:
        detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        errors.append(invalid(path, "", detail))
    if not spec.get("hostNetwork"):
        detail = "hostNetwork must be true if pod contains any hostProcess containers"
        errors.append(invalid(f"{path}.hostNetwork", False, detail))


def check_host_users(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    """A pod in a user namespace of its own shares nothing else with the host."""
    if spec.get("hostUsers") is not False:
        return
    detail = "when `hostUsers` is false"
    for name, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(name):
            errors.append(forbidden(f"{path}.{shown}", detail))
    errors.extend(
        forbidden(f"{at}.volumeDevices", detail)
        for container, at in containers_with_paths(spec, path)
        if container.get("volumeDevices")
    )
